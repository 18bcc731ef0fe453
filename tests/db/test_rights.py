"""What each role may do, and whose rows it sees."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest

PRIVATE = {
    "area_parts",
    "areas",
    "coverages",
    "organisations",
    "accounts",
    "sessions",
    "sign_in_attempts",
    "sign_in_policies",
    "sign_in_salt",
    "identities",
    "identity_providers",
    "spent_sign_ins",
    "alerts",
    "deliveries",
    "events",
    "grants",
    "report_secrets",
    "reports",
    "incidents",
    "receipts",
    "idempotency_keys",
    "incident_notes",
    "incident_parties",
    "past_grants",
    "support_cases",
    "support_notes",
    "report_redactions",
    "access_tokens",
    "api_keys",
    "audit_entries",
    "audit_positions",
    "audit_seals",
    "addresses",
    "delivery_attempts",
    "drills",
    "check_in_defaults",
    "check_ins",
    "engagements",
    "shifts",
    "provider_notices",
    "staff",
    "stream_tickets",
    "teams",
    "hubs",
    "hub_overrides",
    "hub_arrivals",
    "webhook_cursor",
    "webhooks",
}
NOW = datetime(2026, 11, 21, 23, 41, tzinfo=UTC)


def names(database, statement, *parameters):
    with database.owner() as conn:
        return {row[0] for row in conn.execute(statement, parameters)}


def test_the_unprivileged_roles_are_just_that(database):
    with database.owner() as conn:
        rows = conn.execute(
            "select rolname, rolcanlogin, rolsuper or rolbypassrls or rolcreatedb or rolcreaterole"
            " from pg_roles where rolname like 'waylight\\_%' and rolname not like '%limited%'"
        ).fetchall()
    assert set(rows) == {
        ("waylight_owner", False, False),
        ("waylight_intake", True, False),
        ("waylight_staff", True, False),
    }


def test_every_private_table_has_row_level_security(database):
    secured = names(
        database,
        "select relname from pg_class where relrowsecurity and not relispartition",
    )
    assert secured == PRIVATE


def test_staff_can_read_no_table_without_security_but_city_data(database):
    open_to_staff = names(
        database,
        "select table_name::text from information_schema.role_table_grants"
        " join pg_class on oid = table_name::regclass"
        " where grantee = 'waylight_staff' and not relrowsecurity",
    )
    assert open_to_staff == {
        "alembic_version",
        "cities",
        "line_stops",
        "lines",
        "places",
        "report_facts",  # a view that asks for the grant itself
        "analysed_reports",  # the same, and only for analysts
        "worker_heartbeats",
    }


@pytest.mark.parametrize("role", ["waylight_intake", "waylight_staff"])
def test_the_unprivileged_roles_own_and_create_nothing(database, role):
    assert not names(
        database, "select relname from pg_class where pg_get_userbyid(relowner) = %s", role
    )
    connect = database.intake() if role == "waylight_intake" else database.staff(uuid4())
    with pytest.raises(psycopg.errors.InsufficientPrivilege), connect as conn:
        conn.execute("create table mine (id integer)")


@pytest.mark.parametrize(
    "statement",
    [
        "insert into api_keys (kind, name, token_hash, scopes) values ('client', '', '', '{}')",
        "update api_keys set scopes = '{exercise}'",
        "insert into staff (organisation_id, name, role) values (uuid_v7(), '', '')",
        "update audit_entries set action = 'nothing'",
        "delete from audit_entries",
        "truncate audit_entries",
        "update audit_positions set position = 0",
        "delete from audit_positions",
        "update audit_seals set number = 0",
        "delete from audit_seals",
        "truncate audit_seals",
        "delete from reports",
        "delete from events",
        "truncate receipts",
        "update receipts set report_id = uuid_v7()",
        "update cities set name = ''",
        "drop table reports",
        "alter table reports disable row level security",
        "update api_keys set revoked_at = null",
        "insert into sessions (id) values (uuid_v7())",
        "update sessions set idle_s = 1000000",
        "insert into accounts (staff_id) values (uuid_v7())",
        "select end_keys_of(uuid_v7(), null, false, now())",
        "select end_provider_sessions(uuid_v7(), now())",
        "select open_provider_session(null, null, null, '', 1, now(), null, true, now())",
        "select from identities",
        "insert into identities (provider_id) values (uuid_v7())",
        "insert into identity_providers (id) values (uuid_v7())",
        "update identity_providers set enabled = true",
        "update sessions set identity_provider_id = uuid_v7()",
    ],
)
def test_intake_may_not(database, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege), database.intake() as conn:
        conn.execute(statement)


@pytest.mark.commits
@pytest.mark.parametrize("role", ["intake", "staff"])
@pytest.mark.parametrize("other", ["waylight_owner", "waylight_intake", "waylight_staff"])
def test_the_unprivileged_roles_cannot_become_another(database, role, other):
    with database.connect(role) as conn:
        if other == f"waylight_{role}":
            conn.execute(f"set role {other}")
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(f"set role {other}")


@pytest.mark.parametrize(
    "statement",
    [
        "select from receipts",
        "select from idempotency_keys",
        "select token_hash from api_keys",
        "select old_token_hash from api_keys",
        "select * from api_keys",
        "delete from api_keys",
        "update api_keys set kind = 'staff'",
        "update api_keys set organisation_id = uuid_v7()",
        "update api_keys set token_hash = ''",
        "select from access_tokens",
        "select from event_sequencer",
        """insert into grants (report_id, organisation_id, cause, level, created_at, created_by)
           values (uuid_v7(), uuid_v7(), 'hand_over', 'full', now(), 'me')""",
        "update grants set revoked_at = null",
        "update reports set hoax = true",
        "update teams set organisation_id = uuid_v7()",
        "update teams set kind = 'control_room'",
        "insert into teams (duty_status) values ('off')",
        "delete from teams",
        "delete from hubs",
        "update hubs set organisation_id = uuid_v7()",
        "delete from organisations",
        "insert into organisations (key) values ('mine')",
        "update organisations set kind = 'police'",
        "update organisations set key = 'theirs'",
        "update organisations set demo = true",
        "update areas set organisation_id = null",
        "update areas set kind = 'borough'",
        "update coverages set team_id = uuid_v7()",
        "update alerts set organisation_id = uuid_v7()",
        "update audit_entries set action = 'nothing'",
        "delete from audit_entries",
        "delete from alerts",
        "select submit_reports('[]')",
        "update incident_notes set note = ''",
        "delete from incident_notes",
        "update report_redactions set redacted = ''",
        "delete from report_redactions",
        "update report_secrets set narrative = ''",
        "select from incident_parties",
        "select from past_grants",
        "update support_cases set wrapped_key = null",
        "delete from support_cases",
        "update support_notes set note = ''",
        "delete from support_notes",
        "update past_grants set revoked_at = now()",
        "delete from past_grants",
        "update alerts set handed_from = null",
        "update incidents set merged_into = null",
        "select from reports_default",
        "select position from incidents",
        "select vehicle from incidents",
        "select position_at from teams",
        "select password_hash from accounts",
        "select totp_secret from accounts",
        "select totp_pending from accounts",
        "select recovery_hashes from accounts",
        "select invitation_hash from accounts",
        "update accounts set password_hash = ''",
        "update accounts set totp_secret = null",
        "update accounts set totp_since = null",
        "update accounts set recovery_hashes = '{}'",
        "update accounts set organisation_id = uuid_v7()",
        "update accounts set staff_id = uuid_v7()",
        "update accounts set login_hash = ''",
        "delete from accounts",
        "update staff set organisation_id = uuid_v7()",
        "update sessions set fresh_until = now()",
        "insert into sessions (id) values (uuid_v7())",
        "select from sign_in_attempts",
        "select from sign_in_salt",
        "select open_session(uuid_v7(), uuid_v7(), '', 1, now(), now())",
        "select end_keys('{}', now())",
        "select client_secret from identity_providers",
        "update identity_providers set issuer = 'https://id.evil.example'",
        "update identity_providers set client_id = 'another'",
        "update identities set staff_id = uuid_v7()",
        "insert into spent_sign_ins (id, expires_at) values ('', now())",
        "update sessions set second_factor = true",
    ],
)
def test_staff_may_not(database, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege), database.staff(uuid4()) as conn:
        conn.execute(statement)


def test_not_even_the_owner_changes_the_audit_log(database):
    with database.owner() as conn:
        conn.execute(
            "insert into audit_entries (at, staff_id, organisation_id, action)"
            " values (now(), uuid_v7(), uuid_v7(), 'report.read')"
        )
    for statement in (
        "update audit_entries set action = 'nothing'",
        "delete from audit_entries",
        "truncate audit_entries",
    ):
        with pytest.raises(psycopg.errors.RaiseException), database.owner() as conn:
            conn.execute(statement)


# --- whose rows are seen by whom


@dataclass(frozen=True)
class Rows:
    """One report told to an organisation, with a row about it in every private table."""

    report: UUID
    incident: UUID
    alert: UUID

    @classmethod
    def insert(cls, conn, *, organisation, oversight=None):
        self = cls(*conn.execute("select uuid_v7(), uuid_v7(), uuid_v7()").fetchone())
        conn.execute(
            "insert into reports (id, received_at, happened_estimated, happening, age_s,"
            " categories, category_groups, perspective, wants, needs, share_with,"
            " location_source, priority, urgency, severity, certainty, reasons, routing,"
            " warnings, status, incident_id, exercise) values (%s, %s, false, 'now', 0, '{}',"
            " '{}', 'experienced', '{}', '{}', '{}', 'none', 1, 'Immediate', 'Extreme',"
            " 'Observed', '[]', '[]', '[]', 'routed', %s, false)",
            [self.report, NOW, self.incident],
        )
        conn.execute(
            "insert into report_secrets (report_id, key_version) values (%s, 1)", [self.report]
        )
        conn.execute(
            "insert into incidents (id, category_groups, audience, exercise, opened_at, last_at,"
            " priority) values (%s, '{}', 'open', false, %s, %s, 1)",
            [self.incident, NOW, NOW],
        )
        conn.execute(
            "insert into alerts (id, incident_id, report_id, organisation_id, team_id, role, rank,"
            " priority, reasons, exercise, created_at)"
            " values (%s, %s, %s, %s, uuid_v7(), 'primary', 1, 1, '[]', false, %s)",
            [self.alert, self.incident, self.report, organisation, NOW],
        )
        conn.execute(
            "insert into deliveries (alert_id, report_id, channel, message, priority, exercise,"
            " created_at) values (%s, %s, 'console', 'alert.created', 1, false, %s)",
            [self.alert, self.report, NOW],
        )
        conn.execute(
            "insert into events (kind, at, organisation_id, report_id, incident_id, alert_id)"
            " values ('alert.created', %s, %s, %s, %s, %s)",
            [NOW, organisation, self.report, self.incident, self.alert],
        )
        conn.execute(
            "insert into audit_entries (at, staff_id, organisation_id, action, report_id)"
            " values (%s, %s, %s, 'report.read', %s)",
            [NOW, uuid4(), organisation, self.report],
        )
        for who, cause in ((organisation, "routing"), (oversight, "oversight")):
            if who:
                conn.execute(
                    "insert into grants (report_id, organisation_id, cause, level, created_at,"
                    " created_by) values (%s, %s, %s, 'full', %s, 'routing')",
                    [self.report, who, cause, NOW],
                )
        return self


SEEN = ("reports", "report_secrets", "incidents", "alerts", "deliveries", "events")
THEIRS = ("grants", "audit_entries")


def seen(database, organisation, tables):
    with database.staff(organisation) as conn:
        return {
            table: conn.execute(f"select count(*) from {table}").fetchone()[0]  # noqa: S608 - ours
            for table in tables
        }


def test_an_organisation_sees_what_it_was_told_and_nothing_else(database):
    told, other, room = uuid4(), uuid4(), uuid4()
    with database.owner() as conn:
        Rows.insert(conn, organisation=told, oversight=room)
        Rows.insert(conn, organisation=other, oversight=room)
    everything = SEEN + THEIRS
    assert seen(database, told, everything) == dict.fromkeys(everything, 1)
    assert seen(database, other, everything) == dict.fromkeys(everything, 1)
    assert seen(database, uuid4(), everything) == dict.fromkeys(everything, 0)


def test_oversight_sees_every_report_and_alert_but_not_the_logs_of_others(database):
    room = uuid4()
    with database.owner() as conn:
        Rows.insert(conn, organisation=uuid4(), oversight=room)
        Rows.insert(conn, organisation=uuid4(), oversight=room)
    assert seen(database, room, SEEN) == dict.fromkeys(SEEN, 2)
    assert seen(database, room, THEIRS) == {"grants": 2, "audit_entries": 0}


@pytest.fixture
def hub(database):
    """An organisation whose hub was told to expect somebody, on an incident that a team has."""
    hub, team = uuid4(), uuid4()
    with database.owner() as conn:
        rows = Rows.insert(conn, organisation=team)
        conn.execute(
            "insert into alerts (incident_id, report_id, organisation_id, hub_id, role, rank,"
            " priority, reasons, exercise, created_at)"
            " values (%s, %s, %s, uuid_v7(), 'hub', 1, 1, '[]', false, %s)",
            [rows.incident, rows.report, hub, NOW],
        )
        conn.execute(
            "insert into deliveries (alert_id, report_id, channel, message, priority, exercise,"
            " created_at) select id, report_id, 'console', 'alert.created', 1, false, %s"
            " from alerts where hub_id is not null",
            [NOW],
        )
        conn.execute(
            "insert into grants (report_id, organisation_id, cause, level, created_at, created_by)"
            " values (%s, %s, 'routing', 'heads_up', %s, 'routing')",
            [rows.report, hub, NOW],
        )
    return hub, rows


def test_a_heads_up_opens_no_secret_and_shows_a_hub_its_own_alert_alone(database, hub):
    organisation, _ = hub
    assert seen(database, organisation, (*SEEN, "report_facts")) == {
        "report_facts": 1,
        "reports": 0,
        "report_secrets": 0,
        "incidents": 1,
        "alerts": 1,
        "deliveries": 1,
        "events": 0,
    }


def test_a_full_grant_that_was_revoked_leaves_a_heads_up_without_the_secrets(database, hub):
    organisation, rows = hub
    with database.owner() as conn:
        conn.execute(
            "insert into grants (report_id, organisation_id, cause, level, created_at, created_by,"
            " revoked_at) values (%s, %s, 'consent', 'full', %s, 'consent', %s)",
            [rows.report, organisation, NOW, NOW],
        )
    assert seen(database, organisation, ("report_facts", "reports", "report_secrets")) == {
        "report_facts": 1,
        "reports": 0,
        "report_secrets": 0,
    }


def test_the_facts_of_a_report_are_shown_to_nobody_without_a_grant(database, hub):
    assert seen(database, uuid4(), ("report_facts",)) == {"report_facts": 0}


def test_the_facts_of_a_report_say_neither_where_nor_who_else_was_told(database):
    columns = names(
        database,
        "select column_name::text from information_schema.columns"
        " where table_name = 'report_facts'",
    )
    assert not columns & {"position", "place_id", "area_id", "cell_r9", "routing", "route_id"}


def test_a_hub_changes_its_own_alert_and_nothing_of_the_incident(database, hub):
    organisation, rows = hub
    with database.staff(organisation) as conn:
        assert conn.execute("update alerts set state = 'acknowledged'").rowcount == 1
        assert conn.execute("update deliveries set status = 'dropped'").rowcount == 1
        assert conn.execute("update incidents set state = 'closed'").rowcount == 0
        assert conn.execute("select from incidents for update").rowcount == 0
        (own,) = conn.execute("select id from alerts").fetchone()
        conn.execute(
            "insert into events (kind, at, organisation_id, incident_id, alert_id)"
            " values ('alert.acknowledged', now(), %s, %s, %s)",
            [organisation, rows.incident, own],
        )
    with database.owner() as conn:
        states = conn.execute("select state from alerts where hub_id is null").fetchall()
        assert states == [("pending",)]
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
        database.staff(organisation) as conn,
    ):
        conn.execute(
            "insert into events (kind, at, organisation_id, incident_id, alert_id)"
            " values ('alert.closed', now(), %s, %s, %s)",
            [organisation, rows.incident, rows.alert],
        )


def test_a_team_locks_the_incident_and_stands_down_the_alerts_of_other_teams(database, hub):
    _, rows = hub
    with database.owner() as conn:
        (other,) = conn.execute(
            "insert into alerts (incident_id, report_id, organisation_id, team_id, role, rank,"
            " priority, reasons, exercise, created_at)"
            " values (%s, %s, %s, uuid_v7(), 'backup', 2, 1, '[]', false, %s) returning id",
            [rows.incident, rows.report, uuid4(), NOW],
        ).fetchone()
        conn.execute(
            "insert into deliveries (alert_id, report_id, channel, message, priority, exercise,"
            " created_at) values (%s, %s, 'console', 'alert.created', 1, false, %s)",
            [other, rows.report, NOW],
        )
        team = conn.execute(
            "select organisation_id from alerts where id = %s", [rows.alert]
        ).fetchone()[0]
    with database.staff(team) as conn:
        assert conn.execute("select from incidents for update").rowcount == 1
        # Its own and the other team's, and not the hub's: whoever walks there is still on the way.
        ended = "case when organisation_id = %s then 'closed' else 'withdrawn' end"
        assert conn.execute(f"update alerts set state = {ended}", [team]).rowcount == 2  # noqa: S608 - ours
        assert conn.execute("update deliveries set status = 'dropped'").rowcount == 2
        assert conn.execute("update incidents set state = 'closed'").rowcount == 1


def test_oversight_alone_reads_and_changes_nothing(database):
    room = uuid4()
    with database.owner() as conn:
        Rows.insert(conn, organisation=uuid4(), oversight=room)
    with database.staff(room) as conn:
        assert conn.execute("update alerts set state = 'closed'").rowcount == 0
        assert conn.execute("update incidents set state = 'closed'").rowcount == 0
        assert conn.execute("update deliveries set status = 'seen'").rowcount == 0


def test_staff_without_an_organisation_see_nothing(database):
    with database.owner() as conn:
        Rows.insert(conn, organisation=uuid4(), oversight=uuid4())
    with database.staff(uuid4()) as conn:
        conn.execute("set local waylight.organisation_id = ''")
        for table in SEEN + THEIRS:
            assert conn.execute(f"select count(*) from {table}").fetchone() == (0,)  # noqa: S608 - ours


def test_a_revoked_grant_shows_no_report(database):
    told = uuid4()
    with database.owner() as conn:
        Rows.insert(conn, organisation=told)
        conn.execute("update grants set revoked_at = now()")
    assert seen(database, told, ("reports", "report_secrets")) == {
        "reports": 0,
        "report_secrets": 0,
    }


def test_staff_change_no_alert_of_others_and_write_nothing_in_their_name(database):
    told, other = uuid4(), uuid4()
    with database.owner() as conn:
        rows = Rows.insert(conn, organisation=told)
    with database.staff(other) as conn:
        changed = conn.execute("update alerts set state = 'closed'").rowcount
        assert changed == 0
        assert conn.execute("update incidents set state = 'closed'").rowcount == 0
        assert conn.execute("update deliveries set status = 'seen'").rowcount == 0
    for statement in (
        "insert into events (kind, at, organisation_id, incident_id) values ('x', now(), %s, %s)",
        """insert into audit_entries (at, staff_id, organisation_id, action)
           values (now(), uuid_v7(), %s, %s::text)""",
    ):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
            database.staff(other) as conn,
        ):
            conn.execute(statement, [told, rows.incident])
    with database.staff(told) as conn:
        assert conn.execute("update alerts set state = 'acknowledged'").rowcount == 1


# --- what goes past the policies

AS_OWNER = {
    "waylight_intake": {
        "end_keys",
        "forget_sessions",
        "forget_with_reports",
        "last_event_number",
        "make_partitions",
        "open_session",
        "person_of_address",
    },
    "waylight_staff": {
        "alert_was_sent",
        "end_keys_of",
        "end_provider_sessions",
        "grants_of",
        "is_colleague",
        "last_event_number",
        "move_team",
        "open_provider_session",
        "organisation_acts_on",
        "organisation_is_shut_out",
        "organisation_is_told",
        "organisation_may_read",
        "organisation_may_read_story",
        "organisation_may_redact",
        "organisation_may_say",
        "organisation_oversees",
        "organisation_runs_team",
        "organisation_supports",
        "organisation_watches_city",
        "organisation_works_on",
        "place_of_team",
        "renew_city",
        "rotate_client",
        "take_device",
        "told_of_analysis",
    },
}
"""Functions that no policy binds, by who may call them: each asks itself for whom it is called."""


@pytest.mark.parametrize("role", AS_OWNER)
def test_functions_that_no_policy_binds_are_called_by_those_who_need_them(database, role):
    found = names(
        database,
        "select proname from pg_proc p where prosecdef"
        " and has_function_privilege(%s, p.oid, 'execute')",
        role,
    )
    assert found == AS_OWNER[role]


def test_functions_that_no_policy_binds_ask_for_whom_they_are_called(database):
    """None takes an organisation from its caller, and each of the staff's looks at who acts."""
    with database.owner() as conn:
        rows = conn.execute(
            "select proname, prosrc, pg_get_function_identity_arguments(p.oid) from pg_proc p"
            " where prosecdef and has_function_privilege('waylight_staff', p.oid, 'execute')"
        ).fetchall()
    for name, source, arguments in rows:
        assert "organisation" not in arguments, name
        if name not in ("alert_was_sent", "last_event_number"):  # a yes, and a number
            assert "acting_organisation()" in source, name


@pytest.mark.parametrize(
    "statement",
    [
        "select st_estimatedextent('public', 'reports', 'position')",
        "select _postgis_stats('reports', 'position')",
        "select _postgis_selectivity('reports', 'position', 'POINT(0 51)'::geometry)",
    ],
)
@pytest.mark.parametrize("role", ["intake", "staff"])
def test_statistics_say_to_nobody_where_reports_of_others_are(database, statement, role):
    """No policy binds what PostGIS knows of a column: of few reports it is where they were."""
    connect = database.staff(uuid4()) if role == "staff" else database.intake()
    with pytest.raises(psycopg.errors.InsufficientPrivilege), connect as conn:
        conn.execute(statement)


def test_statistics_of_a_private_table_are_shown_to_nobody(database):
    told = uuid4()
    with database.owner() as conn:
        Rows.insert(conn, organisation=told)
        conn.execute("analyze reports")
        conn.execute("analyze events")
    for connect in (database.staff(told), database.intake()):
        with connect as conn:
            found = conn.execute(
                "select tablename from pg_stats where tablename ~ '^(reports|events)'"
            ).fetchall()
        assert found == []


def test_staff_use_no_sequence_and_no_large_object(database):
    assert not names(
        database,
        "select relname from pg_class where relkind = 'S'"
        " and has_sequence_privilege('waylight_staff', oid::regclass::text, 'usage')",
    )
    for statement in ("select lo_import('/etc/passwd')", "select pg_read_file('/etc/passwd')"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), database.staff(uuid4()) as conn:
            conn.execute(statement)
