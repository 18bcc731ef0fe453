"""The documents that the code itself writes: docs/access.md, config.md, errors.md, metrics.md."""

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

from waylight.cli import document_access, document_metrics
from waylight.cli.terminal import say
from waylight.domain.properties import View

MADE = "<!-- Written by bin/docs from the code. Changes here are lost; change the code. -->\n"

SCRIPT_SETTINGS: Mapping[str, str] = {
    "WAYLIGHT_CLUSTER_PASSWORD": "In `.local/secrets.env`: the password of the PostgreSQL that"
    " `bin/run` makes",
    "WAYLIGHT_TEST_DATABASE_URL": "A superuser's address of a PostgreSQL that `bin/test` uses"
    " instead of one of its own",
}
"""What the scripts in bin/ read and the product does not."""

COMPOSE_SETTINGS: Mapping[str, str] = {
    "WAYLIGHT_POSTGRES_PASSWORD": "The superuser's; only `migrate` and `load` have it. **Secret.**"
    " **Must be set**",
    "WAYLIGHT_INTAKE_PASSWORD": "Of the role that takes reports; `migrate` sets it, also to a new"
    " one. **Secret.** **Must be set**",
    "WAYLIGHT_STAFF_PASSWORD": "The same of the role for signed-in staff. **Secret.**"
    " **Must be set**",
    "WAYLIGHT_PUBLISH": "Where the API listens on this machine: `127.0.0.1:8000` when unset",
    "WAYLIGHT_CITY_PACK": "The folder that `load` loads: `data/london` when unset",
    "WAYLIGHT_IMAGE": "Another name for the image than `waylight:latest`, such as one of your own"
    " registry",
    "WAYLIGHT_POSTGIS_IMAGE": "Another build of PostgreSQL 15 or newer with PostGIS 3 than"
    " `postgis/postgis:17-3.5`",
}
"""What compose.yaml reads and the product does not."""

FIELD_CODES: Mapping[str, str] = {
    "invalid_uri": "Nobody can be sent back to this address; `detail` says to which.",
    "invalid_scope": "This can be no scope (RFC 6749, 3.3).",
    "invalid_domain": "This is no domain that addresses end in.",
    "unknown_redirect_uri": "The provider may not send anybody there: name one of its addresses.",
    "invalid": "The value cannot be used; `detail` says what can.",
    "in_the_past": "This moment is over.",
    "given_twice": "A parameter may stand in the query once.",
    "wrong_kind": "Another kind of key is needed here: that of a person, or of an app.",
    "missing_scope": "The key lacks the scope that `detail` names.",
    "receipt_mistyped": "The receipt's own check failed: a character is probably mistyped.",
    "nothing_to_act_on": "The report says neither what, nor where, nor that somebody is in danger.",
    "asked_first": "A report of somebody under 18 is shared only after a person has asked first.",
    "nobody_there": "There is no organisation that consent could be given to for certain.",
    "report_withdrawn": "The report was withdrawn: nobody is given it any more.",
    "not_utf8": "The body is not UTF-8.",
    "syntax": "The body is not JSON; `detail` says where.",
    "not_finite": "JSON has no NaN and no Infinity.",
    "duplicate_key": "An object has the same name twice.",
    "number_range": "A number is too large to be kept.",
    "lone_surrogate": "A text holds half of a surrogate pair.",
    "nul": "A text holds the character NUL.",
    "too_deep": "Arrays and objects are nested too deeply.",
    "not_acceptable": "`Accept` leaves out the media types that `detail` names.",
    "not_decodable": "The body is not packed as its `Content-Encoding` says.",
    "stopping": "The process has been told to stop.",
    "unreachable": "The database does not answer in time.",
    "behind": "The database's schema is older than the code.",
    "none_alive": "No worker lives, so nobody would be alerted.",
    "duplicate": "The same thing stands there twice.",
    "empty": "There is nothing in what this is about.",
    "hours_unreadable": "The opening hours cannot be read; `detail` says where.",
    "invalid_hours": "The rule of a shift cannot be read; `detail` says where.",
    "never": "The rule of a shift never holds.",
    "in_the_future": "This moment has not come yet.",
    "too_early": "This moment is before what it is about.",
    "too_many": "There are as many as there may be.",
    "outside_city": "The place is not in the city that this belongs to.",
    "nothing_to_change": "No field says what to change.",
    "in_the_ticket": "The stream ticket says which team already.",
    "invalid_key": "The key of a device is not one that messages can be encrypted for.",
    "unknown_key": "The device subscribed with a key that this deployment no longer has.",
    "one_recipient": "A team or a hub has to be named, and only one.",
    "no_such_team": "No team of these names is in use.",
    "whose_job": "By this name the city says whose job a report is: it stays.",
    "at_work": "An alert of the organisation about this report is not over.",
    "watches": "The organisation watches over an incident that is open.",
    "last_reader": "Nobody else who is there to help reads the report of an open incident.",
    "unknown_team": "There is no such team in this city.",
    "unknown_hub": "There is no such hub that is yours.",
    "same_team": "The team named is your own.",
    "not_expected": "The hub was told of no such report.",
    "not_found": "What is named there is not there, or not yours to see.",
    "same_incident": "An incident cannot be merged into itself.",
    "too_short": "The password has too few characters.",
    "too_long": "The password has too many characters.",
    "too_common": "The password is one of those that are tried first.",
    "too_personal": "The password is made of what anybody knows of its person.",
    "origin_not_allowed": "The key does not belong to the page that calls (`Origin`).",
    "not_an_origin": "A page is named by its origin alone: `https://` and a host.",
    "unknown_scope": "There is no such scope, or a program cannot have it.",
    "name_taken": "This is, looks like or contains the name of another organisation.",
    "email_taken": "Somebody of your organisation has this address.",
    "scope_not_held": "Nobody gives a scope that they have not got.",
    "one_of": "Of several fields just one is needed.",
    "not_a_polygon": "A shape is a Polygon or a MultiPolygon of GeoJSON (RFC 7946).",
    "not_a_ring": "A ring is a list of positions, a polygon a list of rings.",
    "not_a_position": "A position is two numbers: longitude, then latitude.",
    "ring_open": "A ring ends where it begins.",
    "too_few_positions": "A ring has at least four positions, three of them different.",
    "not_simple": "The shape crosses or overlaps itself; the pointer says where.",
    "crosses_antimeridian": "A shape across the antimeridian is sent as two polygons.",
    "too_wide": "The shape is wider than 3 degrees.",
    "too_small": "The shape covers nothing.",
    "too_intricate": "The shape takes too long to understand.",
    "other_city": "The shape reaches into another city that is served.",
    "unknown_value": "There is no such mode, route or category group.",
    "out_of_bounds": "A wait is not within the bounds that `detail` has, with their reason.",
    "not_whole": "The body ended before its `Content-Length`, or its chunks cannot be read.",
    "https_only": "The address has to begin with `https://`.",
    "invalid_url": "This is no address that can be called; `detail` says why.",
    "not_public": "The address is not on the open internet.",
    "not_in_the_text": "A range lies outside of the text that it hides a part of.",
    "null_island": "A position of 0, 0 is none: the device has no fix yet.",
    "too_far": "This is further away, or further ahead, than can be meant; `detail` says how far.",
    "too_vague": "A position this imprecise says nothing.",
    "too_old": "This moment is too long ago.",
    "clock_ahead": "The device's clock is ahead: set it, or send its time as `sent_at`.",
    "clock_absurd": "The device's clock is more than a day off.",
    "missing": "Of a shift of this kind this is needed.",
    "not_here": "A shift of this kind has no such field.",
    "before_from": "The end is not after the beginning.",
    "no_hours_today": "No hours are left today that this could last for: say until when.",
    "other_audience": "Not everybody who is told of the one may be told of the other.",
}
"""What a problem's `errors` may say, besides what a missing or misshapen field says itself."""


@click.command("docs")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def documents(folder: Path) -> None:
    """Write access.md, config.md, errors.md and metrics.md, made from the code, into FOLDER."""
    pages = {"access.md": access, "config.md": config, "errors.md": errors, "metrics.md": metrics}
    for name, page in pages.items():
        text = page()
        (folder / name).write_text(text, encoding="utf-8")
        say(f"Wrote {folder / name}.")


def access() -> str:
    """docs/access.md: every route, who may call it, and what everybody else is answered."""
    return "\n".join(
        (
            "# Who may call what\n",
            MADE,
            _paragraph(
                "Every route says which kinds of caller it is for and which scopes they need; there"
                " is no default. Which objects a caller sees is checked in the service and again"
                " by row-level security. `tests/api/access` calls each as every kind"
                " of caller, for what is their own, granted to them and another organisation's."
            ),
            *_table(
                ("caller", "how we know"),
                [
                    ("anybody", "nothing is asked; a key that does not fit makes nobody of them"),
                    ("passenger", "`Authorization: Receipt ...`, for the one report it came with"),
                    ("staff", "`Authorization: Bearer ...`, a key or a session of a person"),
                    ("client", "`Authorization: Bearer ...`, a client's key or access token"),
                    ("provider", "its own token or signature, for the one thing it tells us"),
                ],
            ),
            "",
            _paragraph(
                "What whoever shows no key, or a wrong one, is answered; what an unfit one is, of"
                " another kind or without the scope; and what a fit one is for a thing that is not"
                " theirs: what one may not see looks like what there is not."
            ),
            *_table(
                ("route", "for", "scope", "no key", "unfit", "whose", "another's"),
                document_access.table(),
            ),
            "",
            "## What is shown of a report\n",
            _paragraph(
                "Whether somebody may see a report is decided by their grants, each with a cause;"
                " of what is theirs to see they are shown this, and with several causes the most of"
                " any. `rounded` is a position on a fixed grid of 50 m, a time to the hour, and a"
                " place only when it is a station. A listener is a stream, a webhook, a push"
                " message, an SMS or an e-mail. `tests/api/test_properties.py` holds every endpoint"
                " against this table, which is `waylight/domain/properties.py`."
            ),
            *_table(
                ("property", *(view.replace("_", " ") for view in View)),
                document_access.properties(),
            ),
            "",
        )
    )


def config() -> str:
    """docs/config.md: every setting, as `waylight.config` reads it."""
    from waylight.config import declared

    settings = declared()
    rows = [
        (
            f"`{name}`",
            f"{one.meaning}." + (" **Secret.**" if one.secret else ""),
            one.kind.values,
            f"`{one.default}`" if one.default else one.unset or "**must be set**",
        )
        for name, one in settings.items()
    ]
    return "\n".join(
        (
            "# Settings\n",
            MADE,
            _paragraph(
                "Waylight is configured by environment variables, read once, at the start of a"
                " process. One that cannot be used stops it, and all that are wrong are named"
                " together. An empty variable is an unset one, and one that is not named here is"
                " ignored. No message about a setting repeats its value. `bin/run` sets what it"
                " needs and keeps its secrets in `.local/secrets.env`."
            ),
            *_table(("variable", "meaning", "values", "when unset"), rows),
            "",
            "## For the scripts in bin/ alone\n",
            *_table(
                ("variable", "meaning"),
                [(f"`{name}`", f"{meaning}.") for name, meaning in SCRIPT_SETTINGS.items()],
            ),
            "",
            "## For compose.yaml alone\n",
            *_table(
                ("variable", "meaning"),
                [(f"`{name}`", f"{meaning}.") for name, meaning in COMPOSE_SETTINGS.items()],
            ),
            "",
        )
    )


def errors() -> str:
    """docs/errors.md: every error, problem of a field and warning that an answer may carry."""
    from api.wire.document import RESPONSE_HEADERS
    from api.wire.errors import FIELD_SENTENCES, TABLE, answer, type_of
    from waylight import texts
    from waylight.domain.errors import InvalidRequest, Problem

    example = answer(
        InvalidRequest(problems=[Problem("/until", "required", "This is required.")])
    ).get_json()
    sections: list[str] = []
    for error, kind in TABLE.items():
        headers = ", ".join(f"`{name}`" for name in RESPONSE_HEADERS.get(kind.status, ()))
        sections += [
            f"### {error.code}\n",
            f"`{kind.status}` {kind.title} · `{type_of(error.code)}`"
            + (f" · with {headers}" if headers else "")
            + "\n",
            *(f"{words}\n" for words in (error.meaning(), error.advice()) if words),
        ]
    codes = {**dict(FIELD_SENTENCES.values()), **FIELD_CODES}
    return "\n".join(
        (
            "# Errors and warnings\n",
            MADE,
            "Every error is answered as `application/problem+json` (RFC 9457):\n",
            "```json",
            json.dumps(example, indent=2),
            "```\n",
            _paragraph(
                "Decide by `code` (or `status`); `title` and `detail` are for people and may be"
                " worded anew. `errors` names each field by JSON Pointer, or a parameter or header"
                " by name. No answer repeats a value that was sent."
            ),
            "## Errors\n",
            *_table(
                ("code", "status", "meaning"),
                [
                    (f"[`{error.code}`](#{error.code})", str(kind.status), error.meaning())
                    for error, kind in TABLE.items()
                ],
            ),
            "",
            *sections,
            "## Problems of a field\n",
            _paragraph(
                "The `code` of each of a problem's `errors`. Where a report has nothing to act on,"
                " the codes of its warnings stand here too."
            ),
            *_table(("code", "meaning"), ((f"`{code}`", said) for code, said in codes.items())),
            "",
            "## Warnings of a report\n",
            _paragraph(
                "A report is not refused for a mistake in it. It is stored, and its 201 has"
                " `warnings`, each with `pointer`, `code` and `detail` in the caller's language:"
            ),
            *_table(
                ("code", "detail, in English"),
                [
                    (f"`{code}`", said.replace(texts.UNKNOWN, "..."))
                    for code, said in texts.section("warnings", "en").items()
                ],
            ),
            "",
        )
    )


def metrics() -> str:
    """docs/metrics.md: what is counted and timed, and when to wake somebody."""
    return document_metrics.metrics(MADE)


def _paragraph(text: str) -> str:
    return textwrap.fill(text, width=100, break_on_hyphens=False) + "\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(heads), _row(["---"] * len(heads)), *(_row(row) for row in rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
