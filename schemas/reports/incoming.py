"""What a phone may send, and how anything it sends is understood.

`ReportIn` documents the report as it should be. Loading it never refuses a report for a mistake:
what is not understood becomes a warning and is kept in `rejected` (design, D12).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any, cast

import orjson
from marshmallow import RAISE, Schema, ValidationError, fields

from schemas.reports.example import REPORT_EXAMPLE
from schemas.reports.kind import (
    COERCED,
    Fix,
    Flag,
    Instant,
    Matching,
    MinorFlag,
    Number,
    Path,
    StopId,
    Word,
    WordList,
    Words,
    mended,
)
from waylight.domain.categories import CATEGORIES
from waylight.domain.errors import NotAnObject, NothingToActOn, Problem
from waylight.domain.reports import (
    NARRATIVE_LIMIT,
    Contact,
    Happening,
    Journey,
    LocationClaim,
    Need,
    NewReport,
    Perspective,
    ReportWarning,
    ShareWith,
    Want,
)

SHORT = 64
"""Characters of an identifier: stop, route, vehicle, carriage."""

WORDS = 2_000
"""Characters of a short description that screens show at once."""

METHODS = ("gnss", "wifi", "cell", "manual")
"""How a position was found, after the Advanced Mobile Location vocabulary."""

EARTH_M = 20_000_000.0
"""Half way round: no fix is less accurate."""

PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
"""A field name that can be said back; any other is kept with the report, encrypted."""

TO_ACT_ON = (
    "categories",
    "location",
    "journey",
    "narrative",
    "description_of_person",
    "wants",
    "contact",
)
FLAGS = ("in_danger", "hurt_or_unwell", "weapon_seen", "person_nearby", "under_18")


class OccurredIn(Schema):
    """When it happened, exactly or between two times."""

    class Meta:
        unknown = RAISE

    from_ = Instant(data_key="from")
    to = Instant()
    estimated = Flag()


class LocationIn(Schema):
    """Where: a fix, a stop, words, or several of them."""

    class Meta:
        unknown = RAISE

    point = Fix()
    accuracy_m = Number(most=EARTH_M)
    method = Word(METHODS)
    fixed_at = Instant()
    stop_id = StopId(limit=SHORT)
    description = Words()


class JourneyIn(Schema):
    """The vehicle the passenger is or was on; ids are those of GTFS or NaPTAN."""

    class Meta:
        unknown = RAISE

    mode = Words(limit=SHORT)
    route_id = Words(limit=SHORT)
    direction = Words(limit=SHORT)
    vehicle_id = Words(limit=SHORT)
    carriage = Words(limit=SHORT)
    boarded_stop_id = StopId(limit=SHORT)
    next_stop_id = StopId(limit=SHORT)


class ContactIn(Schema):
    """How and when it is safe to reach the passenger."""

    class Meta:
        unknown = RAISE

    phone = Matching(r"\+?[0-9][0-9 ().-]{4,24}", longest=26)
    email = Matching(r"[^@\s]{1,64}@[^@\s]{1,190}\.[^@\s]{2,63}", longest=319)
    safe_times = Words()
    voicemail_ok = Flag()


class ReportIn(Schema):
    """A passenger's report. Every field is optional; there must be something to act on.

    Mistakes are answered with `warnings`, not refused.
    """

    class Meta:
        unknown = RAISE

    categories = WordList(tuple(CATEGORIES), code="unknown_category")
    happening = Word(Happening, metadata={"default": "now"})
    occurred = fields.Nested(OccurredIn, allow_none=True)
    recorded_at = Instant(metadata={"description": "When the passenger wrote it, phone's clock."})
    sent_at = Instant(
        metadata={"description": "When the phone sends it, phone's clock: corrects the others."}
    )
    location = fields.Nested(LocationIn, allow_none=True)
    journey = fields.Nested(JourneyIn, allow_none=True)
    perspective = Word(Perspective, metadata={"default": "experienced"})
    in_danger = Flag(code="malformed_flag_in_danger")
    hurt_or_unwell = Flag(code="malformed_flag_yes")
    weapon_seen = Flag(code="malformed_flag_yes")
    person_nearby = Flag(code="malformed_flag_yes")
    under_18 = MinorFlag(code="malformed_flag_yes")
    wants = WordList(
        Want,
        metadata={
            "description": "A hard limit on who is told. Without `police` in a stated list no"
            " police team is told; `record_only` is told to nobody. Absent or empty means help."
        },
    )
    needs = WordList(Need)
    share_with = WordList(ShareWith)
    narrative = Words(
        metadata={
            "description": f"Kept whole, as all texts are; over {NARRATIVE_LIMIT:,} characters with"
            " a warning."
        }
    )
    description_of_person = Words()
    contact = fields.Nested(ContactIn, allow_none=True)
    language = Matching(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}", longest=30)
    exercise = Flag()

    example = REPORT_EXAMPLE

    def load(self, data: Any, **_: Any) -> NewReport:
        """The report as understood. Raises NotAnObject or NothingToActOn, nothing else."""
        if not isinstance(data, dict):
            raise NotAnObject(problems=[Problem("", "not_an_object", "Send a JSON object.")])
        data, odd = mended(data)
        body = _kindly(data)
        errors: Any = {}
        try:
            known = super().load(body)
        except ValidationError as error:
            known, errors = error.valid_data or {}, error.messages
        mistakes = list(_mistakes(errors))
        rejected = {
            _pointer(path): _value(body, path) for path, code in mistakes if code != COERCED
        }
        warnings = [
            ReportWarning(_pointer(_told(path)), code)
            for path, code in (*mistakes, *((path, "text_mended") for path in odd))
        ]
        report = _report(cast("dict[str, Any]", known), rejected, warnings)
        if not _to_act_on(report, rejected):
            raise NothingToActOn(
                problems=[
                    Problem("", NothingToActOn.code, NothingToActOn().detail),
                    *(Problem(w.pointer, w.code, "This was not understood.") for w in warnings),
                ][:20]
            )
        return _with_fingerprint(report, data)


def _kindly(data: dict[str, Any]) -> dict[str, Any]:
    """A place in plain words where an object belongs is still a place in words."""
    if isinstance(data.get("location"), str):
        return {**data, "location": {"description": data["location"]}}
    return data


def _report(
    known: Mapping[str, Any], rejected: Mapping[str, Any], warnings: list[ReportWarning]
) -> NewReport:
    categories = tuple(known.get("categories") or ())
    if any(pointer.startswith("/categories") for pointer in rejected):
        categories = tuple(dict.fromkeys((*categories, "other")))
    wants = tuple(Want(word) for word in known.get("wants") or ())
    if not wants and any(pointer.startswith("/wants") for pointer in rejected):
        # Something was stated, and it was not "police": a wish that cannot be read is no consent.
        wants = (Want.HELP,)
    alone = {Want.RECORD_ONLY, Want.SUPPORT_ONLY}
    if set(wants) & alone and not set(wants) <= alone:
        warnings.append(ReportWarning("/wants", "wants_conflict"))
        wants = tuple(want for want in wants if want not in alone)
    occurred = known.get("occurred") or {}
    contact = known.get("contact") or {}
    for pointer, limit, text in (
        ("/narrative", NARRATIVE_LIMIT, known.get("narrative")),
        ("/description_of_person", WORDS, known.get("description_of_person")),
        ("/location/description", WORDS, (known.get("location") or {}).get("description")),
    ):
        if text and len(text) > limit:
            warnings.append(ReportWarning(pointer, "too_long_kept", {"limit": limit}))

    def yes(name: str) -> bool | None:
        return True if f"/{name}" in rejected else known.get(name)

    return NewReport(
        categories=categories,
        happening=Happening(known.get("happening") or Happening.NOW),
        happened_from=occurred.get("from_"),
        happened_to=occurred.get("to"),
        happened_estimated=bool(occurred.get("estimated")),
        recorded_at=known.get("recorded_at"),
        sent_at=known.get("sent_at"),
        location=_location(known.get("location") or {}),
        journey=_journey(known.get("journey") or {}),
        perspective=Perspective(known.get("perspective") or Perspective.EXPERIENCED),
        # Somebody pressed something: an answer that cannot be read is taken as a yes.
        in_danger=yes("in_danger"),
        hurt_or_unwell=yes("hurt_or_unwell"),
        weapon_seen=yes("weapon_seen"),
        person_nearby=yes("person_nearby"),
        under_18=yes("under_18"),
        wants=wants,
        needs=tuple(Need(word) for word in known.get("needs") or ()),
        share_with=tuple(ShareWith(word) for word in known.get("share_with") or ()),
        narrative=known.get("narrative"),
        description_of_person=known.get("description_of_person"),
        contact=Contact(**contact) if any(v is not None for v in contact.values()) else None,
        language=known.get("language"),
        exercise=bool(known.get("exercise")),
        rejected=dict(rejected),
        warnings=tuple(warnings),
    )


def _location(known: Mapping[str, Any]) -> LocationClaim:
    point, swapped = known.get("point") or (None, None)
    return LocationClaim(
        point=point,
        swapped=swapped,
        accuracy_m=known.get("accuracy_m"),
        method=known.get("method"),
        fixed_at=known.get("fixed_at"),
        stop_id=known.get("stop_id"),
        description=known.get("description"),
    )


def _journey(known: Mapping[str, Any]) -> Journey:
    mode = known.get("mode")
    return Journey(**{**known, "mode": mode.lower() if mode else None})


def _to_act_on(report: NewReport, rejected: Mapping[str, Any]) -> bool:
    flags = [getattr(report, name) for name in FLAGS]
    said = (
        report.categories,
        report.narrative,
        report.description_of_person,
        report.wants,
        report.contact,
        report.location != LocationClaim(),
        report.journey != Journey(),
        any(flags),
    )
    tried = {pointer.split("/")[1] for pointer in rejected if pointer.count("/") >= 1}
    return any(said) or bool(tried & {*TO_ACT_ON, *FLAGS})


def _with_fingerprint(report: NewReport, data: Mapping[str, Any]) -> NewReport:
    lasting = {name: value for name, value in data.items() if name != "sent_at"}
    canonical = orjson.dumps(lasting, option=orjson.OPT_SORT_KEYS)
    return replace(report, fingerprint=sha256(canonical).digest())


def _mistakes(errors: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The path and code of every mistake in marshmallow's tree of messages."""
    if isinstance(errors, Mapping):
        for key, inner in errors.items():
            yield from _mistakes(inner, path if key == "_schema" else (*path, key))
        return
    message = errors[0] if isinstance(errors, list) else errors
    code = "unknown_field" if message == "Unknown field." else str(message)
    yield path, "malformed_value" if " " in code else code


def _told(path: Path) -> Path:
    """The path as it may be said aloud: what stands in a name's place may be the whole story."""
    return path if all(PLAIN_NAME.fullmatch(str(part)) for part in path) else path[:-1]


def _pointer(path: Path) -> str:
    """A JSON Pointer (RFC 6901)."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def _value(body: Any, path: Path) -> Any:
    for part in path:
        try:
            body = body[part]
        except (KeyError, IndexError, TypeError):
            return body
    return body
