from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from waylight.domain.drills import Level, Slot, Travelled, Why, judge, latest

LONDON = ZoneInfo("Europe/London")
WEDNESDAY = Slot(2, time(14, 0))
SINCE = datetime(2026, 11, 25, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-25T13:59:59Z", None),
        ("2026-11-25T14:00:00Z", "2026-11-25T14:00:00Z"),
        ("2026-11-25T14:59:59Z", "2026-11-25T14:00:00Z"),
        ("2026-11-25T15:00:00Z", None),
        ("2026-11-26T14:00:00Z", None),
        ("2026-07-01T13:00:00Z", "2026-07-01T13:00:00Z"),
    ],
)
def test_drill_is_due_for_an_hour_from_its_time_in_the_zone_of_the_city(now, due):
    found = latest([WEDNESDAY], LONDON, now=datetime.fromisoformat(now))
    assert found == (datetime.fromisoformat(due) if due else None)


def test_drill_just_before_midnight_is_still_due_on_the_next_day():
    slot = Slot(2, time(23, 50))
    now = datetime(2026, 11, 26, 0, 10, tzinfo=UTC)
    assert latest([slot], LONDON, now=now) == now - timedelta(minutes=20)


def test_hour_that_the_clocks_repeat_has_one_drill():
    slot = Slot(6, time(1, 30))
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert latest([slot], LONDON, now=first) == first
    assert latest([slot], LONDON, now=first + timedelta(hours=1)) is None


def test_hour_that_the_clocks_leave_out_has_a_drill():
    slot = Slot(6, time(1, 30))
    gone = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert latest([slot], LONDON, now=gone + timedelta(minutes=5)) == gone


@pytest.mark.parametrize(
    ("wanted", "times", "channels", "expected"),
    [
        (Level.SENT, {Level.SENT: 2}, ["sent"], (Level.SENT, 2.0, None)),
        (Level.SEEN, {Level.SENT: 2}, ["sent"], (Level.SENT, None, Why.NO_ANSWER)),
        (
            Level.DELIVERED,
            {Level.SENT: 2, Level.ACKNOWLEDGED: 9},
            ["sent"],
            (Level.ACKNOWLEDGED, 9.0, None),
        ),
        (Level.SENT, {}, [], (None, None, Why.NO_ADDRESS)),
        (Level.SENT, {}, ["failed", "dropped"], (None, None, Why.FAILED)),
        (Level.SENT, {}, ["failed", "queued"], (None, None, Why.NO_ANSWER)),
    ],
)
def test_what_came_of_an_alert(wanted, times, channels, expected):
    found = judge(
        wanted,
        {level: SINCE + timedelta(seconds=s) for level, s in times.items()},
        [Travelled("console", status) for status in channels],
        since=SINCE,
    )
    assert found == expected
