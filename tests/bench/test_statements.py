"""The bench against a small world: what it seeds, and what it makes pgbench send."""

import re
from argparse import Namespace
from datetime import UTC, datetime

import pytest
from psycopg import sql

from bench import requests, statements
from bench.__main__ import Bench
from bench.world import CITY, Size, fill, settle
from waylight.db.session import Database

pytestmark = pytest.mark.commits

SIZE = Size(teams=120, hubs=200, reports=300)


def one(conn, query, *values):
    return conn.execute(query, values).fetchone()


@pytest.fixture
def small(london: Database) -> Database:
    fill(london, SIZE)
    return london


def test_the_world_has_the_size_that_was_asked_for(small):
    with small.intake() as conn:
        counts = one(
            conn,
            "select (select count(*) from teams where not retired), (select count(*) from hubs),"
            " (select count(*) from reports),"
            " (select count(*) from reports where incident_id not in (select id from incidents))",
        )
        joined = one(conn, "select avg(joined::int)::float8 from reports")[0]
    assert counts == (120, 200, 300, 0)
    assert 0.1 < joined < 0.4


def test_what_pgbench_sends_stores_a_fresh_report_each_time(small, settings):
    bodies = requests.reports(CITY, 3)
    with small.owner() as conn:
        script = statements.store(conn, "submit", statements.record_submits(settings, bodies))
    assert script.rows == 3
    assert script.text.count("submit_reports(") == 1
    assert script.text.count(statements.FETCH) == 1

    fetch, *product = re.sub(r"(?m)^\\set.*\n", "", script.text).split("\\gset")
    before = {row[0] for row in _reports(small)}
    for number in (0, 0, 1):
        _send(small, fetch.replace(":n", str(number)), product[0])
    fresh = [row for row in _reports(small) if row[0] not in before]
    assert len(fresh) == 3
    assert all(status == "routed" for _, status in fresh)


def test_what_pgbench_asks_finds_hubs(small, settings):
    paths = requests.nearest(CITY, 2)
    with small.owner() as conn:
        script = statements.store(conn, "nearest", statements.record_nearest(settings, paths))
    fetch, product = re.sub(r"(?m)^\\set.*\n", "", script.text).split("\\gset")
    assert _send(small, fetch.replace(":n", "1"), product)


def test_work_that_is_asked_for_twice_is_recorded_once(small, settings, tmp_path):
    bench = Bench(
        Namespace(requests=3),
        url=settings.database_url,
        settings=settings,
        environment={},
        postmaster=0,
        folder=tmp_path,
        began=datetime.now(UTC),
        joined={},
    )
    (first,) = bench.works(["submit"]).values()
    assert bench.works(["submit", "nearest"])["submit"] is first


def test_settling_closes_only_what_was_opened_since(small):
    with small.connect("admin") as conn:
        conn.autocommit = True
        (moment,) = one(
            conn, "select max(opened_at) - interval '1 day' from incidents where state = 'open'"
        )
        (before,) = one(
            conn,
            "select count(*) from incidents where state = 'open' and opened_at < %s",
            moment,
        )
        settle(conn, moment)
        assert one(conn, "select count(*) from incidents where state = 'open'") == (before,)
    assert before


def _reports(database):
    with database.intake() as conn:
        return conn.execute("select id, status from reports").fetchall()


def _send(database, fetch, product):
    """What pgbench does: the fetched columns are the variables of the statements after it."""
    with database.intake() as conn:
        cursor = conn.execute(fetch)
        values = dict(zip([c.name for c in cursor.description], cursor.fetchone(), strict=True))
        rows = []
        for statement in filter(str.strip, product.split(";\n")):
            filled = re.sub(
                r"(?<!:):(s\d_\w+)",
                lambda match: sql.Literal(values[match[1]]).as_string(conn),
                statement,
            )
            rows = conn.execute(filled).fetchall()
        return rows
