"""What goes past the policies: functions, statistics, sequences and large objects."""

from uuid import uuid4

import psycopg
import pytest

from tests.db.rights.rows import Rows, names

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
