"""What each role may do."""

from uuid import uuid4

import psycopg
import pytest

from tests.db.rights.rows import names

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
