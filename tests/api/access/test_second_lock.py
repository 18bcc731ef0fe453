# ruff: noqa: S608 - statements of constants, and of names of the catalogue
"""What a statement with a forgotten WHERE shows and changes, for every table of the catalogue.

RULES says by hand what an organisation may see of each table that the staff role can read, not by
the functions that the policies call. A table without a rule fails here, and so does one without
rows of somebody else: what is not there cannot be hidden.
"""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from schemas.common import WireId
from tests.api.access.world import STORY
from tests.desk import NOW, SPOT
from tests.staff import enter, person
from waylight.domain.addresses import Medium
from waylight.domain.geo import Point
from waylight.domain.reports import Want
from waylight.services import addresses

OWN = "organisation_id = %(us)s"
EVERYBODY = "true"
"""City data, and what the city may know of its teams and hubs."""
NOBODY = "false"
"""Shown to a transaction alone that says that it reads as an analyst, or as a support worker."""


def granted(report):
    return (
        f"{report} in (select report_id from grants where organisation_id = %(us)s"
        " and revoked_at is null)"
    )


def full(report):
    return (
        f"{report} in (select report_id from grants where organisation_id = %(us)s"
        " and revoked_at is null and level = 'full')"
    )


def overseen(incident):
    return (
        f"{incident} in (select r.incident_id from reports r join grants g on g.report_id = r.id"
        " where g.organisation_id = %(us)s and g.cause = 'oversight' and g.revoked_at is null)"
    )


def told(incident, but="{}"):
    """Of a team of theirs, whose alert is not in one of these states."""
    return (
        f"{incident} in (select incident_id from alerts where organisation_id = %(us)s"
        f" and team_id is not null and state <> all ('{but}'))"
    )


# A hub's alert is its own business, and that of whoever may read its passenger's report.
ALERTS = f"""
{OWN} or (team_id is not null or {granted("report_id")})
         and ({told("incident_id")} or {overseen("incident_id")})
"""
HOOKS = f"(select id from webhooks where {OWN})"
DELIVERIES = f"""
alert_id in (select id from alerts where {ALERTS})
or channel = 'webhook' and target_id in {HOOKS}
"""
WATCHED = """
city_id in (select c.id from cities c join teams room on room.id = c.control_room_id
            where room.organisation_id = %(us)s)
"""
AREAS = f"organisation_id is null or {OWN} or {WATCHED}"
SHIFTS = """
team_id in (select t.id from teams t join cities c on c.id = t.city_id
            join teams room on room.id = c.control_room_id
            where %(us)s in (t.organisation_id, room.organisation_id))
"""
# Of what others did it is known that it happened, not what was said of a report that is not ours.
EVENTS = f"""
{OWN}
or (report_id is null or {granted("report_id")}
    or kind like 'incident.%%'
    or kind like 'alert.%%'
       and kind not in ('alert.created', 'alert.updated', 'alert.seen', 'alert.escalated')
       and alert_id in (select id from alerts where team_id is not null))
   and ({told("incident_id")} or {overseen("incident_id")})
"""

RULES = {
    "accounts": OWN,
    "addresses": OWN,
    "alembic_version": EVERYBODY,
    "alerts": ALERTS,
    "analysed_reports": NOBODY,
    "api_keys": f"{OWN} and kind = 'client'",
    "area_parts": f"area_id in (select id from areas where {AREAS})",
    "areas": AREAS,
    "audit_entries": OWN,
    "check_in_defaults": OWN,
    "check_ins": f"{OWN} or {overseen('incident_id')} or {told('overdue_incident_id')}",
    "cities": EVERYBODY,
    "coverages": SHIFTS,
    "deliveries": DELIVERIES,
    "delivery_attempts": f"delivery_id in (select id from deliveries where {DELIVERIES})",
    "engagements": SHIFTS,
    "events": EVENTS,
    "grants": OWN,
    "hub_arrivals": OWN,
    "hub_overrides": OWN,
    "hubs": EVERYBODY,
    "identities": OWN,
    "identity_providers": OWN,
    "incident_notes": f"""{OWN} or {told("incident_id", but="{declined,expired,withdrawn}")}
                          or {overseen("incident_id")}""",
    "incidents": f"id in (select incident_id from alerts where {OWN}) or {overseen('id')}",
    "line_stops": EVERYBODY,
    "lines": EVERYBODY,
    "organisations": EVERYBODY,
    "places": EVERYBODY,
    "report_facts": granted("id"),
    "report_redactions": full("report_id"),
    "report_secrets": full("report_id"),
    "reports": full("id"),
    "sessions": OWN,
    "shifts": SHIFTS,
    "sign_in_policies": OWN,
    "staff": OWN,
    "support_cases": NOBODY,
    "support_notes": NOBODY,
    "teams": EVERYBODY,
    "webhooks": OWN,
    "worker_heartbeats": EVERYBODY,
}
"""Which rows of a table an organisation sees, as a condition for the owner of all tables."""

CHANGES = {
    "alerts": f"{OWN} or team_id is not null and {told('incident_id')}",
    "api_keys": RULES["api_keys"],
    "area_parts": f"area_id in (select id from areas where {OWN})",
    "coverages": f"team_id in (select id from teams where {OWN})",
    "deliveries": f"""channel = 'webhook' and target_id in {HOOKS}
        or alert_id in (select id from alerts
                        where {OWN} or team_id is not null and {told("incident_id")})""",
    "incidents": told("id"),
    "organisations": "id = %(us)s",
    "shifts": f"team_id in (select id from teams where {OWN})",
}
"""Which rows an organisation may change or take away; OWN where nothing else stands here."""

BEHIND = {"report_facts": "reports", "analysed_reports": "reports"}
"""Views that ask for themselves who acts, and the table where the owner finds all of their rows."""

KINDS = ("police", "operator", "control", "hub_host")
READABLE = """
select c.relname, array_agg(a.attname::text order by attnum) as columns
from pg_class c join pg_attribute a on a.attrelid = c.oid
where c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition and attnum > 0
  and not attisdropped and c.relnamespace = 'public'::regnamespace
  and pg_get_userbyid(c.relowner) = 'waylight_owner'
  and has_column_privilege('waylight_staff', c.oid, attnum, %s)
group by c.relname order by c.relname
"""
SECRET = ("hash", "totp_secret", "totp_pending", "invitation", "reply_code", "salt")
"""Parts of the names of columns that let somebody in."""


@pytest.fixture
def night(world):
    """A night in which four organisations have rows in every table that the staff role reads."""
    desk = world.desk
    alone = replace(STORY, wants=(Want.HELP,))
    desk.report(alone, at=Point(SPOT.lon + 0.07, SPOT.lat), now=NOW + timedelta(hours=1))
    far = desk.rows("select id, incident_id from reports order by received_at desc limit 1")[0]
    # One that the operator alone was told of.
    for table in ("alerts", "grants"):
        desk.do(
            f"update {table} set organisation_id = %s where report_id = %s"
            " and organisation_id = %s",
            desk.operator.organisation_id,
            far["id"],
            desk.police.organisation_id,
        )
    desk.do(
        "update alerts set team_id = %s where report_id = %s and organisation_id = %s",
        desk.second,
        far["id"],
        desk.operator.organisation_id,
    )
    post(world, "operator", "/v1/clients", name="App", scopes=[])
    hook = post(world, "operator", "/v1/webhooks", url="https://operator.example/hook")
    post(world, "operator", f"/v1/webhooks/{hook['id']}/ping")
    second = WireId.of("team", desk.second)
    post(world, "operator", f"/v1/teams/{second}/shifts", kind="recurring", rule="24/7")
    addresses.add_address(
        desk.database,
        desk.vault,
        desk.operator,
        team_id=desk.second,
        channel=Medium.EMAIL,
        address="desk@operator.example",
        name="Desk",
        now=NOW,
    )
    for name in ("operator", "control", "friends"):
        enter(desk, person(desk, f"x@{name}.example", organisation=name))
    for who in ("police", "operator"):
        put(world, who, "/v1/sign-in-policy", requires_totp=False)
    put(world, "police", "/v1/check-ins/default", due_in_s=1200)
    put(
        world,
        "hub_host",
        f"/v1/hubs/{WireId.of('hub', desk.hub)}/override",
        status="closed",
        reason="No first-aider.",
        until=(NOW + timedelta(hours=2)).isoformat(),
    )
    drawn(world, second)
    supported(world)
    worked_on(world, far)
    return world


def drawn(world, team):
    """A shape of the operator's own."""
    ring = [[-0.13, 51.53], [-0.12, 51.53], [-0.12, 51.54], [-0.13, 51.54], [-0.13, 51.53]]
    post(
        world,
        "operator",
        f"/v1/teams/{team}/coverages",
        name="Our streets",
        shape={"type": "Polygon", "coordinates": [ring]},
    )


def supported(world):
    """What a support service keeps of the first report, apart from everything else."""
    desk = world.desk
    (service,) = desk.rows(
        "insert into organisations (city_id, key, name, kind)"
        " select id, 'harbour', 'Harbour', 'support_service' from cities returning id"
    )
    (case,) = desk.rows(
        "insert into support_cases (id, report_id, organisation_id, opened_at, opened_by,"
        " key_version, wrapped_key) values (uuid_v7(), %s, %s, now(), uuid_v7(), 1, 'x')"
        " returning id",
        world.rows["report_id"],
        service["id"],
    )
    desk.do(
        "insert into support_notes (id, case_id, organisation_id, staff_id, at, note)"
        " values (uuid_v7(), %s, %s, uuid_v7(), now(), 'x')",
        case["id"],
        service["id"],
    )


def worked_on(world, far):
    """Steps of all of them, so that there are notes, timers, attempts and redactions."""
    desk = world.desk
    post(world, "police", "/v1/alerts/{alert_id}/acknowledge")
    post(world, "police", "/v1/alerts/{alert_id}/en-route")
    put(world, "police", "/v1/alerts/{alert_id}/check-in", due_in_s=900)
    post(world, "police", "/v1/incidents/{incident_id}/notes", text="Zmark.")
    post(
        world,
        "police",
        "/v1/reports/{report_id}/redactions",
        field="narrative",
        ranges=[[0, 2]],
        reason="A bystander.",
    )
    theirs = desk.rows(
        "select id from alerts where report_id = %s and team_id = %s", far["id"], desk.second
    )[0]["id"]
    desk.acknowledge(desk.operator, theirs)
    post(
        world,
        "operator",
        f"/v1/incidents/{WireId.of('incident', far['incident_id'])}/notes",
        text="x",
    )
    post(
        world,
        "operator",
        f"/v1/reports/{WireId.of('report', far['id'])}/redactions",
        field="narrative",
        ranges=[[0, 2]],
        reason="A bystander.",
    )
    desk.acknowledge(desk.hub_host, world.rows["hub_alert_id"])
    post(
        world,
        "hub_host",
        "/v1/alerts/{hub_alert_id}/arrival",
        status="arrived",
        report_id=world.ids["report_id"],
    )
    desk.do(
        "insert into delivery_attempts (delivery_id, attempt, at, duration_ms, worker_id, outcome)"
        " select id, 1, now(), 1, 'w', 'sent' from deliveries"
    )
    desk.do(
        "insert into worker_heartbeats (worker_id, host, pid, started_at, beat_at)"
        " values ('w', 'h', 1, now(), now())"
    )


def post(world, who, path, **body):
    return asked(world, "POST", who, path, body)


def put(world, who, path, **body):
    return asked(world, "PUT", who, path, body)


def asked(world, method, who, path, body):
    answer = world.call(method, path, world.key(who), body or None)
    assert answer.status_code in (200, 201, 202), f"{path}: {answer.text}"
    return answer.json


def us_of(world, who):
    return world.people[who].organisation_id


def readable(world):
    return {row["relname"]: row["columns"] for row in world.desk.rows(READABLE, "select")}


def rows_of(conn, table, columns, where="", values=None):
    """Every row as a text, how often it is there."""
    listed = ", ".join(columns)
    found = conn.execute(f"select row({listed})::text from {table} {where}", values)
    return Counter(row[0] for row in found.fetchall())


def test_every_table_that_staff_can_read_has_a_rule(world):
    assert set(readable(world)) == set(RULES), "say in RULES who may see which row of it"


def test_statement_with_a_forgotten_where_shows_what_its_organisation_may_see(night):
    wrong = []
    for table, columns in readable(night).items():
        rule = RULES.get(table, "false")
        behind = BEHIND.get(table, table)
        columns = ["id"] if rule == NOBODY else columns  # noqa: PLW2901 - of a view of its own
        with night.desk.database.owner() as conn:
            everything = rows_of(conn, behind, columns)
        shown, hidden = 0, 0
        for who in KINDS:
            us = us_of(night, who)
            with night.desk.database.owner() as conn:
                allowed = rows_of(conn, behind, columns, f"where {rule}", {"us": us})
            with night.desk.database.staff(us) as conn:
                seen = rows_of(conn, table, columns)
            shown += seen.total()
            hidden += (everything - seen).total()
            if seen != allowed:
                more, less = (seen - allowed).total(), (allowed - seen).total()
                wrong.append(f"{table} for {who}: {more} rows too many, {less} too few")
        if rule not in (EVERYBODY, NOBODY) and not shown:
            wrong.append(f"{table}: nobody has a row of it in this night")
        if rule != EVERYBODY and not hidden:
            wrong.append(f"{table}: there is nothing of it to hide in this night")
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("role", ["analyst", "support"])
def test_role_with_a_view_of_its_own_sees_no_more_by_a_forgotten_where(night, role):
    """An analyst what their organisation was granted; support nothing without consent."""
    night.desk.do("update reports set received_at = now() - interval '2 hours'")
    seen = {}
    for who in KINDS:
        us = us_of(night, who)
        with night.desk.database.owner() as conn:
            may = rows_of(conn, "reports", ["id"], f"where {granted('id')}", {"us": us})
        with night.desk.database.staff(us, reads_as=role) as conn:
            seen[who] = rows_of(conn, "analysed_reports", ["id"])
            kept = rows_of(conn, "support_cases", ["id"]) + rows_of(conn, "support_notes", ["id"])
        assert seen[who] == (may if role == "analyst" else Counter()), who
        assert not kept
    assert (role == "analyst") == (sum(seen.values(), Counter()).total() > 0)
    assert seen["police"] != seen["control"] or role == "support"


def test_whoever_acts_for_nobody_sees_nothing_that_belongs_to_somebody(night):
    # An area of the city is everybody's.
    common = {"areas", "area_parts"}
    private = [table for table, rule in RULES.items() if rule != EVERYBODY and table not in common]
    for acting in ("", str(uuid4())):
        with night.desk.database.staff(uuid4()) as conn:
            conn.execute("select set_config('waylight.organisation_id', %s, true)", [acting])
            for table in private:
                count = f"select count(*) from {table}"
                assert conn.execute(count).fetchone() == (0,), table


def test_change_with_a_forgotten_where_changes_what_its_organisation_may_change(night):
    changeable = {row["relname"]: row["columns"] for row in night.desk.rows(READABLE, "update")}
    assert {"accounts", "alerts", "api_keys", "webhooks", "staff", "hubs", "teams"} <= set(
        changeable
    )
    wrong = []
    for table, columns in changeable.items():
        for who in KINDS:
            us = us_of(night, who)
            with night.desk.database._conn.transaction(force_rollback=True):
                ours = ctids(night, table, f"where {CHANGES.get(table, OWN)}", us)
                before = ctids(night, table)
                with night.desk.database.staff(us) as conn:
                    same = ", ".join(f"{name} = {name}" for name in columns)
                    told = touched(conn, f"update {table} set {same}")
                if told and not before - ctids(night, table) <= ours:
                    wrong.append(f"update {table} by {who}")
    assert not wrong, wrong


def test_removal_with_a_forgotten_where_takes_what_is_its_organisations(night):
    tables = night.desk.rows(
        "select relname from pg_class where relkind in ('r', 'p') and not relispartition"
        " and has_table_privilege('waylight_staff', oid, 'delete')"
    )
    assert {"shifts", "webhooks"} <= {row["relname"] for row in tables}
    for table in (row["relname"] for row in tables):
        for who in KINDS:
            us = us_of(night, who)
            with night.desk.database._conn.transaction(force_rollback=True):
                ours = ctids(night, table, f"where {CHANGES.get(table, OWN)}", us)
                before = ctids(night, table)
                with night.desk.database.staff(us) as conn:
                    conn.execute(f"delete from {table}")
                assert before - ctids(night, table) <= ours, f"{table} by {who}"


def test_row_of_another_organisation_is_written_by_nobody(night):
    """Each row that there is of another, once more with a new id, column by column as it stands."""
    written = {row["relname"]: row["columns"] for row in night.desk.rows(READABLE, "insert")}
    tried = Counter[str]()
    for table, columns in written.items():
        if "organisation_id" not in columns:
            continue
        kept = [name for name in columns if name not in ("id", "sequence")]
        rows = night.desk.rows(f"select {', '.join(kept)} from {table}")
        for who in KINDS:
            us = us_of(night, who)
            for row in rows:
                if row["organisation_id"] == us:
                    continue
                tried[table] += 1
                with (
                    pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level"),
                    night.desk.database.staff(us) as conn,
                ):
                    conn.execute(
                        f"insert into {table} ({', '.join(kept)})"
                        f" values ({', '.join(['%s'] * len(kept))})",
                        [given(value) for value in row.values()],
                    )
    assert {"accounts", "addresses", "api_keys", "audit_entries", "events", "staff"} <= set(tried)


def test_rows_do_not_change_hands(night):
    """Nobody gives a row to another organisation, and so puts it among theirs."""
    desk = night.desk
    theirs = {
        "organisation_id": desk.operator.organisation_id,
        "staff_id": desk.operator.staff_id,
        "team_id": desk.second,
        "hub_id": desk.hub,
    }
    for table, columns in readable(night).items():
        if RULES[table] != EVERYBODY:
            for column in theirs.keys() & set(columns):
                with desk.database.staff(us_of(night, "police")) as conn:
                    # Refused, or nothing of it is there to give away.
                    given = f"update {table} set {column} = %s"
                    assert touched(conn, given, theirs[column]) == 0, f"{table}.{column}"


def test_no_column_that_lets_somebody_in_can_be_read(world):
    found = {
        f"{table}.{column}"
        for table, columns in readable(world).items()
        for column in columns
        if any(part in column for part in SECRET)
    }
    # What finds an account or a retry again are keyed hashes; a reply counts from its number alone.
    assert found == {
        "accounts.login_hash",
        "deliveries.reply_code",
        "identities.subject_hash",
        "incident_notes.retry_hash",
    }


def ctids(world, table, where="", us=None):
    with world.desk.database.owner() as conn:
        found = conn.execute(
            f"select tableoid, ctid::text from {table} {where}",
            None if us is None else {"us": us},
        )
        return set(found.fetchall())


def touched(conn, statement, *values):
    """How many rows a statement changed; none when the database refuses it."""
    try:
        with conn.transaction():
            return conn.execute(statement, values).rowcount
    except psycopg.errors.InsufficientPrivilege:
        return 0


def given(value):
    """A value as it was read, to be written again: JSON comes as dictionaries."""
    is_json = isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(one, dict) for one in value)
    )
    return Jsonb(value) if is_json else value
