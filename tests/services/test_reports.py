"""Submitting under concurrency: each report stored once, one incident, nobody untold."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from waylight.domain.errors import IdempotencyConflict
from waylight.domain.geo import Point
from waylight.domain.principals import Kind, Principal
from waylight.domain.reports import (
    Contact,
    LocationClaim,
    NewReport,
    ReportReceipt,
    ShareWith,
    Submission,
    Want,
)
from waylight.services.packs import load_pack
from waylight.services.reports import submit_reports
from waylight.services.reports.record import structured

CAMDEN = Point(-0.1426, 51.5390)
REPORT = NewReport(
    categories=("being_followed",),
    location=LocationClaim(point=CAMDEN, accuracy_m=25.0),
    fingerprint=b"one story",
)


@pytest.fixture
def submit(london, vault, settings):
    def submit(report=REPORT, **changes):
        submission = Submission(report=report, received_at=datetime.now(UTC), **changes)
        return submit_reports(london, vault, settings, [submission])[0]

    return submit


def count(database, table, where="true"):
    with database.owner() as conn:
        return conn.execute(f"select count(*) from {table} where {where}").fetchone()[0]  # noqa: S608 - constants of this file


def at_once(work, times=8):
    barrier = Barrier(times)

    def one(n):
        barrier.wait()
        return work(n)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


@pytest.mark.commits
def test_eight_identical_reports_at_once_make_one_incident_and_eight_told_reports(submit, london):
    answers = at_once(lambda _: submit())
    assert len({a.id for a in answers}) == 8
    assert sorted(a.joined for a in answers) == [False, *[True] * 7]
    assert count(london, "incidents") == 1
    assert count(london, "incidents", "report_count = 8") == 1
    with london.owner() as conn:
        told = conn.execute(
            "select count(distinct report_id) from events"
            " where kind in ('alert.created', 'alert.updated')"
        ).fetchone()
    assert told == (8,)
    assert count(london, "deliveries") == 8


@pytest.mark.commits
def test_the_same_key_from_both_ends_of_a_tunnel_stores_one_report(submit, london):
    key = str(uuid4())
    answers = at_once(lambda _: submit(idempotency_key=key))
    assert len({(a.id, a.receipt) for a in answers}) == 1
    assert (
        len(
            {orjson.dumps(replace(a, replayed=False), option=orjson.OPT_SORT_KEYS) for a in answers}
        )
        == 1
    )
    assert sorted(a.replayed for a in answers) == [False, *[True] * 7]
    assert count(london, "reports") == 1


@pytest.mark.commits
def test_crossing_batches_do_not_lock_each_other_up(london, vault, settings):
    spots = [Point(-0.1426 + n * 0.001, 51.5390) for n in range(6)]

    def batch(n):
        order = spots if n % 2 else spots[::-1]
        submissions = [
            Submission(
                report=replace(REPORT, location=LocationClaim(point=spot), fingerprint=b"%d" % i),
                received_at=datetime.now(UTC),
                idempotency_key=str(uuid4()),
            )
            for i, spot in enumerate(order)
        ]
        return submit_reports(london, vault, settings, submissions)

    answers = [a for batch_answers in at_once(batch, 6) for a in batch_answers]
    assert len(answers) == 36
    assert count(london, "reports") == 36


def test_a_batch_is_answered_in_its_own_order(london, vault, settings):
    reports = [
        replace(REPORT, categories=(category,))
        for category in ("catcalling", "rape", "poor_lighting", "being_followed")
    ]
    now = datetime.now(UTC)
    answers = submit_reports(london, vault, settings, [Submission(r, now) for r in reports])
    assert [a.priority.level for a in answers] == [4, 1, 4, 2]


def test_an_api_client_that_reuses_a_key_is_told_so(submit, london):
    client = Principal(kind=Kind.CLIENT, key_id=uuid4())
    submit(idempotency_key="order-7", principal=client)
    with pytest.raises(IdempotencyConflict):
        submit(replace(REPORT, fingerprint=b"another"), idempotency_key="order-7", principal=client)
    other = replace(client, key_id=uuid4())
    submit(replace(REPORT, fingerprint=b"another"), idempotency_key="order-7", principal=other)
    assert count(london, "reports") == 2


def test_what_was_not_understood_is_kept_encrypted_with_the_report(submit, london, vault):
    report = replace(
        REPORT,
        narrative="the story",
        contact=Contact(phone="+447700900123"),
        rejected={"/categories/0": "growled_at"},
    )
    answer = submit(report)
    with london.owner() as conn:
        version, key, narrative, contact, rejected, person = conn.execute(
            "select key_version, wrapped_key, narrative, contact, rejected,"
            " description_of_person from report_secrets where report_id = %s",
            [answer.id],
        ).fetchone()
    assert person is None
    opened = [
        vault.open(answer.id, version, key, name, text)
        for name, text in (("narrative", narrative), ("contact", contact), ("rejected", rejected))
    ]
    assert opened[0] == "the story"
    assert orjson.loads(opened[1])["phone"] == "+447700900123"
    assert orjson.loads(opened[2]) == {"/categories/0": "growled_at"}


def test_cells_groups_and_marks_are_stored_at_insert(submit, london):
    submit(replace(REPORT, categories=("being_followed", "spiking_drink")))
    with london.owner() as conn:
        row = conn.execute(
            "select category_groups, cell_r7 > 0, cell_r9 > 0, exercise, hoax, held, withdrawn_at"
            " from reports"
        ).fetchone()
    assert row == (["pursuit", "spiking"], True, True, False, False, False, None)


def test_an_exercise_goes_the_whole_way_marked_and_joins_nothing_real(submit, london):
    drill = Principal(
        kind=Kind.STAFF,
        key_id=uuid4(),
        organisation_id=uuid4(),
        staff_id=uuid4(),
        scopes=frozenset({"exercise"}),
    )
    submit()
    answer = submit(replace(REPORT, exercise=True), principal=drill)
    assert answer.exercise
    assert not answer.joined
    for table in ("reports", "alerts", "incidents", "deliveries"):
        assert count(london, table, "exercise") >= 1


def test_the_control_room_oversees_and_consent_is_a_grant_of_its_own(submit, london):
    submit(replace(REPORT, share_with=(ShareWith.OPERATOR,)))
    with london.owner() as conn:
        causes = conn.execute(
            "select g.cause, o.kind from grants g join organisations o on o.id = g.organisation_id"
        ).fetchall()
    assert ("oversight", "control_room") in causes
    assert ("consent", "operator") in causes
    assert any(cause == "routing" for cause, _ in causes)


def test_a_childs_own_ticks_share_nothing(submit, london):
    submit(replace(REPORT, under_18=True, share_with=(ShareWith.OPERATOR, ShareWith.POLICE)))
    assert count(london, "grants", "cause = 'consent'") == 0


def test_police_may_read_by_consent_without_being_told(submit, london):
    submit(replace(REPORT, wants=(Want.HELP,), share_with=(ShareWith.POLICE,)))
    with london.owner() as conn:
        causes = conn.execute(
            "select g.cause from grants g join organisations o on o.id = g.organisation_id"
            " where o.kind = 'police'"
        ).fetchall()
    assert causes == [("consent",)]


def test_partitions_hold_the_rows_and_the_default_stays_empty(submit, london):
    submit()
    for table in ("reports", "report_secrets", "alerts", "deliveries", "events", "grants"):
        assert count(london, table) >= 1
        assert count(london, f"{table}_default") == 0


def test_a_report_far_in_the_future_lands_in_the_default_partition(london, vault, settings):
    later = datetime.now(UTC) + timedelta(days=4000)
    submit_reports(london, vault, settings, [Submission(REPORT, later)])
    assert count(london, "alerts_default") >= 1


def test_the_kept_answer_of_a_retry_survives_storage(submit):
    answer = submit(idempotency_key=str(uuid4()))
    assert structured(orjson.loads(orjson.dumps(answer)), ReportReceipt) == answer


def test_a_report_that_cannot_be_looked_up_goes_to_the_control_room_of_its_own_city(
    london, vault, settings, monkeypatch
):
    tiny = Path(__file__).parents[1] / "data" / "tinytown"
    load_pack(london, tiny, now=datetime.now(UTC), progress=lambda *_: None)

    def broken(*_, **__):
        raise RuntimeError

    monkeypatch.setattr("waylight.db.nearby.surroundings", broken)
    auckland = Point(174.7655, -36.8440)
    report = replace(REPORT, location=LocationClaim(point=auckland))
    (answer,) = submit_reports(london, vault, settings, [Submission(report, datetime.now(UTC))])
    assert [r.name for r in answer.routed_to if "London" in r.name] == []
    assert answer.routed_to[0].role == "control_room"


LONDONISH = st.builds(Point, lon=st.floats(-0.55, 0.35), lat=st.floats(51.25, 51.72))


@hypothesis_settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(spot=LONDONISH, mode=st.sampled_from([None, "tube", "bus", "rail", "street", "taxi"]))
def test_every_point_of_london_is_told_to_a_team_that_covers_it(
    london, vault, settings, spot, mode
):
    report = replace(REPORT, location=LocationClaim(point=spot), fingerprint=repr(spot).encode())
    report = replace(report, journey=replace(report.journey, mode=mode))
    answer = submit_reports(london, vault, settings, [Submission(report, datetime.now(UTC))])[0]
    told = [r for r in answer.routed_to if r.told == "now" and r.role in ("primary", "backup")]
    assert answer.routed_to
    with london.intake() as conn:
        covering = {
            row[0]
            for row in conn.execute(
                """
                select c.team_id from coverages c join areas a on a.id = c.area_id
                where st_covers(a.geom, st_setsrid(st_makepoint(%s, %s), 4326))
                  and (%s::text is null or c.modes is null or %s = any (c.modes))
                """,
                [spot.lon, spot.lat, mode, mode],
            ).fetchall()
        }
    if not answer.joined:
        assert all(r.team_id in covering for r in told)
    if covering:
        assert answer.shortfalls or any(r.team_id in covering for r in told)
