"""What stands between this deployment and its work: every finding with its fix."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from waylight.db.operations import health
from waylight.db.session import Database, Role
from waylight.domain.errors import Unavailable
from waylight.services.operations import migrations
from waylight.services.operations.health import WORKER_SILENCE

HORIZON = timedelta(days=7)
"""Hours, shifts and partitions must reach this far; a worker keeps them weeks ahead."""

LATE = timedelta(minutes=1)

CONTACTS_KEPT_FOR = timedelta(days=183)
"""Emergency contacts that nobody has looked at for half a year are not to be trusted."""

OLDEST_SERVER = 140_000
ROLES: tuple[Role, ...] = ("intake", "staff")


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `problem` and `fix` are None when it is well."""

    what: str
    problem: str | None = None
    fix: str | None = None


State = Mapping[str, Any]


def examine(database: Database, *, now: datetime) -> Iterator[Finding]:
    """Looks at one thing after the other; stops where the rest could not be seen."""
    logins: list[State] = []
    for role in ROLES:
        try:
            # Past the pool, which says only that it got no connection, and not why.
            with database.connect(role) as conn:
                logins.append(health.server(conn))
        except Unavailable as error:
            yield Finding(
                f"database, as {role}",
                f"cannot be reached: {_first_line(error.__cause__)}",
                "start PostgreSQL and check WAYLIGHT_DATABASE_URL; `waylight migrate` makes the"
                " roles and their logins",
            )
            return
        yield Finding(f"database, as {role}")
    yield _version(logins[0])
    yield _roles(logins)
    extensions = _extensions(logins[0])
    yield extensions
    if extensions.problem:
        return
    at, needed = migrations.current(database), migrations.head()
    if at != needed:
        yield Finding(
            "migrations",
            f"the schema is at {at or 'nothing'}, and this code needs {needed}",
            "run `waylight migrate`",
        )
        return
    yield Finding("migrations")
    with database.intake() as conn:
        state = health.state(conn, soon=now + HORIZON, late=now - LATE)
    for look in LOOKS:
        yield look(state, now)


def _version(server: State) -> Finding:
    if server["server_version"] < OLDEST_SERVER:
        return Finding(
            "PostgreSQL",
            f"version {server['server_version'] // 10_000} is too old",
            "use PostgreSQL 14 or newer",
        )
    return Finding("PostgreSQL")


def _extensions(server: State) -> Finding:
    missing = [name for name in ("postgis", "pg_trgm") if server[name] is None]
    if missing:
        return Finding(
            "extensions", f"{' and '.join(missing)} not installed", "run `waylight migrate`"
        )
    if int(server["postgis"].split(".")[0]) < 3:
        return Finding(
            "extensions",
            f"PostGIS {server['postgis']} is too old",
            "install PostGIS 3 and run `select postgis_extensions_upgrade()`",
        )
    return Finding("extensions")


def _roles(logins: list[State]) -> Finding:
    unbound = [login["login"] for login in logins if login["unbound"]]
    if unbound:
        return Finding(
            "roles",
            f"{' and '.join(unbound)} may see everything: row-level security does not bind them",
            "let WAYLIGHT_INTAKE_URL and WAYLIGHT_STAFF_URL name unprivileged roles, or leave them"
            " out",
        )
    return Finding("roles")


def _cities(state: State, _now: datetime) -> Finding:
    if state["cities"] == 0:
        return Finding("cities", "none is loaded", "run `waylight load data/london`")
    if state["without_control_room"]:
        return Finding(
            "cities",
            f"{state['without_control_room']} without a control room: nobody is the last resort",
            "name one in the pack's city.yaml and load the pack again",
        )
    return Finding("cities")


def _worker(state: State, now: datetime) -> Finding:
    last = state["last_beat"]
    if last is None or now - last > WORKER_SILENCE:
        heard = f"the last one was heard of at {last:%Y-%m-%d %H:%M:%S}Z" if last else "none ever"
        return Finding(
            "worker", f"none lives ({heard}): nobody is alerted", "run `waylight worker`"
        )
    return Finding("worker")


def _queues(state: State, _now: datetime) -> Finding:
    late = [
        f"{state[name]} {what}"
        for name, what in (
            ("deliveries_late", "deliveries"),
            ("events_late", "events"),
            ("unrouted", "unrouted reports"),
        )
        if state[name]
    ]
    if late:
        return Finding(
            "queues",
            f"{', '.join(late)} wait for a worker",
            "see the worker's log; run more workers",
        )
    return Finding("queues")


def _hours(state: State, _now: datetime) -> Finding:
    short = [
        f"{state[name]} {what}"
        for name, what in (("hubs_unexpanded", "hubs"), ("teams_unexpanded", "teams"))
        if state[name]
    ]
    if short:
        return Finding(
            "opening hours and shifts",
            f"known for less than {HORIZON.days} days: {' and '.join(short)}",
            "a living worker expands them within a minute; see its log",
        )
    return Finding("opening hours and shifts")


def _partitions(state: State, now: datetime) -> Finding:
    if not state["partition_soon"]:
        return Finding(
            "partitions",
            f"none for reports of {now + HORIZON:%B}: they go to the default partition",
            "a living worker makes them within the hour; see its log",
        )
    return Finding("partitions")


def _contacts(state: State, now: datetime) -> Finding:
    verified = state["contacts_verified_at"]
    if state["cities"] and (
        state["contacts_unverified"] or now.date() - verified > CONTACTS_KEPT_FOR
    ):
        return Finding(
            "emergency contacts",
            f"last verified {verified or 'never'}",
            "call each number in the pack's contacts.yaml, set verified_at, load the pack again",
        )
    return Finding("emergency contacts")


LOOKS: tuple[Callable[[State, datetime], Finding], ...] = (
    _cities,
    _worker,
    _queues,
    _hours,
    _partitions,
    _contacts,
)


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().partition("\n")[0]
