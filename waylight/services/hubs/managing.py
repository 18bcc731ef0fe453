"""What the staff of a hub's organisation change. It counts from the next answer on."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils.compat
from psycopg import Connection

from waylight.db import events
from waylight.db.hubs import managing
from waylight.db.session import Database
from waylight.domain import schedules as hours
from waylight.domain.changes import check_says_something
from waylight.domain.cities import City
from waylight.domain.errors import (
    InvalidRequest,
    NotAllowed,
    NotFound,
    Problem,
    StaleVersion,
    StateConflict,
)
from waylight.domain.geo import Point
from waylight.domain.hubs import LONGEST_OVERRIDE, HubDesk, Override, Standing
from waylight.domain.principals import Principal
from waylight.log import get_logger
from waylight.services import audit, naming
from waylight.services.cities import read_cities
from waylight.services.hubs.reading import Clock, hub_of
from waylight.services.hubs.walks import redirect_walks
from waylight.services.schedules import end_of_today_in, expand_hub
from waylight.services.staff import organisation_of
from waylight.services.sweeping import sweep
from waylight.services.teams import city_of, outside_problems
from waylight.vault import Vault

SWEEP = 200
MOST_HUBS = 500
"""Of one organisation."""

log = get_logger(__name__)


def read_desk(database: Database, principal: Principal, *, hub_id: UUID, now: datetime) -> HubDesk:
    """A hub as its own staff see it. Raises NotFound, NotAllowed for another organisation's."""
    with database.staff(organisation_of(principal)) as conn:
        return _desk(conn, _own(conn, principal, hub_id, now=now), now=now)


def edit_hub(
    database: Database,
    principal: Principal,
    *,
    hub_id: UUID,
    values: Mapping[str, Any],
    if_match: int | None,
    now: datetime,
    channels: Sequence[str],
) -> HubDesk:
    """Changes its hours, services and the like; a pack loaded later leaves them as they are.

    Hours are expanded anew in the same transaction. Raises as `read_desk`, StaleVersion, and
    InvalidRequest for hours that cannot be read, for another organisation's name, and when nothing
    is to be changed.
    """
    values = dict(values)
    outside_city = values.pop("outside_city", False)
    check_says_something(is_empty=not values)
    problems = _hours_problems(values)
    if problems:
        raise InvalidRequest(problems=problems)
    here = values.get("position")

    def change(conn: Connection[Any], row: Mapping[str, Any]) -> Mapping[str, Any]:
        if here is not None:
            if row["mobile"]:
                raise StateConflict("This hub moves: say where it is with PUT .../position.")
            wrong = [] if outside_city else outside_problems(_city(conn, row), here, "/position")
            if wrong:
                raise InvalidRequest(problems=wrong)
            managing.settle(conn, hub_id, here)
        if "name" in values and values["name"] != row["name"]:
            naming.check_says_no_other(conn, row["organisation_id"], values["name"])
        if set(values) - {"position"}:
            managing.edit(conn, hub_id, values)
        return {"changed": sorted(values)}

    return _change(
        database, principal, hub_id, change, if_match=if_match, now=now, channels=channels
    )


def found_hub(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    values: Mapping[str, Any],
    request_id: str | None = None,
    now: datetime,
) -> HubDesk:
    """A new hub of the caller's organisation: passengers are shown it from the next answer on.

    Raises InvalidRequest for hours that cannot be read, for another organisation's name, a place
    outside the city unless `outside_city`, and for one hub more than an organisation may have.
    """
    organisation_id = organisation_of(principal)
    values = dict(values)
    outside_city = values.pop("outside_city", False)
    problems = _hours_problems(values)
    hub_id: UUID = uuid_utils.compat.uuid7()
    with database.staff(organisation_id) as conn:
        naming.check_says_no_other(conn, organisation_id, values["name"])
        city = city_of(conn, organisation_id)
        if not outside_city:
            problems += outside_problems(city, values["position"], "/position")
        if problems:
            raise InvalidRequest(problems=problems)
        if managing.count(conn, organisation_id) >= MOST_HUBS:
            detail = f"An organisation has {MOST_HUBS} hubs at most: retire some."
            raise InvalidRequest(problems=[Problem("", "too_many", detail)])
        managing.found(conn, hub_id, organisation_id=organisation_id, values=values, now=now)
        expand_hub(conn, hub_id, now=now)
        row = _own(conn, principal, hub_id, now=now)
        audit.write(
            conn,
            vault,
            "hub.created",
            principal=principal,
            subject_id=hub_id,
            request_id=request_id,
            now=now,
        )
        _tell(conn, row, {"changed": ["created"]}, staff_id=principal.staff_id, now=now)
        return _desk(conn, row, now=now)


def retire_hub(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    hub_id: UUID,
    if_match: int | None,
    request_id: str | None = None,
    now: datetime,
    channels: Sequence[str],
) -> None:
    """Takes a hub out of use for good. Whoever is on the way there is told of the nearest open one.

    Raises as `read_desk`, and StaleVersion.
    """
    with database.staff(organisation_of(principal)) as conn:
        row = _own(conn, principal, hub_id, now=now)
        if not managing.take_version(conn, hub_id, if_match=if_match, now=now):
            raise StaleVersion(version=_own(conn, principal, hub_id, now=now)["version"])
        managing.end_override(conn, hub_id, now=now)
        managing.retire(conn, hub_id)
        audit.write(
            conn,
            vault,
            "hub.retired",
            principal=principal,
            subject_id=hub_id,
            request_id=request_id,
            now=now,
        )
        gone = {**row, "version": row["version"] + 1, "open": False, "open_until": None}
        _tell(conn, gone, {"changed": ["retired"]}, staff_id=principal.staff_id, now=now)
    _redirect(database, hub_id, channels=channels, now=now)


def override_hub(
    database: Database,
    principal: Principal,
    *,
    hub_id: UUID,
    status: Standing,
    until: datetime | None,
    reason: str,
    if_match: int | None,
    now: datetime,
    channels: Sequence[str],
) -> HubDesk:
    """Opens or closes it now, whatever its hours say, until an instant or until today's hours end.

    It ends by itself, and replaces the override before it. Raises as `edit_hub`; InvalidRequest for
    an end in the past, one further than 30 days away, and where today has no hours left.
    """

    def change(conn: Connection[Any], row: Mapping[str, Any]) -> Mapping[str, Any]:
        ends_at = until or _end_of_today(conn, row, now=now)
        managing.end_override(conn, hub_id, now=now)
        managing.set_override(
            conn,
            hub_id,
            organisation_id=row["organisation_id"],
            status=status,
            until=ends_at,
            reason=reason,
            staff_id=principal.staff_id,
            now=now,
        )
        return {"changed": ["override"]}

    if until is not None and until <= now:
        raise _unfit("in_the_past", "This moment is over: send a later one.")
    if until is not None and until > now + LONGEST_OVERRIDE:
        raise _unfit(
            "too_far", f"At most {LONGEST_OVERRIDE.days} days: for longer, change the hours."
        )
    return _change(
        database, principal, hub_id, change, if_match=if_match, now=now, channels=channels
    )


def lift_override(
    database: Database,
    principal: Principal,
    *,
    hub_id: UUID,
    if_match: int | None,
    now: datetime,
    channels: Sequence[str],
) -> HubDesk:
    """Its hours count again; without an override nothing changes. Raises as `edit_hub`."""

    def change(conn: Connection[Any], _row: Mapping[str, Any]) -> Mapping[str, Any]:
        managing.end_override(conn, hub_id, now=now)
        return {"changed": ["override"]}

    return _change(
        database, principal, hub_id, change, if_match=if_match, now=now, channels=channels
    )


def move_hub(
    database: Database,
    principal: Principal,
    *,
    hub_id: UUID,
    here: Point,
    fixed_at: datetime | None,
    if_match: int | None,
    now: datetime,
    channels: Sequence[str],
) -> HubDesk:
    """A mobile hub says where it is, and since when it knows. An older fix changes nothing.

    Raises as `edit_hub`; StateConflict for a hub that does not move, InvalidRequest for a fix from
    the future and for a place outside the hub's city: people would be sent there, or to nobody.
    """
    # A phone's clock that runs a minute ahead is no reason to lose a bus.
    if fixed_at is not None and (fixed_at - now).total_seconds() > 60:
        raise InvalidRequest(
            problems=[Problem("/fixed_at", "in_the_future", "This moment has not come yet.")]
        )

    def change(conn: Connection[Any], row: Mapping[str, Any]) -> Mapping[str, Any]:
        if not row["mobile"]:
            raise StateConflict("This hub does not move: only a mobile hub has a position to send.")
        city = _city(conn, row)
        if not city.bounds.contains(here):
            raise InvalidRequest(problems=[_outside(city, here)])
        managing.move(conn, hub_id, here, fixed_at=min(fixed_at or now, now), now=now)
        return {"changed": ["position"]}

    return _change(
        database, principal, hub_id, change, if_match=if_match, now=now, channels=channels
    )


def _change(
    database: Database,
    principal: Principal,
    hub_id: UUID,
    change: Callable[[Connection[Any], Mapping[str, Any]], Mapping[str, Any]],
    *,
    if_match: int | None,
    now: datetime,
    channels: Sequence[str],
) -> HubDesk:
    """One change in one transaction: version, change, hours expanded anew, event.

    Whoever is on the way there is told after the commit; should that fail, the worker does it.
    """
    with database.staff(organisation_of(principal)) as conn:
        _own(conn, principal, hub_id, now=now)
        if not managing.take_version(conn, hub_id, if_match=if_match, now=now):
            raise StaleVersion(version=_own(conn, principal, hub_id, now=now)["version"])
        said = change(conn, _own(conn, principal, hub_id, now=now))
        expand_hub(conn, hub_id, now=now)
        row = _own(conn, principal, hub_id, now=now)
        _tell(conn, row, said, staff_id=principal.staff_id, now=now)
        found = _desk(conn, row, now=now)
    _redirect(database, hub_id, channels=channels, now=now)
    return found


def _redirect(database: Database, hub_id: UUID, *, channels: Sequence[str], now: datetime) -> None:
    try:
        redirect_walks(database, channels=channels, now=now, hub_id=hub_id)
    except Exception:
        log.exception("walks_left_to_worker", hub_id=str(hub_id))


def _hours_problems(values: Mapping[str, Any]) -> list[Problem]:
    try:
        if "opening_hours" in values:
            hours.validate(values["opening_hours"])
    except ValueError as error:
        return [Problem("/opening_hours", "hours_unreadable", f"{error}.")]
    return []


def tell_of_ended_overrides(database: Database, *, now: datetime, limit: int = SWEEP) -> int:
    """Says of each hub whose override has ended by itself how it stands now; returns how many.

    Once, however many workers look. Raises Unavailable.
    """

    def tell(conn: Connection[Any], ended: Mapping[str, Any]) -> None:
        row = managing.at_desk(conn, ended["hub_id"], at=now)
        if row is not None:
            _tell(conn, row, {"changed": ["override"]}, staff_id=None, now=now)
        managing.mark_end_told(conn, ended["id"], now=now)

    return sweep(
        database,
        find=lambda conn, seen: managing.ended_override(conn, now=now, skip=seen),
        id_of=lambda ended: ended["id"],
        do=tell,
        failure="override_end_not_told",
        of="override_id",
        limit=limit,
    )


def _tell(
    conn: Connection[Any],
    row: Mapping[str, Any],
    said: Mapping[str, Any],
    *,
    staff_id: UUID | None,
    now: datetime,
) -> None:
    events.write(
        conn,
        events.Event(
            "hub.updated",
            now,
            city_id=row["city_id"],
            organisation_id=row["organisation_id"],
            staff_id=staff_id,
            data={
                "hub_id": str(row["id"]),
                "version": row["version"],
                "open": row["open"],
                "open_until": row["open_until"] and row["open_until"].isoformat(),
                **said,
            },
        ),
    )


def _own(
    conn: Connection[Any], principal: Principal, hub_id: UUID, *, now: datetime
) -> dict[str, Any]:
    row = managing.at_desk(conn, hub_id, at=now)
    if row is None:
        raise NotFound
    if row["organisation_id"] != principal.organisation_id:
        raise NotAllowed("Only the staff of the hub's own organisation manage it.")
    return row


def _desk(conn: Connection[Any], row: Mapping[str, Any], *, now: datetime) -> HubDesk:
    running = None
    if row["status"] is not None:
        running = Override(
            status=Standing(row["status"]),
            starts_at=row["starts_at"],
            ends_at=row["ends_at"],
            reason=row["reason"],
            set_by=row["set_by"],
        )
    return HubDesk(
        hub=hub_of(row, Clock(conn, at=now, now=now)),
        version=row["version"],
        override=running,
        edited=tuple(row["edited"]),
    )


def _city(conn: Connection[Any], row: Mapping[str, Any]) -> City:
    return next(city for city in read_cities(conn) if city.id == row["city_id"])


def _outside(city: City, here: Point) -> Problem:
    swapped = abs(here.lon) <= 90 and city.bounds.contains(Point(here.lat, here.lon))
    box = city.bounds
    detail = (
        f"This is outside {city.name}: longitude {box.west:g} to {box.east:g}, latitude"
        f" {box.south:g} to {box.north:g}. "
    )
    fix = (
        "Longitude comes first: swap the two." if swapped else "Wait for a fix from the hub itself."
    )
    return Problem("/position", "outside_city", detail + fix)


def _end_of_today(conn: Connection[Any], row: Mapping[str, Any], *, now: datetime) -> datetime:
    ends_at = end_of_today_in(_city(conn, row), row["opening_hours"], now)
    if ends_at is None:
        raise _unfit("no_hours_today", "Today's hours are over or have no end: say until when.")
    return ends_at


def _unfit(code: str, detail: str) -> InvalidRequest:
    return InvalidRequest(problems=[Problem("/until", code, detail)])
