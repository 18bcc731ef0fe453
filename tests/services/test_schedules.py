import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from psycopg.rows import dict_row

from waylight.domain import schedules as hours
from waylight.domain.cities import City
from waylight.domain.geo import Bounds
from waylight.services import schedules
from waylight.services.packs import load_pack

TINYTOWN = Path(__file__).parents[1] / "data" / "tinytown"
NOW = datetime(2026, 11, 21, 23, 41, tzinfo=UTC)

CITY = City(
    id=UUID(int=1),
    slug="london",
    name="London",
    time_zone="Europe/London",
    version=1,
    bounds=Bounds(west=-1, south=51, east=1, north=52),
    control_room=None,
    holidays={"country": "GB", "subdivision": "ENG", "extra_holidays": []},
)


@pytest.fixture
def tinytown(database):
    load_pack(database, TINYTOWN, now=NOW, progress=lambda _: None)
    return database


def rows(database, query, *values):
    with database.intake() as conn, conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchall()


def as_owner(database, statement, *values):
    with database.owner() as conn:
        conn.execute(statement, values)


def horizons(database):
    """How far everything that has hours is expanded."""
    found = rows(
        database,
        """
        select expanded_until from teams union all
        select expanded_until from coverages where schedule is not null union all
        select expanded_until from hubs
        """,
    )
    return {row["expanded_until"] for row in found}


def test_hours_reach_45_days_ahead(tinytown):
    assert horizons(tinytown) == {NOW + timedelta(days=45)}


def test_nothing_is_due_for_a_fortnight_and_then_everything_is(tinytown):
    assert schedules.expand_due(tinytown, now=NOW + timedelta(days=14)) == 0
    later = NOW + timedelta(days=16)
    assert schedules.expand_due(tinytown, now=later) == 7
    assert horizons(tinytown) == {later + timedelta(days=45)}
    assert schedules.expand_due(tinytown, now=later) == 0


def test_only_what_is_due_is_expanded(tinytown):
    as_owner(tinytown, "update hubs set expanded_until = null where key = 'tiny-hub-bus'")
    assert schedules.expand_due(tinytown, now=NOW + timedelta(hours=1)) == 1
    assert len(horizons(tinytown)) == 2


def test_expanding_all_starts_afresh_from_any_moment(tinytown):
    for moment in (NOW + timedelta(days=400), NOW - timedelta(days=400)):
        assert schedules.expand_all(tinytown, now=moment) == 7
        assert horizons(tinytown) == {moment + timedelta(days=45)}


def test_large_cities_are_expanded_in_batches(tinytown, monkeypatch):
    monkeypatch.setattr(schedules, "BATCH", 2)
    assert schedules.expand_all(tinytown, now=NOW + timedelta(days=1)) == 7
    assert horizons(tinytown) == {NOW + timedelta(days=46)}


def test_what_never_closes_has_no_end(tinytown):
    (hub,) = rows(
        tinytown,
        "select upper_inf(open_during) as endless, open_during @> %s as far"
        " from hubs where key = 'tiny-hub-hospital'",
        NOW + timedelta(days=10_000),
    )
    assert hub == {"endless": True, "far": True}


def test_a_range_at_the_horizon_keeps_its_real_end(tinytown):
    # Open for a hundred days: the horizon must not be shown as a closing time.
    as_owner(
        tinytown,
        "update hubs set opening_hours = '2026 Nov 1-2027 Feb 8', expanded_until = null"
        " where key = 'tiny-hub-bus'",
    )
    schedules.expand_due(tinytown, now=NOW)
    (hub,) = rows(
        tinytown, "select upper(open_during) as closes from hubs where key = 'tiny-hub-bus'"
    )
    assert hub["closes"] == datetime(2027, 2, 8, 11, 0, tzinfo=UTC)  # midnight in Auckland


def test_a_coverage_without_a_schedule_is_left_alone(tinytown):
    found = rows(tinytown, "select schedule, active_during from coverages")
    assert len(found) == 5
    assert {row["schedule"] is None for row in found} == {True, False}
    assert all((row["schedule"] is None) == (row["active_during"] is None) for row in found)


def test_the_extra_holiday_of_the_pack_is_kept(tinytown):
    # 20 November 2026 is a holiday of Tinytown alone: `PH off` closes the bus, `PH` opens Central.
    friday = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)  # 22:00 in Auckland
    open_then = {
        row["key"] for row in rows(tinytown, "select key from hubs where open_during @> %s", friday)
    }
    assert open_then == {"tiny-hub-central", "tiny-hub-hospital"}


def test_retired_rows_are_not_expanded(tinytown):
    as_owner(tinytown, "update teams set retired = true, expanded_until = null")
    as_owner(tinytown, "update hubs set retired = true, expanded_until = null")
    assert schedules.expand_due(tinytown, now=NOW) == 0


def test_hours_that_cannot_be_read_close_and_do_not_stop_the_others(tinytown):
    as_owner(
        tinytown,
        "update hubs set opening_hours = 'whenever', expanded_until = null"
        " where key = 'tiny-hub-central'",
    )
    as_owner(tinytown, "update teams set expanded_until = null")
    assert schedules.expand_due(tinytown, now=NOW) == 4
    (hub,) = rows(
        tinytown,
        "select isempty(open_during) as shut, expanded_until from hubs"
        " where key = 'tiny-hub-central'",
    )
    assert hub == {"shut": True, "expanded_until": NOW + timedelta(days=45)}
    assert schedules.expand_due(tinytown, now=NOW) == 0


def test_stored_ranges_say_what_the_rules_say_at_many_instants(london):
    now = rows(london, "select max(expanded_until) - interval '45 days' as now from hubs")[0]["now"]
    instants = [now + timedelta(hours=7 * n, minutes=13 * n) for n in range(140)]
    calendar = schedules.holidays_around(CITY.holidays, now)
    found = rows(
        london,
        "select h.opening_hours, at, coalesce(h.open_during @> at, false) as open"
        " from hubs h, unnest(%s::timestamptz[]) at",
        instants,
    )
    assert len(found) > 8_000
    for row in found:
        expected = hours.is_open(
            row["opening_hours"], row["at"], time_zone="Europe/London", holidays=calendar
        )
        assert row["open"] is expected, row


@pytest.mark.commits
def test_several_workers_do_the_work_once(tinytown):
    as_owner(tinytown, "update teams set expanded_until = null")
    done, ready = [], threading.Barrier(4)

    def work():
        ready.wait()
        done.append(schedules.expand_due(tinytown, now=NOW))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 3
    assert horizons(tinytown) == {NOW + timedelta(days=45)}


# --- Computed, where nothing is expanded --------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (date(2026, 1, 1), "New Year's Day"),
        (date(2026, 4, 3), "Good Friday"),
        (date(2026, 4, 6), "Easter Monday"),
        (date(2026, 5, 4), "early May"),
        (date(2026, 5, 25), "spring"),
        (date(2026, 8, 31), "summer"),
        (date(2026, 12, 25), "Christmas Day"),
        (date(2026, 12, 28), "Boxing Day, substitute"),
    ],
)
def test_every_bank_holiday_of_england_is_one(day, name):
    noon = datetime(day.year, day.month, day.day, 11, 30, tzinfo=UTC)
    assert schedules.is_open_in(CITY, "PH 10:00-14:00", noon), name
    assert not schedules.is_open_in(CITY, "08:00-20:00; PH off", noon), name


def test_an_ordinary_day_is_no_holiday():
    assert not schedules.is_open_in(CITY, "PH 10:00-14:00", datetime(2026, 6, 10, 11, tzinfo=UTC))


def test_the_calendar_reaches_a_year_past_every_new_year():
    found = schedules.holidays_around(CITY.holidays, datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
    assert {day.year for day in found} == {2025, 2026, 2027, 2028}


def test_an_unknown_country_is_said():
    with pytest.raises(ValueError, match="XX"):
        schedules.holidays_around({"country": "XX"}, NOW)


def test_a_city_without_a_calendar_has_only_its_own_holidays():
    calendar = {"extra_holidays": [{"date": "2026-11-20", "name": "Founders' Day"}]}
    assert schedules.holidays_around(calendar, NOW) == (date(2026, 11, 20),)


def test_open_until_is_computed_with_the_citys_clock():
    assert schedules.open_until_in(CITY, "Fr-Sa 21:00-02:30", NOW) == datetime(
        2026, 11, 22, 2, 30, tzinfo=UTC
    )
    assert schedules.open_until_in(CITY, "24/7", NOW) is None


def test_hours_that_cannot_be_read_are_closed():
    assert schedules.is_open_in(CITY, "whenever", NOW) is False
    assert schedules.open_until_in(CITY, "whenever", NOW) == NOW
