"""What the worker keeps in order beside its deliveries. Each chore is safe to run at any time."""

from datetime import datetime, timedelta

from waylight.db import clock, events, identity_providers, notices, push, sessions, teams
from waylight.db.operations import chores
from waylight.db.session import Database
from waylight.domain.teams import OLDEST_FIX
from waylight.log import get_logger
from waylight.services import schedules
from waylight.services.operations.health import WORKER_SILENCE

KEYS_KEPT_FOR = timedelta(hours=72)
"""How long a retry is recognised by its Idempotency-Key (design, D4)."""

NOTICES_KEPT_FOR = timedelta(days=7)
"""How long an answer by text is known to have come: longer than any code, or a provider, lives."""

DESK_KEPT_FOR = timedelta(days=400)
"""How long it is known who arrived at a hub, and what its hours and a team's were on one day: so
that each month can be held against the same one of the year before."""

SESSIONS_KEPT_FOR = timedelta(days=30)
"""How long a session is there after it was over: so that its person and their administrator can
ask about it. The audit log keeps its id."""

ATTEMPTS_KEPT_FOR = timedelta(days=1)
"""How long it is counted who tried to sign in, as hashes whose salt lasts no longer."""

CASES_KEPT_FOR = timedelta(days=30)
"""How long it is known that a support service had a case, after what was in it was destroyed."""

LONGEST_STEP = timedelta(minutes=15)
"""Of a ladder, and between two alarms of an exhausted one."""

LONGEST_RETRY = timedelta(hours=1)
"""Of a message to a person: no channel waits longer for a provider that asks for time."""

TOLERANCE = timedelta(minutes=1)

MONTHS_AHEAD = 3
BATCH = 1_000

log = get_logger(__name__)


def number_events(database: Database) -> int:
    """Gives up to `BATCH` committed events their public sequence; returns how many.

    Numbers have no gap and appear in order. Another worker at it is left to it. Raises Unavailable.
    """
    with database.intake() as conn:
        return events.give_numbers(conn, limit=BATCH)


def make_partitions(database: Database) -> int:
    """Makes the coming months' partitions; returns how many were missing. Raises Unavailable."""
    made = 0
    for table in chores.PARTITIONED:
        # Each table by itself: making a partition locks the whole table for that moment.
        with database.intake() as conn:
            if chores.take_turn(conn, "partitions"):
                made += chores.make_partitions(conn, table, months_ahead=MONTHS_AHEAD)
    return made


def expand_schedules(database: Database, *, now: datetime) -> None:
    """Expands opening hours and shifts whose horizon is near. Raises Unavailable."""
    schedules.expand_due(database, now=now)


def set_times_right(database: Database, *, lease_s: float, now: datetime) -> int:
    """Makes due what was put off by a clock that ran ahead and came back; returns how much.

    All processes go by the database's clock, so it is that one which jumped. What was to be said,
    tried again or climbed in a minute would otherwise wait for hours, and what a dead worker had
    taken as well. Raises Unavailable.
    """
    with database.intake() as conn:
        hurried = chores.hurry_ladders(conn, now=now, beyond=now + LONGEST_STEP + TOLERANCE)
        hurried += chores.hurry_messages(
            conn,
            now=now,
            beyond=now + TOLERANCE,
            retried_by=now + LONGEST_RETRY + TOLERANCE,
            lease_ends_by=now + timedelta(seconds=lease_s) + TOLERANCE,
        )
    if hurried:
        log.warning("times_set_right", count=hurried)
    return hurried


def purge(database: Database, *, now: datetime) -> int:
    """Forgets idempotency keys past their time, workers long dead and where teams were a day ago.

    So it does sessions that are long over and who tried to sign in, who arrived at a hub, overrides
    and single shifts of more than a year ago, and sign-ins by a provider that are over, and ends
    devices whose subscription or key has expired. Of reports that are no more it forgets what their
    grants were and what support workers wrote. Raises Unavailable.
    """
    purged = 0
    while True:
        with database.intake() as conn:
            if not chores.take_turn(conn, "purge"):
                return purged
            chores.forget_dead_workers(conn, now=now)
            sessions.forget_over(conn, before=now - SESSIONS_KEPT_FOR, limit=BATCH)
            sessions.forget_attempts(conn, before=now - ATTEMPTS_KEPT_FOR)
            chores.forget_duty_desk(conn, before=now - DESK_KEPT_FOR)
            teams.forget_old_positions(conn, before=now - OLDEST_FIX)
            push.end_expired(conn, now=now)
            identity_providers.forget_spent(conn, now=now)
            notices.purge(conn, now=now, kept_for=NOTICES_KEPT_FOR)
            chores.forget_with_reports(conn, destroyed_before=now - CASES_KEPT_FOR, limit=BATCH)
            batch = chores.purge_idempotency_keys(conn, before=now - KEYS_KEPT_FOR, limit=BATCH)
        purged += batch
        if batch < BATCH:
            return purged


def beat(
    database: Database,
    worker_id: str,
    *,
    host: str,
    pid: int,
    started_at: datetime,
    now: datetime,
) -> None:
    """Says that this worker lives; without a fresh beat the 201 says that alerting is delayed."""
    with database.intake() as conn:
        chores.beat(conn, worker_id, host=host, pid=pid, started_at=started_at, now=now)


def is_beating(database: Database, host: str) -> bool:
    """Whether a worker on this host lives and can work. Raises Unavailable."""
    with database.connect("intake") as conn:
        last = chores.last_beat(conn, host)
        return last is not None and clock.read(conn) - last <= WORKER_SILENCE


def stop_beating(database: Database, worker_id: str) -> None:
    """Says at once that this worker has stopped. Raises Unavailable."""
    with database.intake() as conn:
        chores.stop_beating(conn, worker_id)
