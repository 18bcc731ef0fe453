"""What a team says of itself: whether it is on duty, where it is and what it can do."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import events
from waylight.db import teams as db_teams
from waylight.db.session import Database
from waylight.domain.errors import (
    InvalidRequest,
    NotFound,
    Problem,
    StaleVersion,
)
from waylight.domain.principals import Principal
from waylight.domain.teams import (
    Capability,
    Duty,
    Fix,
    Heartbeat,
    Team,
    fix_problems,
    fixed_at,
)
from waylight.services.staff import organisation_of
from waylight.services.teams.reading import own_team, position_of, team_of, visible_team


def set_duty(
    database: Database,
    principal: Principal,
    *,
    team_id: UUID,
    duty: Duty,
    until: datetime | None,
    if_match: int | None,
    now: datetime,
) -> Team:
    """A team says that it is available, busy or off, until further notice or until an instant.

    It counts from the next report on. A team that goes off is no longer known to be anywhere, and
    an alert that it has not answered climbs at the worker's next look. Raises NotFound, NotAllowed
    for a team of another organisation that the caller oversees, StaleVersion when `if_match` is not
    the team's version any more, InvalidRequest for an `until` in the past.
    """
    if until is not None and until <= now:
        raise InvalidRequest(
            problems=[Problem("/until", "in_the_past", "This moment is over: send a later one.")]
        )
    with database.staff(organisation_of(principal)) as conn:
        row = own_team(conn, principal, team_id, now=now)
        if not db_teams.set_duty(conn, team_id, status=duty, until=until, if_match=if_match):
            raise StaleVersion(version=visible_team(conn, principal, team_id, now=now)["version"])
        if duty is Duty.OFF:
            db_teams.forget_position(conn, team_id)
        tell(conn, principal, row, "team.duty_changed", {"duty": duty}, now=now)
        row = visible_team(conn, principal, team_id, now=now)
    return team_of(database, row, now=now)


def set_capabilities(
    database: Database,
    principal: Principal,
    *,
    team_id: UUID,
    capabilities: Sequence[Capability] | None,
    if_match: int | None,
    now: datetime,
) -> Team:
    """What a team can do, each until its certificate ends, in place of what its city pack says.

    None gives the word back to the pack. It counts from the next report on. Raises NotFound,
    NotAllowed, StaleVersion, InvalidRequest for one that is there twice or has ended already.
    """
    problems = capability_problems(capabilities or (), now=now)
    if problems:
        raise InvalidRequest(problems=problems)
    said = None if capabilities is None else written(capabilities)
    with database.staff(organisation_of(principal)) as conn:
        row = own_team(conn, principal, team_id, now=now)
        if not db_teams.set_capabilities(conn, team_id, said, if_match=if_match):
            raise StaleVersion(version=visible_team(conn, principal, team_id, now=now)["version"])
        tell(
            conn,
            principal,
            row,
            "team.capabilities_changed",
            {"capabilities": said},
            now=now,
        )
        row = visible_team(conn, principal, team_id, now=now)
    return team_of(database, row, now=now)


def written(capabilities: Sequence[Capability]) -> dict[str, str | None]:
    """Capabilities as `teams.staff_capabilities` has them."""
    return {one.code: one.until.isoformat() if one.until else None for one in capabilities}


def capability_problems(capabilities: Sequence[Capability], *, now: datetime) -> list[Problem]:
    """What is wrong with what a team is said to be able to do."""
    found = []
    times = Counter(one.code for one in capabilities)
    for number, one in enumerate(capabilities):
        pointer = f"/capabilities/{number}"
        if times[one.code] > 1:
            detail = "This is there twice: keep the one that is right."
            found.append(Problem(f"{pointer}/capability", "duplicate", detail))
        if not one.is_valid(now):
            detail = "This has ended: leave the capability out, or send the new end."
            found.append(Problem(f"{pointer}/until", "in_the_past", detail))
    return found


def set_position(
    database: Database, principal: Principal, *, team_id: UUID, fix: Fix, now: datetime
) -> Heartbeat:
    """A team says where it is; the last such position is kept, and none before it.

    A fix that is no newer than the one known changes nothing, and the answer says so. Nothing is
    written but the position: no event, no version. Raises NotFound, NotAllowed, InvalidRequest for
    a fix that cannot be right.
    """
    with database.staff(organisation_of(principal)) as conn:
        own_team(conn, principal, team_id, now=now)
        far_m = db_teams.from_base_m(conn, team_id, fix.point)
        problems = fix_problems(fix, from_base_m=far_m, now=now)
        if problems:
            raise InvalidRequest(problems=problems)
        moved = db_teams.move(
            conn,
            team_id,
            fix.point,
            fixed_at=fixed_at(fix, now=now),
            accuracy_m=fix.accuracy_m,
            now=now,
        )
        position = position_of(visible_team(conn, principal, team_id, now=now), now=now)
    if position is None:  # it was forgotten in between: the team has gone off duty
        raise NotFound
    return Heartbeat(ignored=None if moved else "older", position=position)


def tell(
    conn: Connection[Any],
    principal: Principal,
    row: Mapping[str, Any],
    kind: str,
    data: Mapping[str, Any],
    *,
    now: datetime,
) -> None:
    """Writes an event about a team, in the caller's transaction."""
    events.write(
        conn,
        events.Event(
            kind,
            now,
            city_id=row["city_id"],
            organisation_id=principal.organisation_id,
            staff_id=principal.staff_id,
            data={"team_id": str(row["id"]), **data},
        ),
    )
