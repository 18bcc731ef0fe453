"""Which property of a report is shown to whom: the one table, for services, schemas and tests.

`docs/access.md` prints it. Whether somebody may see the report at all is decided by its grants;
this says what of it they then see.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum


class View(StrEnum):
    """Why somebody is shown something of a report: the cause of their grant, or who they are."""

    ROUTING = "routing"
    HAND_OVER = "hand_over"
    CONSENT = "consent"
    OVERSIGHT = "oversight"
    HEADS_UP = "heads_up"
    """A hub that is told to expect somebody."""
    ANALYST = "analyst"
    """Whoever counts: of reports that their organisation may read, never by themselves."""
    LISTENER = "listener"
    """A stream, a webhook, a push message, an SMS, an e-mail: what others may overhear."""
    PASSENGER = "passenger"
    """Whoever comes back with the receipt."""
    OTHER = "other"


class Property(StrEnum):
    """What a report has, and what is known beside it."""

    KIND = "kind"
    TIME = "time"
    ANSWERS = "answers"
    POSITION = "position"
    PLACE = "place"
    JOURNEY = "journey"
    STORY = "story"
    CONTACT = "contact"
    CHOICES = "choices"
    HUB_DISTANCE = "hub_distance"
    COLLEAGUES = "colleagues"
    STAFF_ELSEWHERE = "staff_elsewhere"


class Shown(StrEnum):
    """How much of it."""

    EXACT = "exact"
    ROUNDED = "rounded"
    """A position to a fixed grid of 50 m, a time to the hour, a place only when it is a station."""
    LEFT_OUT = "left_out"


MEANING: Mapping[Property, str] = {
    Property.KIND: "categories or their groups, mode, priority",
    Property.TIME: "when it came, and when it happened",
    Property.ANSWERS: "in danger, hurt, weapon, under 18, wants, needs, language",
    Property.POSITION: "the position",
    Property.PLACE: "the place or stop, by name and id",
    Property.JOURNEY: "line, direction, vehicle, carriage, stops",
    Property.STORY: "everything in the passenger's own words",
    Property.CONTACT: "how to reach the passenger",
    Property.CHOICES: "who was chosen, in which order, why, and what stood in the way",
    Property.HUB_DISTANCE: "how far the passenger was from a hub",
    Property.COLLEAGUES: "names of staff, within their own organisation",
    Property.STAFF_ELSEWHERE: "names of staff of another organisation",
}

_FULL = (View.ROUTING, View.HAND_OVER, View.CONSENT, View.OVERSIGHT)
_X, _R = Shown.EXACT, Shown.ROUNDED


def _row(shown: Shown | None = None, **others: Shown) -> Mapping[View, Shown]:
    """A row: how much the holders of a full grant are shown, then whoever is shown some of it."""
    row = dict.fromkeys(View, Shown.LEFT_OUT)
    row |= dict.fromkeys(_FULL, shown or Shown.LEFT_OUT)
    return row | {View(name): value for name, value in others.items()}


# A distance from each of three hubs is a position, which a heads-up may not know.
TABLE: Mapping[Property, Mapping[View, Shown]] = {
    Property.KIND: _row(_X, heads_up=_X, analyst=_X, listener=_X, passenger=_X),
    Property.TIME: _row(_X, heads_up=_X, analyst=_R, listener=_X, passenger=_X),
    Property.ANSWERS: _row(_X, heads_up=_X),
    Property.POSITION: _row(_X, analyst=_R, passenger=_X),
    Property.PLACE: _row(_X, analyst=_R, passenger=_X),
    Property.JOURNEY: _row(_X),
    Property.STORY: _row(_X),
    Property.CONTACT: _row(_X),
    Property.CHOICES: _row(_X, passenger=_X),
    Property.HUB_DISTANCE: _row(_X, passenger=_X),
    Property.COLLEAGUES: _row(_X, heads_up=_X),
    Property.STAFF_ELSEWHERE: _row(),
}


def shown(what: Property, views: Collection[View]) -> Shown:
    """How much of a property is shown to somebody with these views: the most of any of them."""
    found = {TABLE[what][view] for view in views}
    return next((level for level in (Shown.EXACT, Shown.ROUNDED) if level in found), Shown.LEFT_OUT)


def shows(what: Property, views: Collection[View]) -> bool:
    """Whether somebody with these views is shown a property as it is."""
    return shown(what, views) is Shown.EXACT


def views_of(grants: Collection[str]) -> frozenset[View]:
    """The views that live grants give: each its cause, or `heads_up` for one of that level."""
    return frozenset(View(grant) for grant in grants)


def level_of(views: Collection[View]) -> str:
    """`full` when any of the views is that of a full grant, else `heads_up`."""
    return "full" if any(view in _FULL for view in views) else View.HEADS_UP.value
