import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql

from schemas.common import WireId
from tests.databases import environment_for, settings_for
from tests.desk import P1
from waylight.channels.console import Console
from waylight.db.operations import health
from waylight.db.session import Database
from waylight.domain.principals import NOBODY
from waylight.domain.reports import Submission
from waylight.services import audit, packs
from waylight.services.context import Waylight
from waylight.services.operations import chores, doctor, migrations
from waylight.services.operations.doctor import server
from waylight.services.reports import submit_reports
from waylight.vault import Vault
from waylight.worker import Worker

NOW = datetime.now(UTC)
TINYTOWN = Path(__file__).parents[2] / "data/tinytown"

pytestmark = pytest.mark.commits


@pytest.fixture
def well(database):
    """A deployment in which all is as it should be."""
    packs.load_pack(database, TINYTOWN, now=NOW, progress=lambda _: None)
    with database.owner() as conn:
        conn.execute("update cities set contacts_verified_at = %s", [NOW.date()])
        conn.execute("insert into worker_heartbeats values ('w', 'h', 1, %s, %s)", [NOW, NOW])
    return database


def findings(database, *, now=NOW, **others):
    vault = Vault(database._settings)
    return {found.what: found for found in doctor.examine(database, vault, now=now, **others)}


def problem(database, what, **others):
    """What is wrong with one thing, and its fix."""
    found = findings(database, **others)[what]
    assert found.problem
    assert found.fix
    return found.problem, found.fix


def ill(database, **when):
    return {what for what, finding in findings(database, **when).items() if finding.problem}


def change(database, statement, *parameters):
    with database.owner() as conn:
        conn.execute(statement, parameters)


def test_nothing_is_found_where_all_is_well(well):
    assert ill(well) == set()
    assert set(findings(well)) == {
        "database, as intake",
        "database, as staff",
        "PostgreSQL",
        "roles",
        "extensions",
        "migrations",
        "cities",
        "worker",
        "queues",
        "opening hours and shifts",
        "partitions",
        "emergency contacts",
        "clock",
        "rights",
        "row-level security",
        "unanswered alerts",
        "vault keys",
        "receipt keys",
        "support keys",
        "addresses",
        "web push",
        "webhooks",
        "identity providers",
        "sealing of the audit log",
        "chain of the audit log",
    }


def test_every_problem_comes_with_its_fix(database):
    found = [finding for finding in findings(database).values() if finding.problem]
    assert {finding.what for finding in found} == {"cities", "worker"}
    assert all(finding.fix for finding in found)


def test_a_silent_worker_is_found(well):
    assert ill(well, now=NOW + timedelta(seconds=14)) == set()
    assert ill(well, now=NOW + timedelta(seconds=16)) == {"worker"}


def test_hours_that_end_soon_are_found(well):
    change(well, "update hubs set expanded_until = %s", NOW + timedelta(days=6))
    assert ill(well) == {"opening hours and shifts"}
    change(well, "update hubs set expanded_until = %s", NOW + timedelta(days=8))
    change(well, "update teams set expanded_until = null")
    assert ill(well) == {"opening hours and shifts"}
    change(well, "update teams set retired = true")
    assert ill(well) == set()


def test_contacts_that_nobody_has_looked_at_for_90_days_are_found(well):
    change(well, "update cities set contacts_verified_at = %s", NOW.date() - timedelta(days=90))
    assert ill(well) == set()
    for stale in (NOW.date() - timedelta(days=91), date(2020, 1, 1), None):
        change(well, "update cities set contacts_verified_at = %s", stale)
        assert ill(well) == {"emergency contacts"}
    _, fix = problem(well, "emergency contacts")
    assert "verified_at" in fix


def test_a_city_without_a_control_room_is_found(well):
    change(well, "update cities set control_room_id = null")
    assert ill(well) == {"cities"}


def test_missing_partitions_are_found(well):
    months = [NOW + timedelta(days=7), NOW]
    for month in {f"{month:%Y_%m}" for month in months}:
        change(well, f"drop table reports_{month}")
    assert ill(well) == {"partitions"}


def test_work_that_waits_is_found(well):
    change(
        well,
        "insert into events (kind, at) values ('x', %s)",
        NOW - timedelta(minutes=2),
    )
    assert ill(well) == {"queues"}
    assert "1 events" in (findings(well)["queues"].problem or "")


def test_an_old_schema_is_found_and_mended(well):
    migrations.downgrade(well, "base")
    found = findings(well)
    assert found["migrations"].problem
    assert "cities" not in found
    assert found["migrations"].fix == "run `waylight migrate`"
    migrations.migrate(well, well._settings)
    assert findings(well)["migrations"].problem is None


def test_behind_an_old_schema_everything_else_is_still_looked_at(well):
    change(well, "update alembic_version set version_num = '0001'")
    change(well, "delete from worker_heartbeats")
    assert ill(well) == {"migrations", "worker"}


def test_a_schema_ahead_of_the_code_is_found(well):
    change(well, "update alembic_version set version_num = '9999'")
    told, fix = problem(well, "migrations")
    assert "ahead" in told
    assert "run the release that made it" in fix
    assert ill(well) == {"migrations"}


@pytest.mark.usefixtures("_empty_template")  # which makes the roles
def test_an_empty_database_lacks_extensions_and_schema_until_it_is_migrated(cluster):
    with cluster.clone(None) as name:
        database = Database(settings_for(cluster.url(name)))
        told, fix = problem(database, "extensions")
        assert "postgis" in told
        assert fix == "run `waylight migrate`"
        assert ill(database) >= {"extensions", "migrations"}
        migrations.migrate(database, database._settings)
        assert not ill(database) & {"extensions", "migrations", "rights"}
        database.close()


def test_a_dropped_extension_is_found_and_mended(well):
    with well.connect("admin") as conn:
        conn.execute("drop extension pg_trgm cascade")
    told, fix = problem(well, "extensions")
    assert (told, fix) == ("pg_trgm not installed", "run `waylight migrate`")
    assert ill(well) == {"extensions"}
    migrations.migrate(well, well._settings)
    assert ill(well) == set()


@pytest.mark.usefixtures("_empty_template")
def test_a_database_that_is_not_there_is_named(cluster):
    database = Database(settings_for(cluster.url("waylight_nowhere")))
    found = findings(database)
    assert set(found) == {"database, as intake", "database, as staff"}
    assert all("waylight_nowhere" in (one.problem or "") for one in found.values())
    assert all((one.fix or "").startswith("create the database") for one in found.values())


def test_a_server_that_is_not_there_is_named():
    database = Database(settings_for("postgresql://nobody@127.0.0.1:1/none"))
    told, fix = problem(database, "database, as intake")
    assert "refused" in told
    assert fix.startswith("start PostgreSQL")


@pytest.mark.parametrize(
    ("why", "fix"),
    [
        ('FATAL:  password authentication failed for user "waylight_staff"', "lowest key"),
        ('FATAL:  role "waylight_intake" does not exist', "waylight migrate"),
        ('FATAL:  role "waylight_intake" is not permitted to log in', "waylight migrate"),
        ('FATAL:  database "waylight" does not exist', "create the database"),
        ("connection timeout expired", "start PostgreSQL"),
    ],
)
def test_a_refused_login_is_told_its_own_way_in(why, fix):
    """Roles belong to the whole server: breaking one would break the tests beside this one."""
    assert fix in doctor._way_in(why)


def test_a_role_that_may_not_connect_is_found_and_mended(well):
    name = well._settings.intake_url.partition("dbname=")[2].split()[0].strip("'")
    with well.connect("admin") as conn:
        conn.execute(f"revoke connect on database {name} from public")
    told, fix = problem(well, "database, as intake")
    assert "permission denied" in told
    assert "grant connect" in fix
    with well.connect("admin") as conn:
        conn.execute(f"grant connect on database {name} to waylight_intake, waylight_staff")
    assert ill(well) == set()


def test_a_revoked_right_is_found_and_mended_by_what_is_said(well):
    change(well, "revoke insert, update on reports from waylight_intake")
    change(well, "revoke select on alerts from waylight_staff")
    told, fix = problem(well, "rights")
    assert told == (
        "the roles lack insert on reports of waylight_intake, update on reports of waylight_intake,"
        " select on alerts of waylight_staff"
    )
    change(well, fix.removeprefix("as the owner of the tables: "))
    assert ill(well) == set()


def test_a_table_that_the_role_may_not_read_does_not_end_the_search(well):
    change(well, "revoke select on hubs from waylight_intake")
    found = findings(well)
    assert {what for what, one in found.items() if one.problem} == {"rights", "tables"}
    change(well, (found["rights"].fix or "").removeprefix("as the owner of the tables: "))
    assert ill(well) == set()


@pytest.mark.parametrize("apart_s", [-5, 5])
def test_a_clock_that_is_wrong_is_found(well, apart_s):
    def clock():
        return datetime.now(UTC) + timedelta(seconds=apart_s)

    told, fix = problem(well, "clock", clock=clock)
    assert "differ by 5 s" in told or "differ by 4 s" in told
    assert "NTP" in fix


def test_a_worker_that_fell_silent_beside_a_living_one_is_found(well):
    at = NOW - timedelta(minutes=5)
    change(well, "insert into worker_heartbeats values ('d', 'night', 7, %s, %s)", at, at)
    told, _ = problem(well, "worker")
    assert told == "fell silent without a goodbye: night (process 7)"
    assert ill(well, now=NOW + timedelta(seconds=3)) == {"worker"}
    chores.beat(well, "d", host="night", pid=7, started_at=at, now=NOW)
    assert ill(well) == set()


def test_no_living_worker_is_mended_by_a_beat(well):
    change(well, "delete from worker_heartbeats")
    assert problem(well, "worker")[1] == "run `waylight worker`"
    chores.beat(well, "n", host="h", pid=1, started_at=NOW, now=NOW)
    assert ill(well) == set()


@pytest.fixture
def reported(well):
    """Two reports with a story, one without a word."""
    vault = Vault(well._settings)
    for report in (P1, replace(P1, narrative="Another story."), replace(P1, narrative=None)):
        submission = Submission(report=report, received_at=NOW, principal=NOBODY)
        submit_reports(well, vault, well._settings, [submission])
    return well


def test_reports_in_good_order_are_nothing_to_tell(reported):
    assert not ill(reported) - {"queues"}


@pytest.mark.parametrize("held", [{1: b"z" * 32, 2: b"z" * 32}, {1: b"a" * 32}])
def test_a_lost_vault_key_is_found_before_a_night_shift_needs_it(reported, held):
    vault = Vault(replace(reported._settings, vault_keys=held))
    (found,) = (one for one in doctor.examine(reported, vault, now=NOW) if one.what == "vault keys")
    assert found.problem == "3 of 3 stories tried cannot be opened (key 2)"
    assert "version 2" in (found.fix or "")
    assert "WAYLIGHT_VAULT_KEYS" in (found.fix or "")
    assert findings(reported)["vault keys"].problem is None


@pytest.mark.parametrize("held", [{1: b"z" * 32}, {2: b"z" * 32}])
def test_a_lost_receipt_key_is_found(reported, held):
    vault = Vault(replace(reported._settings, receipt_keys=held))
    (found,) = (
        one for one in doctor.examine(reported, vault, now=NOW) if one.what == "receipt keys"
    )
    assert (found.problem or "").startswith("3 of 3 receipts tried are not recognised (key 1)")
    assert "WAYLIGHT_RECEIPT_KEYS" in (found.fix or "")


def support_case(database, vault):
    case_id = uuid4()
    sealed = vault.support.seal(case_id, {})
    change(
        database,
        "insert into support_cases (id, report_id, organisation_id, opened_at, opened_by,"
        " key_version, wrapped_key) select %s, r.id, o.id, %s, uuid_v7(), %s, %s"
        " from (select id from reports limit 1) r, (select id from organisations limit 1) o",
        case_id,
        NOW,
        sealed.key_version,
        sealed.wrapped_key,
    )


@pytest.mark.parametrize("held", [{1: b"z" * 32}, {2: b"z" * 32}])
def test_a_lost_support_key_is_found(reported, held):
    support_case(reported, Vault(reported._settings))
    assert findings(reported)["support keys"].problem is None
    vault = Vault(replace(reported._settings, support_keys=held))
    (found,) = (
        one for one in doctor.examine(reported, vault, now=NOW) if one.what == "support keys"
    )
    assert (found.problem or "").startswith("1 of 1 cases tried cannot be opened (key 1)")
    assert "version 1 back into WAYLIGHT_SUPPORT_KEYS" in (found.fix or "")
    assert not found.warning
    change(reported, "update support_cases set wrapped_key = null, destroyed_at = now()")
    assert findings(reported)["support keys"].problem is None


def test_a_support_service_or_a_case_without_any_support_key_is_a_warning(reported):
    """Not every process is given one."""
    well, vault = reported, Vault(replace(reported._settings, support_keys={}))

    def told():
        return next(
            one for one in doctor.examine(well, vault, now=NOW) if one.what == "support keys"
        )

    change(well, "delete from organisations where kind = 'support_service'")
    assert told().problem is None
    support_case(well, Vault(well._settings))
    assert told().warning
    change(well, "delete from support_cases")
    change(
        well,
        "insert into organisations (city_id, key, name, kind)"
        " select id, 'harbour', 'Harbour', 'support_service' from cities limit 1",
    )
    assert told().warning
    assert "waylight secrets new support" in (told().fix or "")


def test_an_erased_story_is_no_lost_key(reported):
    change(reported, "update report_secrets set wrapped_key = null, narrative = null")
    assert findings(reported)["vault keys"].problem is None


def test_stuck_work_is_told_by_kind_and_mended_by_a_worker(reported):
    change(reported, "update deliveries set next_attempt_at = %s", NOW - timedelta(minutes=5))
    change(reported, "update incidents set escalate_at = %s", NOW - timedelta(minutes=5))
    change(reported, "update events set at = %s", NOW - timedelta(minutes=5))
    told, fix = problem(reported, "queues")
    assert "deliveries" in told
    assert "ladders" in told
    assert "events" in told
    assert "worker" in fix
    context = Waylight(reported._settings, reported, Vault(reported._settings))
    one = Worker(context, channels={"console": Console()})
    while one.turn() or one.number():
        pass
    one._finish()
    assert findings(reported)["queues"].problem is None


def test_an_incident_that_nobody_answered_is_told_until_somebody_does(reported):
    change(reported, "update incidents set unanswered_at = now()")
    told, fix = problem(reported, "unanswered alerts")
    assert "nobody has answered" in told
    assert "control room" in fix
    change(reported, "update incidents set unanswered_at = null")
    assert findings(reported)["unanswered alerts"].problem is None


def test_wrong_settings_are_told_one_by_one_and_the_rest_is_used():
    environ = environment_for("postgresql://nobody@127.0.0.1:1/none")
    told, settings = doctor.usable_settings(
        {**environ, "WAYLIGHT_PORT": "99999", "WAYLIGHT_LEASE_S": "soon"}
    )
    assert [found.what for found in told] == ["settings", "settings"]
    assert "WAYLIGHT_PORT" in (told[0].problem or "")
    assert settings is not None
    assert settings.port == 8000
    assert doctor.usable_settings(environ)[0] == [doctor.Finding("settings")]
    told, settings = doctor.usable_settings({**environ, "WAYLIGHT_VAULT_KEYS": "1:short"})
    assert settings is None
    assert "short" not in str(told)


def test_a_role_that_no_policy_binds_is_found(well):
    settings = well._settings
    unbound = Database(
        settings_for(settings.database_url, WAYLIGHT_STAFF_URL=settings.database_url)
    )
    assert ill(unbound) == {"roles"}
    unbound.close()


def test_a_locked_table_does_not_keep_the_rest_from_being_told(well, monkeypatch):
    monkeypatch.setattr(doctor, "PATIENCE_S", 0.2)
    with well.owner() as conn:
        conn.execute("lock table deliveries in access exclusive mode")
        found = findings(well)
    assert "statement timeout" in found["tables"].problem
    assert found["database, as intake"].problem is None


def test_a_function_that_nobody_may_call_is_found_and_mended_by_what_is_said(well):
    change(well, "revoke execute on function submit_reports from waylight_intake, public")
    what, fix = problem(well, "rights")
    assert what == "the roles lack execute on function submit_reports(jsonb) of waylight_intake"
    change(well, fix.removeprefix("as the owner of the tables: "))
    assert ill(well) == set()


def test_row_level_security_that_is_off_is_found_and_mended_by_what_is_said(well):
    change(well, "alter table reports disable row level security")
    _, fix = problem(well, "row-level security")
    change(well, fix.removeprefix("as the owner of the tables: "))
    assert ill(well) == set()


def test_a_policy_that_is_gone_is_named(well):
    change(well, "drop policy staff_granted on report_secrets")
    what, _ = problem(well, "row-level security")
    assert what == "policies are gone: staff_granted on report_secrets"


def test_every_policy_of_the_migrations_is_asked_about(database):
    with database.owner() as conn:
        rows = conn.execute(
            "select tablename, policyname from pg_policies where schemaname = 'public'"
        ).fetchall()
    known = {(table, policy) for table, names in health.LOCKED.items() for policy in names}
    assert set(rows) == known


@pytest.mark.parametrize("set_to", ["0001", "0002", "0003", None])
def test_a_schema_whose_number_was_changed_is_told_and_mended_by_what_is_said(well, set_to):
    change(well, "delete from alembic_version")
    if set_to:
        change(well, "insert into alembic_version values (%s)", set_to)
    what, fix = problem(well, "migrations")
    assert "somebody has changed the number" in what
    for statement in fix.removeprefix("as the owner of the tables: ").split("; "):
        change(well, statement)
    assert ill(well) == set()


def test_every_migration_has_a_mark_to_know_it_by(database):
    assert set(health.MARKS) == migrations.revisions()
    with database.owner() as conn:
        for revision, mark in health.MARKS.items():
            assert conn.execute(f"select {mark} as there").fetchone() == (True,), revision


def test_a_worker_that_was_started_again_in_its_place_is_not_asked_after(well):
    dead = NOW - timedelta(minutes=2)
    change(well, "insert into worker_heartbeats values ('x', 'h', 2, %s, %s)", dead, dead)
    assert ill(well) == set()
    change(well, "update worker_heartbeats set host = 'elsewhere' where worker_id = 'x'")
    assert ill(well) == {"worker"}


def test_a_role_that_is_too_powerful_is_told_how_to_lose_it(well):
    found = server.roles([{"login": "waylight_staff", "unbound": True}])
    assert found.fix
    assert found.fix.endswith('alter role "waylight_staff" nosuperuser nobypassrls')


def using(database, *channels):
    """The settings of a deployment with these channels in use."""
    return replace(database._settings, channels=channels)


def address(database, team, channel, **columns):
    """Gives a team an address on a channel."""
    columns = {"state": "active", "expires_at": None} | columns
    change(
        database,
        "insert into addresses (organisation_id, team_id, channel, name, key_version, wrapped_key,"
        " address, fingerprint, created_at, state, expires_at)"
        " select organisation_id, id, %s, 'On call', 1, null, '', uuid_send(uuid_v7()), %s, %s, %s"
        " from teams where name = %s",
        channel,
        NOW,
        columns["state"],
        columns["expires_at"],
        team,
    )


def test_teams_that_no_channel_in_use_reaches_are_named(well):
    with well.owner() as conn:
        names = [row[0] for row in conn.execute("select name from teams where not retired")]
    pushing = ("console", "web_push", "sms")
    told, fix = problem(well, "addresses", settings=using(well, *pushing))
    assert told.startswith(f"{len(names)} teams")
    assert "WAYLIGHT_CHANNELS" in fix
    reached, *others = names
    address(well, reached, "web_push")
    for other in others:
        address(well, other, "sms")
    assert findings(well, settings=using(well, *pushing))["addresses"].problem is None
    told, _ = problem(well, "addresses", settings=using(well, "console", "web_push"))
    assert reached not in told
    assert all(name in told for name in others[:3])


@pytest.mark.parametrize("columns", [{"state": "gone"}, {"expires_at": NOW}])
def test_address_that_leads_nowhere_any_more_reaches_nobody(well, columns):
    with well.owner() as conn:
        names = [row[0] for row in conn.execute("select name from teams where not retired")]
    for name in names:
        address(well, name, "web_push", **columns)
    told, _ = problem(well, "addresses", settings=using(well, "web_push"))
    assert told.startswith(f"{len(names)} teams")


def test_where_only_the_console_is_in_use_no_address_is_missed(well):
    assert ill(well, settings=using(well, "console")) == set()


def test_signature_that_push_services_refuse_is_told_with_its_fix(well):
    for detail in ("vapid_refused_403", "vapid_key_missing", "push_service_500"):
        change(
            well,
            "insert into delivery_attempts (delivery_id, attempt, at, duration_ms, worker_id,"
            " outcome, detail) values (uuid_v7(), 1, %s, 5, 'w', 'failed', %s)",
            NOW,
            detail,
        )
    told, fix = problem(well, "web push")
    assert told.startswith("2 messages")
    assert "WAYLIGHT_VAPID_KEYS" in fix


def webhook(database, vault, **columns):
    """Gives the first organisation a webhook; returns the organisation's name."""
    webhook_id = uuid4()
    sealed = vault.seal(
        webhook_id, {"url": "https://partner.example/hook?token=s3cret", "secret": "whsec_x"}
    )
    columns = {
        "id": webhook_id,
        "key_version": sealed.key_version,
        "wrapped_key": sealed.wrapped_key,
        **sealed.ciphertexts,
        "state": "active",
        "disabled_reason": None,
        "failing_since": None,
    } | columns
    with database.owner() as conn:
        row = conn.execute("select id, name from organisations order by id limit 1").fetchone()
        assert row is not None
        values = columns | {"organisation_id": row[0], "created_at": NOW, "updated_at": NOW}
        values |= {"event_types": ["*"], "description": "", "starts_after": 0}
        conn.execute(
            sql.SQL("insert into webhooks ({}) values ({})").format(
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(map(sql.Placeholder, values)),
            ),
            values,
        )
    return row[1], WireId.of("webhook", webhook_id)


def test_webhooks_that_were_given_up_are_named_without_their_url_as_a_warning(well):
    vault = Vault(well._settings)
    webhook(well, vault)
    webhook(well, vault, failing_since=NOW - timedelta(hours=23))
    assert findings(well)["webhooks"].problem is None
    owner, gone = webhook(well, vault, state="disabled", disabled_reason="gone")
    _, dead = webhook(well, vault, state="disabled", disabled_reason="failing")
    _, late = webhook(well, vault, failing_since=NOW - timedelta(days=2))
    told, fix = problem(well, "webhooks")
    assert told.startswith("2 are disabled, 1 have failed for more than a day: ")
    for id, why in ((gone, "gone"), (dead, "failing"), (late, "failing")):
        assert f"{owner}'s {id} ({why})" in told
    assert "enable" in fix
    assert findings(well)["webhooks"].warning
    assert not re.search("s3cret|partner|whsec", told + fix)


def test_webhook_that_cannot_be_opened_is_told_with_the_key_that_is_lost(well):
    lost = Vault(replace(well._settings, vault_keys={2: b"z" * 32}))
    owner, id = webhook(well, lost)
    webhook(well, Vault(well._settings))
    told, fix = problem(well, "webhooks")
    assert told == f"1 cannot be opened (key 2): {owner}'s {id} (unreadable)"
    assert "version 2 back into WAYLIGHT_VAULT_KEYS" in fix
    assert not findings(well)["webhooks"].warning


def identity_provider(database, vault, *, enabled=True):
    """Gives the first organisation an OpenID provider; returns how the doctor names it."""
    provider_id = uuid4()
    sealed = vault.seal(provider_id, {"client_secret": "s3cret"})
    with database.owner() as conn:
        row = conn.execute(
            "insert into identity_providers (id, organisation_id, name, issuer, client_id,"
            " key_version, wrapped_key, client_secret, redirect_uris, scopes, role_mapping,"
            " email_domains, second_factor_values, enabled, created_at, updated_at)"
            " select %s, id, 'x', 'https://id.example', %s, %s, %s, %s, '{}', '{}', '[]', '{}',"
            " '{}', %s, %s, %s from organisations order by id limit 1"
            " returning (select name from organisations order by id limit 1)",
            [
                provider_id,
                str(provider_id),
                sealed.key_version,
                sealed.wrapped_key,
                sealed.ciphertexts["client_secret"],
                enabled,
                NOW,
                NOW,
            ],
        ).fetchone()
    assert row is not None
    return f"{row[0]}'s {WireId.of('provider', provider_id)}"


def test_provider_whose_secret_cannot_be_opened_is_told_with_the_key_that_is_lost(well):
    lost = Vault(replace(well._settings, vault_keys={2: b"z" * 32}))
    identity_provider(well, Vault(well._settings))
    identity_provider(well, lost, enabled=False)
    assert findings(well)["identity providers"].problem is None
    named = identity_provider(well, lost)
    told, fix = problem(well, "identity providers")
    assert told == (
        f"the secrets of 1 cannot be opened (key 2), and nobody signs in by them: {named}"
    )
    assert "version 2 back into WAYLIGHT_VAULT_KEYS" in fix
    assert "s3cret" not in told + fix


def look_at_something(database, *, now):
    with database.intake() as conn:
        audit.write(conn, Vault(database._settings), "report.read", principal=None, now=now)


def test_entries_that_wait_for_their_seal_are_found_and_sealed_by_a_worker(well):
    look_at_something(well, now=NOW)
    assert ill(well) == set()
    later = NOW + timedelta(minutes=11)
    said, fix = problem(well, "sealing of the audit log", now=later)
    assert "1 entries wait for their seal, the oldest for 11 minutes" in said
    assert "waylight worker" in fix
    audit.seal(well, Vault(well._settings), now=later)
    assert "sealing of the audit log" not in ill(well, now=later)


def test_a_broken_chain_is_found(well):
    look_at_something(well, now=NOW)
    audit.seal(well, Vault(well._settings), now=NOW)
    assert ill(well) == set()
    change(well, "alter table audit_entries disable trigger all")
    change(well, "update audit_entries set action = 'report.listed'")
    said, fix = problem(well, "chain of the audit log")
    assert "broken at seal 1" in said
    assert "docs/audit.md" in fix
