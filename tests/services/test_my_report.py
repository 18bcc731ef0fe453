"""What a passenger reads back when an incident has more reports than theirs."""

from datetime import timedelta

from tests.desk import NOW, P1, P2, SPOT
from waylight.domain.alerts import Outcome, Result
from waylight.domain.geo import Point
from waylight.domain.reports import Reason
from waylight.services import alerts
from waylight.services.reports import my_report

LATER = NOW + timedelta(minutes=1)
NEARBY = Point(SPOT.lon + 0.0003, SPOT.lat)


def read_back(desk, report):
    return my_report(desk.database, desk.vault, report.receipt)


def codes(desk, report):
    return [entry.code for entry in read_back(desk, report).timeline]


def deliver(desk, *, now):
    """The worker sends everything that is due."""
    messages = alerts.claim(
        desk.database,
        desk.vault,
        "one",
        free={"console": 50},
        lease_s=30.0,
        base_url="https://waylight.example",
        now=now,
    )
    for message in messages:
        alerts.record(
            desk.database,
            message,
            outcome=Outcome(Result.SENT),
            worker_id="one",
            jitter=0.0,
            now=now,
        )


def test_joined_passenger_reads_neither_how_far_nor_why_another_passenger_s_team_was_told(desk):
    first = desk.report(P2)
    second = desk.report(P2, at=NEARBY, now=LATER)
    assert second.joined
    (theirs,) = read_back(desk, first).told
    assert theirs.distance_m is not None
    assert "covers_area" in [reason.code for reason in theirs.reasons]
    (mine,) = read_back(desk, second).told
    assert (mine.team_id, mine.name) == (desk.first, "First")
    assert (mine.distance_m, mine.reasons) == (None, (Reason("joined_incident"),))


def test_joined_passenger_reads_why_those_were_told_whom_the_own_report_called(desk):
    desk.report(P2)
    graver = desk.report(P1, now=LATER)
    told = {
        one.name: [reason.code for reason in one.reasons] for one in read_back(desk, graver).told
    }
    assert told == {"First": ["joined_incident"], "Room": ["control_room_priority_1"]}


def test_timeline_of_each_passenger_tells_of_the_reading_of_their_own_report_alone(desk):
    first = desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.read(desk.police, alert)
    second = desk.report(P2, now=LATER)
    assert "seen" not in codes(desk, second)
    desk.read(desk.police, alert, now=LATER + timedelta(seconds=1))
    assert codes(desk, first) == ["received", "told", "seen"]
    assert codes(desk, second) == ["received", "told", "seen"]


def test_message_about_another_report_is_not_in_a_joined_passenger_s_timeline(desk):
    first = desk.report(P2)
    second = desk.report(P2, now=LATER)
    desk.do("update deliveries set next_attempt_at = null where report_id = %s", second.id)
    deliver(desk, now=LATER + timedelta(seconds=1))
    assert codes(desk, first) == ["received", "told", "sent"]
    assert codes(desk, second) == ["received", "told"]
    desk.do("update deliveries set next_attempt_at = %s where status = 'queued'", LATER)
    deliver(desk, now=LATER + timedelta(seconds=2))
    assert codes(desk, first) == ["received", "told", "sent"]
    assert codes(desk, second) == ["received", "told", "sent"]
