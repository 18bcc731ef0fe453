"""What may be reported: the binding category table of the field guide, in words people use.

A category belongs to one group. Groups decide coverage, incident linking and roll-ups; severity is
a floor in the words of CAP 1.2, which answers can raise.
"""

from dataclasses import dataclass

SEVERITIES = ("Minor", "Moderate", "Severe", "Extreme")
"""CAP 1.2 severities, the least first."""


@dataclass(frozen=True)
class Category:
    """One row of the table.

    `listed` says whether a single report of the kind may ever stand in a public list; aggregates
    always may. `elsewhere` is the nearest term of other taxonomies, empty where there is none.
    """

    code: str
    group: str
    severity: str
    listed: bool = False
    elsewhere: str = ""


_TABLE = (
    Category("staring_leering", "harassment", "Minor", elsewhere="HarassMap ogling; TfL staring"),
    Category("catcalling", "harassment", "Minor", elsewhere="HarassMap catcalls"),
    Category(
        "sexual_comment_gesture",
        "harassment",
        "Moderate",
        elsewhere="TfL unsolicited sexual gestures or comments",
    ),
    Category(
        "intrusive_questioning",
        "harassment",
        "Moderate",
        elsewhere="TfL intrusive or persistent sexual questioning",
    ),
    Category(
        "threat_intimidation", "harassment", "Severe", elsewhere="StreetSafe verbal harassment"
    ),
    Category(
        "sex_based_abuse",
        "harassment",
        "Moderate",
        elsewhere="public-order offence codes PU86159 and PU86160",
    ),
    Category("hate_abuse", "harassment", "Moderate", elsewhere="hate incident"),
    Category("being_followed", "pursuit", "Severe", elsewhere="TfL following"),
    Category("stalking_pattern", "pursuit", "Severe", elsewhere="TfL stalking"),
    Category("blocking_cornering", "pursuit", "Severe"),
    Category("predatory_watching", "pursuit", "Moderate"),
    Category("predatory_vehicle", "pursuit", "Severe"),
    Category(
        "photographing_filming", "image_exposure", "Moderate", elsewhere="Safecity taking photos"
    ),
    Category("upskirting", "image_exposure", "Severe", elsewhere="TfL upskirting"),
    Category("cyberflashing", "image_exposure", "Moderate", elsewhere="TfL cyberflashing"),
    Category(
        "showing_pornography",
        "image_exposure",
        "Moderate",
        elsewhere="TfL watching pornography in public",
    ),
    Category("exposure", "image_exposure", "Severe", elsewhere="TfL flashing"),
    Category("masturbation", "image_exposure", "Severe", elsewhere="BTP masturbation"),
    Category("pressing_rubbing", "contact", "Severe", elsewhere="TfL frottage"),
    Category("unwanted_touching", "contact", "Severe", elsewhere="TfL sexual assault (touching)"),
    Category("sexual_assault", "contact", "Extreme"),
    Category("rape", "contact", "Extreme"),
    Category("spiking_drink", "spiking", "Extreme", elsewhere="Home Office factsheet: drink"),
    Category("spiking_food", "spiking", "Extreme", elsewhere="Home Office factsheet: food"),
    Category("spiking_needle", "spiking", "Extreme", elsewhere="Home Office factsheet: needle"),
    Category("spiking_vape", "spiking", "Extreme", elsewhere="Home Office factsheet: vape"),
    Category("spiking_unknown", "spiking", "Extreme", elsewhere="Home Office factsheet"),
    Category("child_at_risk", "safeguarding", "Severe"),
    Category("near_miss", "near_miss", "Minor"),
    Category(
        "felt_unsafe_person",
        "near_miss",
        "Minor",
        elsewhere="StreetSafe being followed or harassed (feeling)",
    ),
    Category("bystander_intervened", "near_miss", "Minor", elsewhere="HarassMap assistance types"),
    Category(
        "felt_unsafe_place", "environment", "Minor", listed=True, elsewhere="StreetSafe environment"
    ),
    Category(
        "poor_lighting", "environment", "Minor", listed=True, elsewhere="StreetSafe badly lit"
    ),
    Category(
        "isolated_layout",
        "environment",
        "Minor",
        listed=True,
        elsewhere="StreetSafe empty or isolated; poor layout",
    ),
    Category(
        "no_staff_present", "environment", "Minor", listed=True, elsewhere="StreetSafe environment"
    ),
    Category(
        "help_point_or_cctv_broken",
        "environment",
        "Minor",
        listed=True,
        elsewhere="StreetSafe no CCTV",
    ),
    Category("other", "other", "Moderate"),
)

CATEGORIES = {category.code: category for category in _TABLE}
"""Every category by its code, in the order of the table."""

GROUPS = tuple(dict.fromkeys(category.group for category in _TABLE))
"""The category groups, in the order of the table."""
