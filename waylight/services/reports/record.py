"""One decided report in the shape that `submit_reports` of migration 0003 writes."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from cattrs.preconf.orjson import make_converter

from waylight.config import Settings
from waylight.domain import alerts, geo, routing
from waylight.domain.cities import City
from waylight.domain.principals import Kind
from waylight.domain.reports import NewReport, Recipient, ReportReceipt, Submission, Want
from waylight.services.routing import Draft, Surroundings, control_room_fallback
from waylight.vault import Vault

_json = make_converter()
_json.register_structure_hook(UUID, lambda value, _: UUID(value))
structured = _json.structure
"""A dataclass of the domain again from what orjson wrote of it."""


CARELESS_KEYS = frozenset(
    {
        uuid.UUID(int=0),
        uuid.UUID(int=2**128 - 1),
        uuid.UUID("8e03978e-40d5-43e8-bc93-6894a57f9324"),
    }
)
"""UUIDs that more than one phone sends: nil and max (RFC 9562), and the one in the documents."""


@dataclass(frozen=True)
class Decided:
    """One report on its way: what was understood, looked up, decided and will be answered."""

    submission: Submission
    id: UUID
    report: NewReport
    draft: Draft
    around: Surroundings
    city: City | None
    routing: routing.Routing
    answer: ReportReceipt


def usable_key(submission: Submission) -> str | None:
    """The key with its owner in front; None when ignored.

    An anonymous key must be a UUID of one's own making: with "1", with the nil UUID of a broken
    generator or with the one in our documents, two strangers would share a report and a receipt.
    """
    key = submission.idempotency_key
    if key is None:
        return None
    if submission.principal.kind is not Kind.NOBODY:
        return f"{submission.principal.key_id}:{key}"
    try:
        made = uuid.UUID(key)
    except ValueError:
        return None
    return None if made in CARELESS_KEYS else f"nobody:{made}"


def record(one: Decided, *, vault: Vault, settings: Settings) -> dict[str, Any]:
    """One submission in the shape of migration 0003."""
    receipt = vault.receipt_for(one.id)
    key = usable_key(one.submission)
    channels = list(settings.channels) if one.answer.priority.level < 4 else []
    told = one.routing.told
    return {
        "report": _row(one, settings),
        "secrets": _secrets(one, vault),
        "receipt": {
            "hash": _bytea(vault.receipt_hashes(receipt).hashes[0]),
            "report_id": one.id,
            "key_version": vault.receipt_version,
            "created_at": one.submission.received_at,
        },
        "idempotency": key
        and {
            "key_hash": _bytea(vault.keyed_hash("idempotency", key.encode())),
            "fingerprint": _bytea(one.submission.report.fingerprint),
            "strict": one.submission.principal.kind is not Kind.NOBODY,
        },
        "locks": _locks(one),
        "link": told
        and {
            "audience": routing.audience(one.report),
            "happened_at": one.draft.when.happened_at,
            "within_m": routing.LINK_WITHIN_M,
            "vehicle": _vehicle(one),
            "vehicle_within_m": routing.VEHICLE_WITHIN_M,
            "police": Want.POLICE in one.report.wants,
            "fit": one.routing.fit,
            "channels": channels,
        },
        "alerts": [_alert(recipient, channels) for recipient in told],
        "escalate_in_s": alerts.ladder_step_s(one.answer.priority.level, _waits(one)),
        "grants": _grants(one),
        "fallback": control_room_fallback(one.city, settings.channels),
        "answer": key and {"answer": one.answer, "receipt_version": vault.receipt_version},
    }


def _row(one: Decided, settings: Settings) -> dict[str, Any]:
    report, when, around = one.report, one.draft.when, one.around
    located, journey = around.located, report.journey
    point = located.point
    return {
        "id": one.id,
        "city_id": one.city.id if one.city else None,
        "received_at": one.submission.received_at,
        "recorded_at": one.submission.received_at - when.age,
        "happened_from": report.happened_from and report.happened_from + when.skew,
        "happened_to": report.happened_to and report.happened_to + when.skew,
        "happened_estimated": report.happened_estimated,
        "happening": when.happening,
        "age_s": int(when.age.total_seconds()),
        "categories": list(report.categories or ("other",)),
        "category_groups": list(one.draft.groups),
        "perspective": report.perspective,
        "in_danger": report.in_danger,
        "hurt_or_unwell": report.hurt_or_unwell,
        "weapon_seen": report.weapon_seen,
        "person_nearby": report.person_nearby,
        "under_18": report.under_18,
        "wants": list(report.wants),
        "needs": list(report.needs),
        "share_with": list(report.share_with),
        "language": report.language,
        "position": point.ewkt() if point else None,
        "radius_m": located.radius_m,
        "location_source": located.source,
        "location_method": located.method,
        "fixed_at": report.location.fixed_at and report.location.fixed_at + when.skew,
        "place_id": around.place_id,
        "area_id": around.area_id,
        "cell_r7": geo.cell(point, 7) if point else None,
        "cell_r9": geo.cell(point, 9) if point else None,
        "mode": one.routing.facts.mode,
        "route_id": journey.route_id,
        "direction": journey.direction,
        "vehicle_id": journey.vehicle_id,
        "carriage": journey.carriage,
        "boarded_stop_id": journey.boarded_stop_id,
        "next_stop_id": journey.next_stop_id,
        "priority": one.answer.priority.level,
        "urgency": one.answer.priority.urgency,
        "severity": one.answer.priority.severity,
        "certainty": one.answer.priority.certainty,
        "reasons": one.answer.priority.reasons,
        "routing": _routing_record(one, settings),
        "warnings": one.answer.warnings,
        "status": one.answer.status,
        "joined": False,
        "client_id": (
            one.submission.principal.key_id
            if one.submission.principal.kind is Kind.CLIENT
            else None
        ),
        "exercise": report.exercise,
        "hoax": False,
        "held": False,
    }


def _routing_record(one: Decided, settings: Settings) -> dict[str, Any]:
    """What was decided and why, kept with the report; the later rungs are chosen by its facts."""
    facts = one.routing.facts
    return {
        "choices": one.answer.routed_to,
        "shortfalls": one.routing.shortfalls,
        "jurisdiction": one.answer.jurisdiction,
        "channels": settings.channels,
        "modes": one.around.modes or None,
        "capabilities": facts.capabilities,
        "facts": {
            "allows_police": facts.allows_police,
            "prefers_police": facts.prefers_police,
            "wants_team": facts.wants_team,
            "wants_hub": facts.wants_hub,
            "under_18": facts.under_18,
            "description_only": facts.description_only,
        },
    }


def _secrets(one: Decided, vault: Vault) -> dict[str, Any]:
    report = one.report
    fields = {
        "narrative": report.narrative,
        "description_of_person": report.description_of_person,
        "contact": report.contact and _text(report.contact),
        "location_description": report.location.description,
        "rejected": _text(kept) if (kept := _kept_aside(one)) else None,
    }
    sealed = vault.seal(one.id, {name: text for name, text in fields.items() if text})
    return {
        "report_id": one.id,
        "key_version": sealed.key_version,
        "wrapped_key": _bytea(sealed.wrapped_key),
        **{name: _bytea(text) for name, text in sealed.ciphertexts.items()},
    }


def _kept_aside(one: Decided) -> dict[str, Any]:
    """What was sent and is not in the report's own facts: somebody may still make sense of it."""
    claim, located = one.report.location, one.around.located
    kept = dict(one.report.rejected)
    if located.source != "stop" and claim.stop_id:
        kept["/location/stop_id"] = claim.stop_id
    if located.source != "point":
        if claim.point is not None:
            kept["/location/point"] = [claim.point.lon, claim.point.lat]
        elif claim.swapped is not None:
            kept["/location/point"] = [claim.swapped.lat, claim.swapped.lon]
    return kept


def _locks(one: Decided) -> list[int]:
    """Advisory lock keys that two linkable reports are sure to share."""
    point, vehicle = one.around.located.point, _vehicle(one)
    locks = geo.lock_cells(point, within_m=routing.LINK_WITHIN_M) if point else []
    if vehicle:
        digest = sha256(b"vehicle:" + vehicle.encode()).digest()
        locks.append(int.from_bytes(digest[:8], signed=True))
    return locks


def _vehicle(one: Decided) -> str | None:
    return routing.vehicle(one.report.journey, one.routing.facts.mode)


def _waits(one: Decided) -> alerts.Waits:
    """What the organisation of the team that is told first says of its time to answer."""
    first = next((r.team_id for r in one.routing.told if r.team_id is not None), None)
    room = one.city.control_room if one.city else None
    if room is not None and room.team_id == first:
        return room.waits_s
    return next((c.waits_s for c in one.around.candidates if c.team_id == first), {})


def _alert(recipient: Recipient, channels: Sequence[str]) -> dict[str, Any]:
    return {
        "team_id": recipient.team_id,
        "hub_id": recipient.hub_id,
        "organisation_id": recipient.organisation_id,
        "role": recipient.role,
        "rank": recipient.rank,
        "distance_m": recipient.distance_m,
        "reasons": recipient.reasons,
        "channels": channels,
    }


def _grants(one: Decided) -> list[dict[str, Any]]:
    """The control room's oversight, and what the passenger agreed to share."""
    found: list[tuple[UUID, str]] = []
    room = one.city.control_room if one.city and not one.report.tells_nobody else None
    if room and (not one.report.under_18 or "safeguarding" in room.capabilities):
        found.append((room.organisation_id, "oversight"))
    found += [(organisation_id, "consent") for organisation_id in one.around.readers.values()]
    return [
        {"organisation_id": organisation, "cause": cause, "level": "full"}
        for organisation, cause in found
    ]


def _bytea(value: bytes) -> str:
    return "\\x" + value.hex()


def _text(value: object) -> str:
    return orjson.dumps(value).decode()
