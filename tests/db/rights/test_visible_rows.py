"""Whose rows each role sees and changes."""

from uuid import uuid4

import psycopg
import pytest

from tests.db.rights.rows import NOW, SEEN, THEIRS, Rows, names, seen


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
