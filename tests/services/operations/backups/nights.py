"""A night's work in London, and looking at two databases to see whether they are the same."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import Connection

from tests.databases import settings_for
from waylight.db.operations import backups as db
from waylight.db.session import Database
from waylight.domain.alerts import Outcome, Result
from waylight.domain.principals import Principal
from waylight.domain.reports import Contact, LocationClaim, NewReport, ReportReceipt, Submission
from waylight.services import alerts, keys
from waylight.services.operations import chores
from waylight.services.reports import submit_reports
from waylight.vault import Vault

NOW = datetime.now(UTC).replace(microsecond=0)
STOPS = ("940GZZLUCTN", "940GZZLUKSX", "940GZZLUVIC", "940GZZLUBXN", "940GZZLUSTD")
ALL_ROWS = "md5(string_agg(md5(t::text), '' order by md5(t::text)))"
SCOPES = ("alerts:read", "alerts:act", "reports:read")


@dataclass(frozen=True)
class Night:
    """What was sent, what was answered, and who works there."""

    sent: tuple[Submission, ...]
    answers: tuple[ReportReceipt, ...]
    police: Principal
    token: str
    held: tuple[UUID, ...]
    """The message that a worker had claimed and not yet sent, where any was due."""


def submission(n: int, *, now: datetime = NOW) -> Submission:
    """The nth report: at one of five stations, with a story of its own and a key for retries."""
    report = NewReport(
        categories=("being_followed",) if n % 3 else ("poor_lighting",),
        in_danger=n % 4 == 1 or None,
        location=LocationClaim(stop_id=STOPS[n % len(STOPS)], description=f"Platform {n}"),
        narrative=f"Story {n}: \N{SNOWMAN}\n\t\\. and\\N",
        description_of_person=f"Coat {n}",
        contact=Contact(phone=f"+44 {n}"),
        rejected={"/odd": [n, None]},
        fingerprint=bytes([n]) * 32,
    )
    return Submission(report=report, received_at=now, idempotency_key=str(uuid4()))


def work(database: Database, vault: Vault, *, reports: int = 10) -> Night:
    """Reports come in, a worker delivers and numbers, an officer answers one; a worker lives."""
    settings = database._settings
    sent = tuple(submission(n) for n in range(reports))
    answers = tuple(submit_reports(database, vault, settings, list(sent)))
    issued = keys.create_staff_key(
        database,
        vault,
        organisation="british-transport-police",
        person="Robin",
        role="officer",
        scopes=SCOPES,
        now=NOW,
    )
    police = keys.authenticate(database, vault, issued.token, now=NOW)
    assert police is not None
    messages = alerts.claim(
        database,
        vault,
        "w",
        free={"console": 4},
        lease_s=30.0,
        base_url="http://x",
        now=NOW + timedelta(seconds=1),
    )
    for message in messages:
        alerts.record(
            database,
            message,
            outcome=Outcome(Result.SENT),
            worker_id="w",
            jitter=0.0,
            now=NOW + timedelta(seconds=2),
        )
    with database.owner() as conn:
        own = one(
            conn,
            "select id from alerts where organisation_id = %s and state <> 'withdrawn'"
            " and team_id is not null order by id limit 1",
            police.organisation_id,
        )[0]
    alerts.acknowledge(
        database, vault, principal=police, alert_id=own, now=NOW + timedelta(seconds=5)
    )
    held = alerts.claim(
        database,
        vault,
        "w",
        free={"console": 1},
        lease_s=30.0,
        base_url="http://x",
        now=NOW + timedelta(seconds=9),
    )
    chores.number_events(database)
    chores.beat(database, "w", host="h", pid=1, started_at=NOW, now=datetime.now(UTC))
    return Night(sent, answers, police, issued.token, tuple(m.delivery_id for m in held))


def one(conn: Connection[Any], statement: str, *values: Any) -> tuple[Any, ...]:
    """The one row of a statement."""
    (row,) = conn.execute(statement, values).fetchall()
    found: tuple[Any, ...] = row
    return found


def opened(url: str, **changes: str) -> Database:
    """A Database over this address, with the keys of the tests."""
    return Database(settings_for(url, **changes))


def digests(database: Database) -> dict[str, Any]:
    """The rows of every table, as one sum for each."""
    with database.owner() as conn:
        return {
            table: one(
                conn,
                f"select count(*), {ALL_ROWS} from public.{table} t",  # noqa: S608 - from the catalogue
            )
            for table in db.tables(conn)
            if table not in db.EPHEMERAL
        }


CATALOGUE = """
select 'table ' || c.relname, pg_get_userbyid(relowner), relrowsecurity::text, relkind::text,
       -- pg_dump writes a right that is everybody's or the owner's own in its own way
       (select string_agg(entry::text, ' ' order by entry::text) from unnest(relacl) entry),
       pg_get_expr(relpartbound, c.oid)
from pg_class c where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v')
  and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
union all
select 'column ' || attrelid::regclass || '.' || attname, format_type(atttypid, atttypmod),
       attnotnull::text, (select pg_get_expr(adbin, adrelid) from pg_attrdef
                          where adrelid = attrelid and adnum = attnum),
       (select string_agg(entry::text, ' ' order by entry::text) from unnest(attacl) entry), null
from pg_attribute join pg_class c on c.oid = attrelid
where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v') and attnum > 0
  and not attisdropped
  and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
union all
select 'policy ' || tablename || '.' || policyname, permissive, roles::text, cmd, qual, with_check
from pg_policies where schemaname = 'public'
union all
select 'index ' || indexname, indexdef, null, null, null, null
from pg_indexes where schemaname = 'public' and tablename <> 'spatial_ref_sys'
union all
select 'constraint ' || conrelid::regclass || '.' || conname, pg_get_constraintdef(oid),
       condeferrable::text, condeferred::text, null, null
from pg_constraint where connamespace = 'public'::regnamespace
  and conrelid <> 0 and conrelid <> 'spatial_ref_sys'::regclass
union all
select 'function ' || p.oid::regprocedure, pg_get_userbyid(proowner), pg_get_functiondef(p.oid),
       (select string_agg(entry::text, ' ' order by entry::text) from unnest(proacl) entry),
       null, null
from pg_proc p where pronamespace = 'public'::regnamespace and prokind = 'f'
  and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
union all
select 'trigger ' || tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid), tgenabled::text,
       null, null, null
from pg_trigger where not tgisinternal
order by 1
"""


def catalogue(database: Database) -> list[tuple[Any, ...]]:
    """Everything that is defined: tables, columns, rights, policies, indexes, functions."""
    with database.owner() as conn:
        return conn.execute(CATALOGUE).fetchall()


def stories(database: Database, vault: Vault) -> dict[UUID, dict[str, str]]:
    """Every field of every report, in clear."""
    fields = ("narrative", "description_of_person", "contact", "location_description", "rejected")
    with database.owner() as conn:
        rows = conn.execute(
            f"select report_id, key_version, wrapped_key, {', '.join(fields)} "  # noqa: S608
            "from report_secrets"
        ).fetchall()
    return {
        report_id: {
            name: vault.open(report_id, version, wrapped, name, bytes(sealed))
            for name, sealed in zip(fields, sealeds, strict=True)
            if sealed is not None
        }
        for report_id, version, wrapped, *sealeds in rows
    }
