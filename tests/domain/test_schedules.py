from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opening_hours import OpeningHours, State

from waylight.domain import schedules

LONDON = "Europe/London"
ENGLAND_2026 = [
    date(2026, 1, 1),
    date(2026, 4, 3),
    date(2026, 4, 6),
    date(2026, 5, 4),
    date(2026, 5, 25),
    date(2026, 8, 31),
    date(2026, 12, 25),
    date(2026, 12, 26),
    date(2026, 12, 28),
    date(2027, 1, 1),
]


def z(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text, zone=LONDON, fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


def hours(expression, start, until, *, zone=LONDON, holidays=ENGLAND_2026):
    """Opening times from local midnight to local midnight, as local text."""
    found = schedules.expand(
        expression,
        start=local(start, zone),
        until=local(until, zone),
        time_zone=zone,
        holidays=holidays,
    )
    return [
        " to ".join(f"{at.astimezone(ZoneInfo(zone)):%a %d %H:%M}" for at in span) for span in found
    ]


def is_open(expression, at, *, zone=LONDON, holidays=ENGLAND_2026):
    return schedules.is_open(expression, at, time_zone=zone, holidays=holidays)


def open_until(expression, at, *, zone=LONDON, holidays=ENGLAND_2026):
    return schedules.open_until(expression, at, time_zone=zone, holidays=holidays)


def test_a_night_at_the_weekend_runs_past_midnight():
    assert hours("Fr-Sa 21:00-02:30", "2026-11-16", "2026-11-23") == [
        "Fri 20 21:00 to Sat 21 02:30",
        "Sat 21 21:00 to Sun 22 02:30",
    ]


def test_ranges_are_utc_and_clipped_to_what_was_asked():
    found = schedules.expand(
        "Mo-Su 08:00-20:00",
        start=z("2026-07-01 12:00"),
        until=z("2026-07-02 08:30"),
        time_zone=LONDON,
        holidays=[],
    )
    assert found == [
        (z("2026-07-01 12:00"), z("2026-07-01 19:00")),
        (z("2026-07-02 07:00"), z("2026-07-02 08:30")),
    ]
    assert all(at.tzinfo is UTC for span in found for at in span)


def test_a_night_that_began_before_the_window_is_in_it():
    assert hours("Fr 21:00-05:00", "2026-11-21", "2026-11-22") == ["Sat 21 00:00 to Sat 21 05:00"]


def test_always_open_is_one_range_and_never_closes():
    assert hours("24/7", "2026-11-16", "2026-11-18") == ["Mon 16 00:00 to Wed 18 00:00"]
    for expression in ("24/7", "Mo-Su 00:00-24:00", "Mo-Th; Fr-Su"):
        until = open_until(expression, z("2026-11-21 23:41"))
        assert until is None, expression


def test_touching_hours_are_one_range():
    assert hours("08:00-12:00,12:00-18:00", "2026-11-16", "2026-11-17") == [
        "Mon 16 08:00 to Mon 16 18:00"
    ]
    assert hours("Mo 08:00-24:00; Tu 00:00-06:00", "2026-11-16", "2026-11-18") == [
        "Mon 16 08:00 to Tue 17 06:00"
    ]


@pytest.mark.parametrize(
    "day", ["2026-01-01", "2026-04-06", "2026-08-31", "2026-12-28", "2027-01-01"]
)
def test_every_bank_holiday_is_known_also_those_the_parser_lacks(day):
    noon = local(f"{day} 12:00")
    assert not is_open("Mo-Su 08:00-20:00; PH off", noon)
    assert is_open("Mo-Su 20:00-22:00; PH 10:00-14:00", noon)
    assert is_open("PH 10:00-14:00", noon)
    assert is_open("Su,PH 10:00-14:00", noon)
    assert not is_open("PH 10:00-14:00", noon, holidays=[])
    assert not is_open("PH 10:00-14:00", local("2026-06-10 12:00"))


def test_a_bank_holiday_replaces_the_hours_of_its_weekday():
    # Monday 31 August 2026 is the summer bank holiday.
    rule = "Mo-Fr 07:00-22:00; Sa,Su 09:00-22:00; PH 10:00-18:00"
    assert hours(rule, "2026-08-30", "2026-09-02") == [
        "Sun 30 09:00 to Sun 30 22:00",
        "Mon 31 10:00 to Mon 31 18:00",
        "Tue 01 07:00 to Tue 01 22:00",
    ]


def test_a_night_that_began_before_a_holiday_runs_to_its_end():
    # Christmas Day 2026 is a Friday: no night begins on it or on Boxing Day.
    assert hours("Mo-Su 21:00-02:30; PH off", "2026-12-24", "2026-12-28") == [
        "Thu 24 00:00 to Thu 24 02:30",
        "Thu 24 21:00 to Fri 25 02:30",
        "Sun 27 21:00 to Mon 28 00:00",
    ]


def test_a_night_that_never_began_does_not_open_after_midnight():
    # New Year's Day 2027 is a Friday. The parser alone opens Saturday from 00:00 to 02:30.
    assert hours("Fr-Sa 21:00-02:30; PH off", "2027-01-01", "2027-01-04") == [
        "Sat 02 21:00 to Sun 03 02:30"
    ]


def test_a_holiday_night_has_its_own_length():
    assert hours("Fr-Sa 21:00-02:30; PH 10:00-02:00", "2026-12-25", "2026-12-29") == [
        "Fri 25 10:00 to Sat 26 02:00",
        "Sat 26 10:00 to Sun 27 02:00",
        "Mon 28 10:00 to Tue 29 00:00",
    ]


def test_the_next_days_rule_does_not_cut_the_night_before():
    # The parser alone closes at midnight, because another rule speaks for Saturday.
    assert hours("Fr 21:00-02:00; Sa 10:00-12:00", "2026-11-20", "2026-11-22") == [
        "Fri 20 21:00 to Sat 21 02:00",
        "Sat 21 10:00 to Sat 21 12:00",
    ]
    assert hours("Fr 21:00-02:00; Sa off", "2026-11-20", "2026-11-22") == [
        "Fri 20 21:00 to Sat 21 02:00"
    ]


def test_closing_at_a_time_takes_that_time_out_also_of_the_night_before():
    assert hours("Mo-Su 21:00-03:00; Dec 25 00:00-01:00 off", "2026-12-24", "2026-12-26") == [
        "Thu 24 00:00 to Thu 24 03:00",
        "Thu 24 21:00 to Fri 25 00:00",
        "Fri 25 01:00 to Fri 25 03:00",
        "Fri 25 21:00 to Sat 26 00:00",
    ]


def test_the_day_before_a_holiday_can_have_hours():
    assert hours("Mo-Su 10:00-12:00; PH -1 day 10:00-11:00", "2026-12-24", "2026-12-25") == [
        "Thu 24 10:00 to Thu 24 11:00"
    ]
    assert hours("Mo,PH +1 day 10:00-12:00", "2027-01-02", "2027-01-03") == [
        "Sat 02 10:00 to Sat 02 12:00"
    ]


def test_holidays_of_some_months_only():
    rule = "Mo-Su 10:00-12:00; Dec PH off"
    assert hours(rule, "2026-12-25", "2026-12-26") == []
    assert hours(rule, "2027-01-01", "2027-01-02") == ["Fri 01 10:00 to Fri 01 12:00"]


def test_a_rule_that_comes_later_counts_also_on_a_holiday():
    assert hours("PH off; 10:00-12:00", "2026-12-25", "2026-12-26") == [
        "Fri 25 10:00 to Fri 25 12:00"
    ]


def test_added_hours_keep_the_earlier_ones():
    assert hours("Mo-Fr 10:00-12:00, We 20:00-22:00", "2026-11-18", "2026-11-19") == [
        "Wed 18 10:00 to Wed 18 12:00",
        "Wed 18 20:00 to Wed 18 22:00",
    ]


def test_a_fallback_speaks_only_for_days_without_a_rule():
    rule = "Mo-Fr 08:00-12:00; PH off || 14:00-16:00"
    assert hours(rule, "2026-11-20", "2026-11-22") == [
        "Fri 20 08:00 to Fri 20 12:00",
        "Sat 21 14:00 to Sat 21 16:00",
    ]
    assert hours(rule, "2026-12-25", "2026-12-26") == []


@pytest.mark.parametrize(
    "expression",
    ['"by appointment"', "Mo-Su unknown", "off", "24/7 closed", "Mo-Su 10:00-12:00; off"],
)
def test_a_promise_that_is_no_promise_is_closed(expression):
    assert hours(expression, "2026-11-16", "2026-11-23") == []


def test_a_comment_beside_hours_changes_nothing():
    assert hours('Mo 10:00-12:00 "ring; twice, PH off"', "2026-11-16", "2026-11-17") == [
        "Mon 16 10:00 to Mon 16 12:00"
    ]


def test_the_night_the_clocks_go_back_is_an_hour_longer():
    # 25 October 2026, 01:00 UTC: London goes from 02:00 back to 01:00.
    found = schedules.expand(
        "Sa 21:00-02:30",
        start=z("2026-10-24 00:00"),
        until=z("2026-10-26 00:00"),
        time_zone=LONDON,
        holidays=[],
    )
    assert found == [(z("2026-10-24 20:00"), z("2026-10-25 02:30"))]


def test_the_night_the_clocks_go_forward_is_an_hour_shorter():
    # 29 March 2026, 01:00 UTC: London goes from 01:00 to 02:00.
    found = schedules.expand(
        "Sa 21:00-02:30",
        start=z("2026-03-28 00:00"),
        until=z("2026-03-30 00:00"),
        time_zone=LONDON,
        holidays=[],
    )
    assert found == [(z("2026-03-28 21:00"), z("2026-03-29 01:30"))]


@pytest.mark.parametrize(
    ("expression", "closes"),
    [
        ("Sa 21:00-01:00", "2026-10-25 00:00"),
        ("Sa 21:00-01:30", "2026-10-25 00:30"),
        ("Sa 21:00-02:00", "2026-10-25 02:00"),
    ],
)
def test_a_closing_time_that_comes_twice_is_the_first(expression, closes):
    until = open_until(expression, z("2026-10-24 22:00"), holidays=[])
    assert until == z(closes)


@pytest.mark.parametrize("expression", ["Sa 21:00-01:00", "Sa 21:00-01:30", "Sa 21:00-02:00"])
def test_a_closing_time_that_the_clocks_skip_is_the_change(expression):
    until = open_until(expression, z("2026-03-28 22:00"), holidays=[])
    assert until == z("2026-03-29 01:00")


def test_hours_inside_the_skipped_hour_do_not_exist():
    assert hours("Su 01:15-01:45", "2026-03-29", "2026-03-30") == []
    assert hours("Su 01:30-03:00", "2026-03-29", "2026-03-30") == ["Sun 29 02:00 to Sun 29 03:00"]


def test_a_whole_skipped_day_is_passed_over():
    # Samoa had no 30 December 2011.
    found = hours("Mo-Su 10:00-12:00", "2011-12-29", "2012-01-01", zone="Pacific/Apia", holidays=[])
    assert found == ["Thu 29 10:00 to Thu 29 12:00", "Sat 31 10:00 to Sat 31 12:00"]


def test_another_citys_clock():
    # Kathmandu is 5 h 45 min ahead; San Juan keeps one time all year.
    assert is_open("22:00-02:00", z("2026-07-01 16:15"), zone="Asia/Kathmandu", holidays=[])
    assert not is_open("22:00-02:00", z("2026-07-01 16:14"), zone="Asia/Kathmandu", holidays=[])
    assert is_open("22:00-02:00", z("2026-07-01 05:59"), zone="America/Puerto_Rico", holidays=[])


def test_the_closing_minute_is_closed_and_the_opening_one_open():
    assert is_open("08:00-20:00", local("2026-11-16 08:00"))
    assert is_open("08:00-20:00", local("2026-11-16 19:59:59.999999"))
    assert not is_open("08:00-20:00", local("2026-11-16 20:00"))


def test_open_until_looks_past_midnight_and_past_a_week():
    assert open_until("Fr-Sa 21:00-02:30", z("2026-11-21 23:41")) == z("2026-11-22 02:30")
    assert open_until("24/7; PH off", z("2026-11-21 23:41")) == z("2026-12-25 00:00")
    assert open_until("2026 Jan-Dec", z("2026-01-21 23:41")) == z("2027-01-01 00:00")


def test_open_until_where_it_is_closed_is_now():
    at = z("2026-11-21 12:00")
    assert open_until("Fr-Sa 21:00-02:30", at, holidays=[]) == at


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("Mo-Fr 9-17", "'9-17'"),
        ("every day", "'every day'"),
        ("Mo-Fr 25:00-27:00", "25:00"),
        ("Mo-Su 08:00-20:00; SH off", "school holidays"),
        ("sunset-23:00", "clock times"),
        ("17:00+", "closing time"),
        ("10:00-16:00/01:30", "repeated"),
        ("Mo, Tu 10:00-12:00", "without a space"),
        ("PH Mo-Fr 10:00-12:00", "holidays on some weekdays"),
        ("Mo 10:00-12:00; " * 200 + "Tu 10:00-12:00", "longer"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_reason(expression, said):
    with pytest.raises(ValueError, match=said):
        schedules.validate(expression)
    with pytest.raises(ValueError, match=said):
        is_open(expression, z("2026-11-16 12:00"), holidays=[])


def test_an_unknown_time_zone_is_refused_by_name():
    with pytest.raises(ValueError, match="Mars/Olympus"):
        is_open("24/7", z("2026-11-16 12:00"), zone="Mars/Olympus", holidays=[])


# --- Properties -------------------------------------------------------------------------------

DAYS = st.sampled_from(
    ["", "Mo", "Mo-Fr", "Sa,Su", "Fr-Mo", "Nov", "Nov Mo-We", "Nov 18", "week 47", "Mo[3]", "2026"]
)
CLOCK = st.integers(0, 23 * 2).map(lambda half: f"{half // 2:02}:{half % 2 * 30:02}")


@st.composite
def same_day_expressions(draw):
    """Rules without holidays and without hours past midnight, where the parser is at home."""
    text = ""
    for n in range(draw(st.integers(1, 4))):
        opens, closes = sorted(draw(st.lists(CLOCK, min_size=2, max_size=2, unique=True)))
        rule = f"{draw(DAYS)} {opens}-{closes}{draw(st.sampled_from(['', '', '', ' off']))}".strip()
        # A comma before a rule without days would go on the list of times.
        text += (draw(st.sampled_from(["; ", " || "])) if n else "") + rule
    return text


@given(same_day_expressions())
def test_agrees_with_the_parser_where_the_parser_is_right(expression):
    if " || " in expression and " off" in expression:
        return  # the parser opens the fallback on a day whose only rule closed nothing
    start, until = datetime(2026, 11, 9), datetime(2026, 11, 30)  # noqa: DTZ001 - wall clock
    theirs = [
        (opens.replace(tzinfo=UTC), closes.replace(tzinfo=UTC))
        for opens, closes, state, _ in OpeningHours(expression).intervals(start, until)
        if state == State.OPEN
    ]
    ours = schedules.expand(
        expression,
        start=start.replace(tzinfo=UTC),
        until=until.replace(tzinfo=UTC),
        time_zone="UTC",
        holidays=[],
    )
    assert ours == theirs


@given(
    weekdays=st.sets(st.integers(0, 6), min_size=1),
    opens=st.integers(0, 24 * 60 - 1),
    length=st.integers(1, 24 * 60),
    holidays=st.sets(st.dates(date(2026, 10, 20), date(2026, 11, 5))),
    holiday_rule=st.sampled_from(["", "; PH off", "; PH 10:00-12:00"]),
    zone=st.sampled_from(
        ["Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Lima"]
    ),
    minutes=st.integers(0, 16 * 24 * 60),
)
def test_is_open_exactly_in_the_nights_counted_by_hand(
    *, weekdays, opens, length, holidays, holiday_rule, zone, minutes
):
    names = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"]
    closes = opens + length

    def clock(minute):
        return f"{minute // 60:02}:{minute % 60:02}"

    expression = (
        f"{','.join(names[day] for day in sorted(weekdays))} {clock(opens)}-{clock(closes)}"
        + holiday_rule
    )
    at = z("2026-10-21 00:00") + timedelta(minutes=minutes)
    wall = at.astimezone(ZoneInfo(zone))
    for twin in (wall, wall + timedelta(hours=1), wall - timedelta(hours=1)):
        if twin.replace(fold=0).utcoffset() != twin.replace(fold=1).utcoffset():
            return  # the hour that comes twice has tests of its own
    naive = wall.replace(tzinfo=None)
    expected = False
    for day in (naive.date() - timedelta(days=1), naive.date()):
        begin, end = opens, closes
        if day in holidays and holiday_rule == "; PH off":
            continue
        if day in holidays and holiday_rule:
            begin, end = 10 * 60, 12 * 60
        elif day.weekday() not in weekdays:
            continue
        midnight = datetime.combine(day, time())
        if midnight + timedelta(minutes=begin) <= naive < midnight + timedelta(minutes=end):
            expected = True
    found = is_open(expression, at, zone=zone, holidays=sorted(holidays))
    assert found is expected


@given(
    expression=st.sampled_from(
        ["24/7", "Fr-Sa 21:00-02:30", "Mo-Su 20:00-06:00; PH off", "Su 00:30-03:30", "22:00-28:00"]
    ),
    days=st.integers(1, 60),
    start=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 1)),  # noqa: DTZ001 - made UTC in the test
)
def test_ranges_ascend_without_touching_and_stay_inside(expression, days, start):
    start = start.replace(tzinfo=UTC)
    until = start + timedelta(days=days)
    found = schedules.expand(
        expression, start=start, until=until, time_zone=LONDON, holidays=ENGLAND_2026
    )
    instants = [at for span in found for at in span]
    assert instants == sorted(set(instants))
    assert all(start <= at <= until for at in instants)
    if found:
        at = found[0][0]
        closes = open_until(expression, at)
        assert closes is None or closes >= found[0][1]
        assert is_open(expression, at)
