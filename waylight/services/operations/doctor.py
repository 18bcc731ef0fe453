"""What stands between this deployment and its work: every finding with its fix."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import psycopg

from waylight.config import ConfigurationError, Settings
from waylight.db.operations import health
from waylight.db.session import Connection, Database, Role
from waylight.domain.errors import Unavailable
from waylight.services.operations import migrations
from waylight.services.operations.health import WORKER_SILENCE
from waylight.vault import Vault, VaultError

HORIZON = timedelta(days=7)
"""Hours, shifts and partitions must reach this far; a worker keeps them weeks ahead."""

LATE = timedelta(minutes=1)

PATIENCE_S = 20.0
"""For one look: a table that somebody has locked must not keep the rest from being told."""

MISSED_FOR = timedelta(hours=1)
"""How long a worker that fell silent while others live is asked after."""

CONTACTS_KEPT_FOR = timedelta(days=90)
"""Emergency contacts that nobody has looked at for longer are not to be trusted."""

CLOCKS_AGREE_WITHIN = timedelta(seconds=2)
SAMPLE = 25
"""Stories and receipts that are tried, of the newest and of the oldest."""

OLDEST_SERVER = 140_000
ROLES: tuple[Role, ...] = ("intake", "staff")


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `problem` and `fix` are None when it is well."""

    what: str
    problem: str | None = None
    fix: str | None = None


State = Mapping[str, Any]


def usable_settings(environ: Mapping[str, str]) -> tuple[list[Finding], Settings | None]:
    """What is wrong with the settings, and those settings with the wrong ones left out.

    None when a setting without which nothing can be looked at is missing or wrong.
    """
    try:
        return [Finding("settings")], Settings.from_environment(environ)
    except ConfigurationError as error:
        found = [
            Finding("settings", problem, "set it as docs/config.md says, and start again")
            for problem in error.problems
        ]
        wrong = {problem.split()[0] for problem in error.problems}
    try:
        rest = {name: value for name, value in environ.items() if name not in wrong}
        return found, Settings.from_environment(rest)
    except ConfigurationError:
        return found, None


def examine(
    database: Database,
    vault: Vault,
    *,
    now: datetime,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Iterator[Finding]:
    """Looks at one thing after the other, and past a problem at whatever can still be seen."""
    logins: list[State] = []
    for role in ROLES:
        finding, login = _login(database, role)
        yield finding
        if login is not None:
            logins.append(login)
    conn = _somebody(database)
    if conn is None:
        return
    with closing(conn):
        asked = clock()
        server = health.server(conn)
        yield _clock(server["clock"], earliest=asked, latest=clock())
        yield _version(server)
        if logins:
            yield _roles(logins)
        yield _extensions(server)
        at, needed = _revision(conn), migrations.head()
        yield _migrations(at, needed)
        yield _rights(health.lacking_rights(conn))
        yield from _data(conn, vault, now=now, is_behind=(at or "") < needed)


def _login(database: Database, role: Role) -> tuple[Finding, State | None]:
    what = f"database, as {role}"
    try:
        # Past the pool, which says only that it got no connection, and not why.
        with closing(database.connect(role)) as conn:
            return Finding(what), health.server(conn)
    except Unavailable as error:
        why = _first_line(error.__cause__)
        return Finding(what, f"cannot be used: {why}", _way_in(why)), None


def _way_in(why: str) -> str:
    """What lets a login in that was refused for this reason."""
    if "password authentication failed" in why:
        return (
            "run `waylight migrate`, which sets the passwords of the two roles; they come from the"
            " lowest key of WAYLIGHT_VAULT_KEYS: when that was lost, put it back first"
        )
    if "does not exist" in why and "database" in why and "role" not in why:
        return "create the database, or correct its name in WAYLIGHT_DATABASE_URL"
    if "permission denied for database" in why:
        return (
            "as its owner: grant connect on database ... to waylight_intake, waylight_staff (the"
            " name is in WAYLIGHT_DATABASE_URL)"
        )
    if "role" in why:
        return "run `waylight migrate`, which makes the roles and lets them log in"
    return "start PostgreSQL, and check host and port in WAYLIGHT_DATABASE_URL"


def _somebody(database: Database) -> Connection | None:
    """A connection of whoever gets in, the least privileged first."""
    logins: tuple[Role | Literal["owner", "admin"], ...] = ("intake", "owner", "admin")
    for login in logins:
        try:
            conn = database.connect(login)
        except (Unavailable, ConfigurationError, psycopg.Error):
            continue
        conn.autocommit = True  # one look that fails must not spoil the next
        conn.execute(f"set statement_timeout = {round(PATIENCE_S * 1000)}")
        return conn
    return None


def _clock(at: datetime, *, earliest: datetime, latest: datetime) -> Finding:
    if earliest - CLOCKS_AGREE_WITHIN <= at <= latest + CLOCKS_AGREE_WITHIN:
        return Finding("clock")
    apart_s = (earliest - at if at < earliest else at - latest).total_seconds()
    return Finding(
        "clock",
        f"this machine and the database differ by {apart_s:.0f} s: ages, leases and ladders go"
        " wrong",
        "let both keep their clocks by NTP (`timedatectl set-ntp true`)",
    )


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


def _revision(conn: Connection) -> str | None:
    try:
        row = conn.execute("select max(version_num) from alembic_version").fetchone()
    except psycopg.Error:
        return None
    return row[0] if row else None


def _migrations(at: str | None, needed: str) -> Finding:
    if (at or "") < needed:
        return Finding(
            "migrations",
            f"the schema is at {at or 'nothing'}, and this code needs {needed}",
            "run `waylight migrate`",
        )
    if at != needed:
        return Finding(
            "migrations",
            f"the schema is at {at}, ahead of this code, which knows {needed}",
            "run the release that made it; to go back instead, let that release run"
            f" `waylight migrate --down {needed}`, which loses what is newer",
        )
    return Finding("migrations")


def _rights(lacking: list[str]) -> Finding:
    if lacking:
        shown = lacking[:5]
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        return Finding(
            "rights",
            f"the roles lack {', '.join(shown)}{more}",
            "as the owner of the tables: "
            + "; ".join(f"grant {right.replace(' of ', ' to ')}" for right in lacking),
        )
    return Finding("rights")


def _data(conn: Connection, vault: Vault, *, now: datetime, is_behind: bool) -> Iterator[Finding]:
    """What the tables say; an old schema may lack some, which is told already."""
    try:
        state = health.state(
            conn,
            soon=now + HORIZON,
            late=now - LATE,
            silent=now - WORKER_SILENCE,
            missed=now - MISSED_FOR,
        )
        secrets, receipts = health.secrets(conn, SAMPLE), health.receipts(conn, SAMPLE)
    except psycopg.Error as error:
        if not is_behind:
            yield Finding(
                "tables",
                f"cannot be read: {_first_line(error)}",
                "mend what is told above; then ask again",
            )
        return
    for look in LOOKS:
        yield look(state, now)
    yield _vault_keys(secrets, vault)
    yield _receipt_keys(receipts, vault)


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
    if state["silent_workers"]:
        return Finding(
            "worker",
            f"fell silent without a goodbye: {', '.join(state['silent_workers'])}",
            "look at its log and start it again there; one that is gone for good is forgotten"
            " within the hour",
        )
    return Finding("worker")


def _queues(state: State, _now: datetime) -> Finding:
    late = [
        f"{state[name]} {what}"
        for name, what in (
            ("deliveries_late", "deliveries"),
            ("climbs_late", "ladders"),
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


def _unanswered(state: State, _now: datetime) -> Finding:
    if state["unanswered"]:
        return Finding(
            "unanswered alerts",
            f"{state['unanswered']} incidents: all have been told, and nobody has answered",
            "call the control room; one of its people acknowledges or closes each (`unanswered_at`"
            " in GET /v1/alerts)",
        )
    return Finding("unanswered alerts")


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
            f"last verified {verified or 'never'}, more than {CONTACTS_KEPT_FOR.days} days ago"
            if verified
            else "never verified",
            "call each number in the pack's contacts.yaml, set verified_at, load the pack again",
        )
    return Finding("emergency contacts")


LOOKS: tuple[Callable[[State, datetime], Finding], ...] = (
    _cities,
    _worker,
    _queues,
    _unanswered,
    _hours,
    _partitions,
    _contacts,
)


def _vault_keys(sample: Sequence[State], vault: Vault) -> Finding:
    closed: list[int] = []
    for row in sample:
        try:
            _open(row, vault)
        except VaultError:
            closed.append(row["key_version"])
    if closed:
        versions = ", ".join(str(version) for version in sorted(set(closed)))
        return Finding(
            "vault keys",
            f"{len(closed)} of {len(sample)} stories tried cannot be opened (key {versions})",
            f"put the key that was version {versions} back into WAYLIGHT_VAULT_KEYS, from where"
            " secrets are kept; without it these stories are lost",
        )
    return Finding("vault keys")


def _open(row: State, vault: Vault) -> None:
    """Opens the report's own key, and one text if there is any. Raises VaultError."""
    vault.rewrap(row["report_id"], row["key_version"], row["wrapped_key"])
    if row["ciphertext"] is not None:
        vault.open(
            row["report_id"],
            row["key_version"],
            row["wrapped_key"],
            row["field"],
            row["ciphertext"],
        )


def _receipt_keys(sample: Sequence[State], vault: Vault) -> Finding:
    foreign = [row["key_version"] for row in sample if not _is_ours(row, vault)]
    if foreign:
        versions = ", ".join(str(version) for version in sorted(set(foreign)))
        return Finding(
            "receipt keys",
            f"{len(foreign)} of {len(sample)} receipts tried are not recognised (key {versions}):"
            " their passengers cannot come back",
            f"put the key that was version {versions} back into WAYLIGHT_RECEIPT_KEYS",
        )
    return Finding("receipt keys")


def _is_ours(row: State, vault: Vault) -> bool:
    try:
        receipt = vault.receipt_for(row["report_id"], row["key_version"])
    except VaultError:
        return False
    return bytes(row["hash"]) in vault.receipt_hashes(receipt).hashes


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().partition("\n")[0]
