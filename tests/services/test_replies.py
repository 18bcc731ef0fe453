"""Receipts of providers, and answers by text message, down to the alert and its audit."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2
from waylight.domain.addresses import AddressState, Medium
from waylight.domain.alerts import Outcome, Result
from waylight.domain.alerts.replies import CODE_LIVES, NEUTRAL_A_DAY, WRONG_AN_HOUR, Heard
from waylight.services import addresses, alerts
from waylight.services.alerts import replies
from waylight.services.reports import my_report

NUMBER, OTHER, STRANGER = "+447400123456", "+447400123457", "+447400999999"
SOON = NOW + timedelta(seconds=1)
LATER = NOW + timedelta(seconds=5)
refs = (f"SM{number}" for number in itertools.count())


@pytest.fixture
def by_sms(desk):
    """A desk whose teams are told by text message."""
    return replace(desk, settings=replace(desk.settings, channels=("sms",)))


@pytest.fixture
def add(by_sms):
    def add(number=NUMBER, *, team=None, who=None, **others):
        found, _ = addresses.add_address(
            by_sms.database,
            by_sms.vault,
            who or by_sms.police,
            team_id=team or by_sms.first,
            channel=Medium.SMS,
            address=number,
            name="On call",
            now=NOW,
            **others,
        )
        return found

    return add


def claim(desk, *, now=NOW, worker="one"):
    return alerts.claim(
        desk.database,
        desk.vault,
        worker,
        free={"sms": 50},
        lease_s=30.0,
        base_url="https://waylight.example",
        now=now,
    )


def send(desk, *, now=NOW):
    """Sends all that is due, as a provider that takes everything."""
    messages = claim(desk, now=now)
    for message in messages:
        outcome = Outcome(Result.SENT, provider="twilio", provider_ref=f"out-{message.delivery_id}")
        alerts.record(desk.database, message, outcome=outcome, worker_id="one", jitter=0.0, now=now)
    return messages


def answer(desk, text, *, sender=NUMBER, ref=None, now=LATER, provider="twilio"):
    return alerts.answer_by_text(
        desk.database,
        desk.vault,
        provider=provider,
        ref=ref or next(refs),
        sender=sender,
        text=text,
        channels=desk.settings.channels,
        now=now,
    )


def told(desk, *, now=LATER):
    """What waits to be sent to people who answered."""
    return [m.kind for m in claim(desk, now=now) if m.kind.startswith("reply.")]


def code_for(desk, team=None):
    (message,) = [m for m in send(desk) if team is None or m.recipient == team]
    assert message.reply_code is not None
    return message.reply_code


# Codes


def test_message_that_asks_for_an_answer_has_a_code_and_keeps_it(by_sms, add):
    add()
    by_sms.report(P2)
    (first,) = claim(by_sms)
    assert len(first.reply_code) == 4
    (again,) = claim(by_sms, now=NOW + timedelta(minutes=1), worker="two")
    assert (again.attempt, again.reply_code) == (2, first.reply_code)


def test_message_about_what_is_over_and_other_channels_have_no_code(by_sms, add):
    add()
    add(OTHER, team=by_sms.second, who=by_sms.operator)
    by_sms.report(P2)
    send(by_sms)
    by_sms.climb(NOW + timedelta(minutes=4))
    send(by_sms, now=NOW + timedelta(minutes=4))
    by_sms.acknowledge(by_sms.police, by_sms.alert_of(by_sms.first), now=NOW + timedelta(minutes=5))
    (over,) = send(by_sms, now=NOW + timedelta(minutes=5))
    assert (over.kind, over.reply_code) == ("alert.withdrawn", None)


def test_codes_of_one_telephone_are_each_other_than_the_rest(by_sms, add, monkeypatch):
    add()
    add(OTHER)
    monkeypatch.setattr(
        "waylight.services.alerts.deliveries.new_codes", lambda _: ["AAAA", "BBBB", "CCCC"]
    )
    by_sms.report(P2)
    first = {m.target.address["number"]: m.reply_code for m in claim(by_sms)}
    assert set(first.values()) == {"AAAA", "BBBB"}
    by_sms.report(P1)
    second = {m.target.address["number"]: m.reply_code for m in claim(by_sms)}
    assert all(first[number] != second[number] for number in first)


def test_one_telephone_of_two_teams_has_no_code_twice(by_sms, add, monkeypatch):
    add()
    add(team=by_sms.second, who=by_sms.operator)
    monkeypatch.setattr("waylight.services.alerts.deliveries.new_codes", lambda _: ["AAAA", "BBBB"])
    by_sms.report(P2)
    assert [m.reply_code for m in send(by_sms)] == ["AAAA"]
    later = NOW + timedelta(minutes=4)
    by_sms.climb(later)
    assert [m.reply_code for m in send(by_sms, now=later)] == ["BBBB"]
    assert answer(by_sms, "ACK BBBB", now=later) is Heard.ACKNOWLEDGED
    assert by_sms.states()[by_sms.second] == "acknowledged"
    assert by_sms.states()[by_sms.first] != "acknowledged"


# Answers


@pytest.mark.parametrize("text", ["ACK {}", "ack {}", "ACEPTO {}", "Ack {} on our way"])
def test_acknowledging_by_text_is_acknowledging(by_sms, add, text):
    add()
    by_sms.report(P2)
    code = code_for(by_sms)
    assert answer(by_sms, text.format(code.lower())) is Heard.ACKNOWLEDGED
    assert by_sms.states() == {by_sms.first: "acknowledged"}
    assert by_sms.incident()["held_by_alert_id"] == by_sms.alert_of(by_sms.first)
    assert told(by_sms) == ["reply.acknowledged"]


def test_declining_by_text_tells_the_next_team_at_once(by_sms, add):
    add()
    by_sms.report(P2)
    assert answer(by_sms, f"DECLINE {code_for(by_sms)}") is Heard.DECLINED
    assert by_sms.states() == {by_sms.first: "declined", by_sms.second: "pending"}
    assert told(by_sms) == ["reply.declined"]


def test_who_answered_is_named_and_nothing_was_read(by_sms, add):
    add()
    by_sms.report(P2)
    answer(by_sms, f"ACK {code_for(by_sms)}")
    (event,) = by_sms.events("alert.acknowledged")
    (person,) = by_sms.rows("select * from staff where id = %s", event["staff_id"])
    assert (person["name"], person["role"]) == ("On call (by text)", "text_message")
    assert person["organisation_id"] == by_sms.police.organisation_id
    assert event["data"]["by"] == "sms"
    audited = by_sms.rows("select action from audit_entries")
    assert [row["action"] for row in audited] == ["address.added"]
    assert by_sms.events("alert.seen") == []
    assert by_sms.rows("select from api_keys") == []
    seen = by_sms.rows("select status from deliveries where message = 'alert.created'")
    assert seen == [{"status": "seen"}]


def test_telephone_of_one_person_answers_as_that_person(by_sms, add):
    add(mine=True)
    by_sms.report(P2)
    answer(by_sms, f"ACK {code_for(by_sms)}")
    (event,) = by_sms.events("alert.acknowledged")
    assert (event["staff_id"], event["data"]["role"]) == (by_sms.police.staff_id, "officer")
    read = by_sms.read(by_sms.police, by_sms.alert_of(by_sms.first), now=LATER)
    assert read.alert.acknowledged_by.name == "Robin"


def test_passenger_is_told_that_the_team_has_it(by_sms, add):
    add()
    receipt = by_sms.report(P2).receipt
    answer(by_sms, f"ACK {code_for(by_sms)}")
    codes = [entry.code for entry in my_report(by_sms.database, by_sms.vault, receipt).timeline]
    assert "acknowledged" in codes
    assert codes.count("sent") == 1


def test_number_is_known_however_its_provider_writes_it(by_sms, add):
    add()
    by_sms.report(P2)
    code = code_for(by_sms)
    for spelling in ("447400123456", "07400123456"):
        heard = answer(by_sms, f"ACK {code}", sender=spelling, provider="notify")
        assert heard is Heard.ACKNOWLEDGED


# Attacks


def test_code_is_good_for_no_other_telephone(by_sms, add):
    add()
    add(OTHER, team=by_sms.third)
    by_sms.report(P2)
    code = code_for(by_sms)
    assert answer(by_sms, f"ACK {code}", sender=OTHER) is Heard.UNKNOWN
    assert answer(by_sms, f"ACK {code}", sender=STRANGER) is Heard.IGNORED
    assert by_sms.states() == {by_sms.first: "pending"}


@pytest.mark.parametrize("sender", [STRANGER, "", "+", "Waylight", "0" * 39, "+44\0", "٠٧٤"])
def test_stranger_hears_nothing(by_sms, add, sender):
    add()
    assert answer(by_sms, "ACK 4F7K", sender=sender) is Heard.IGNORED
    assert claim(by_sms, now=LATER) == []
    assert by_sms.rows("select from provider_notices") == []


def test_answer_that_came_before_acts_once(by_sms, add):
    add()
    by_sms.report(P2)
    code = code_for(by_sms)
    assert answer(by_sms, f"ACK {code}", ref="SM-once") is Heard.ACKNOWLEDGED
    by_sms.decline(by_sms.police, by_sms.alert_of(by_sms.first), now=LATER)
    replayed = answer(by_sms, f"ACK {code}", ref="SM-once", now=LATER + timedelta(minutes=9))
    assert replayed is Heard.IGNORED
    assert by_sms.states()[by_sms.first] == "declined"
    assert told(by_sms) == ["reply.acknowledged"]


def test_answer_is_not_lost_when_its_step_breaks(by_sms, add, monkeypatch):
    add()
    by_sms.report(P2)
    code = code_for(by_sms)

    def broken(*_, **__):
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(replies, "acknowledge", broken)
        with pytest.raises(RuntimeError):
            answer(by_sms, f"ACK {code}", ref="SM-again")
    assert answer(by_sms, f"ACK {code}", ref="SM-again") is Heard.ACKNOWLEDGED


def test_answer_of_a_process_that_died_may_come_again_after_a_minute(by_sms, add):
    add()
    by_sms.report(P2)
    code = code_for(by_sms)
    mark = addresses.fingerprints(by_sms.vault, "sms", NUMBER)[0]
    by_sms.do(
        "insert into provider_notices (provider, kind, ref, received_at, fingerprint)"
        " values ('twilio', 'answer', 'SM-died', %s, %s)",
        LATER,
        mark,
    )
    assert answer(by_sms, f"ACK {code}", ref="SM-died") is Heard.IGNORED
    later = LATER + timedelta(seconds=61)
    assert answer(by_sms, f"ACK {code}", ref="SM-died", now=later) is Heard.ACKNOWLEDGED


def test_wrong_codes_are_answered_neutrally_a_few_times_and_then_not_tried(by_sms, add):
    add()
    by_sms.report(P2)
    code = code_for(by_sms)
    wrong = next(one for one in replies.new_codes(2) if one != code)
    for text in [f"ACK {wrong}", "hello", *[f"DECLINE {wrong}"] * (WRONG_AN_HOUR - 2)]:
        assert answer(by_sms, text) is Heard.UNKNOWN
    assert answer(by_sms, f"ACK {code}") is Heard.UNKNOWN
    assert by_sms.states() == {by_sms.first: "pending"}
    assert told(by_sms) == ["reply.unknown"] * NEUTRAL_A_DAY
    later = LATER + timedelta(hours=1, seconds=1)
    assert answer(by_sms, f"ACK {code}", now=later) is Heard.ACKNOWLEDGED


def test_code_that_is_too_old_is_no_code(by_sms, add):
    add()
    by_sms.report(P2)
    code = code_for(by_sms)
    assert answer(by_sms, f"ACK {code}", now=NOW + CODE_LIVES) is Heard.UNKNOWN


def test_telephone_that_was_taken_away_answers_nothing_and_a_paused_one_still_does(by_sms, add):
    address, other = add(), add(OTHER)
    by_sms.report(P2)
    codes = {m.target.address["number"]: m.reply_code for m in send(by_sms)}
    addresses.remove_address(by_sms.database, by_sms.vault, by_sms.police, address.id, now=SOON)
    assert answer(by_sms, f"ACK {codes[NUMBER]}") is Heard.IGNORED
    addresses.change_address(
        by_sms.database, by_sms.vault, by_sms.police, other.id, state=AddressState.PAUSED, now=SOON
    )
    assert answer(by_sms, f"ACK {codes[OTHER]}", sender=OTHER) is Heard.ACKNOWLEDGED


def test_telephone_that_was_taken_from_one_team_answers_for_another_alone(by_sms, add):
    lost = add()
    add(team=by_sms.second, who=by_sms.operator)
    by_sms.report(P2)
    code = code_for(by_sms, "First")
    addresses.remove_address(by_sms.database, by_sms.vault, by_sms.police, lost.id, now=SOON)
    assert answer(by_sms, f"ACK {code}") is Heard.UNKNOWN
    assert by_sms.states() == {by_sms.first: "pending"}


def test_telephone_that_is_paused_is_told_nothing_even_of_its_own_answer(by_sms, add):
    address = add()
    by_sms.report(P2)
    code = code_for(by_sms)
    addresses.change_address(
        by_sms.database,
        by_sms.vault,
        by_sms.police,
        address.id,
        state=AddressState.PAUSED,
        now=SOON,
    )
    assert answer(by_sms, f"ACK {code}") is Heard.ACKNOWLEDGED
    assert by_sms.states() == {by_sms.first: "acknowledged"}
    assert [(m.kind, m.target) for m in claim(by_sms, now=LATER)] == [("reply.acknowledged", None)]


# Too late


def test_answer_after_another_team_took_it_says_so_and_does_nothing(by_sms, add):
    add(OTHER, team=by_sms.second, who=by_sms.operator)
    by_sms.report(P2)
    by_sms.climb(NOW + timedelta(minutes=4))
    (message,) = send(by_sms, now=NOW + timedelta(minutes=4))
    by_sms.acknowledge(by_sms.police, by_sms.alert_of(by_sms.first), now=NOW + timedelta(minutes=5))
    later = NOW + timedelta(minutes=6)
    heard = answer(by_sms, f"ACK {message.reply_code}", sender=OTHER, now=later)
    assert heard is Heard.ELSEWHERE
    assert by_sms.states()[by_sms.second] == "withdrawn"
    assert "reply.elsewhere" in told(by_sms, now=later)


def test_answer_after_it_was_closed_says_so(by_sms, add):
    add()
    by_sms.report(P2)
    code = code_for(by_sms)
    alert = by_sms.alert_of(by_sms.first)
    by_sms.acknowledge(by_sms.police, alert, now=SOON)
    alerts.close(by_sms.database, by_sms.vault, principal=by_sms.police, alert_id=alert, now=SOON)
    for word in ("ACK", "DECLINE"):
        assert answer(by_sms, f"{word} {code}") is Heard.OVER
    assert by_sms.states()[by_sms.first] == "closed"


def test_declining_on_the_scene_is_refused_in_words(by_sms, add):
    add()
    by_sms.report(P2)
    code = code_for(by_sms)
    alert = by_sms.alert_of(by_sms.first)
    by_sms.acknowledge(by_sms.police, alert, now=SOON)
    alerts.on_scene(
        by_sms.database, by_sms.vault, principal=by_sms.police, alert_id=alert, now=SOON
    )
    assert answer(by_sms, f"DECLINE {code}") is Heard.REFUSED
    assert by_sms.states()[by_sms.first] == "on_scene"


def test_answer_to_the_first_message_does_not_stop_the_ladder_for_a_graver_report(by_sms, add):
    add()
    by_sms.report(P2)
    old = code_for(by_sms)
    by_sms.report(P1, now=SOON)
    (update,) = [m for m in send(by_sms, now=SOON) if m.kind == "alert.updated"]
    assert answer(by_sms, f"ACK {old}") is Heard.ACKNOWLEDGED
    assert by_sms.incident()["escalate_at"] is not None
    assert answer(by_sms, f"ACK {update.reply_code}") is Heard.ACKNOWLEDGED
    assert by_sms.incident()["escalate_at"] is None


def test_exercise_is_answered_as_an_exercise(by_sms, add):
    add()
    by_sms.report(replace(P2, exercise=True))
    code = code_for(by_sms)
    answer(by_sms, f"ACK {code}")
    (reply,) = claim(by_sms, now=LATER)
    assert (reply.kind, reply.exercise, reply.reply_code) == ("reply.acknowledged", True, code)


# Receipts


def test_receipt_that_is_here_before_its_attempt_still_makes_delivered(by_sms, add):
    add()
    by_sms.report(P2)
    (message,) = claim(by_sms)
    assert not alerts.confirm(by_sms.database, "twilio", "SM-fast", delivered=True, now=NOW)
    outcome = Outcome(Result.SENT, provider="twilio", provider_ref="SM-fast")
    alerts.record(by_sms.database, message, outcome=outcome, worker_id="one", jitter=0.0, now=SOON)
    assert by_sms.rows("select status from deliveries") == [{"status": "delivered"}]
    assert by_sms.states() == {by_sms.first: "delivered"}
    assert by_sms.kinds()[-2:] == ["delivery.sent", "delivery.delivered"]


def test_early_receipts_in_any_order_say_the_best_that_is_known(by_sms, add):
    add()
    by_sms.report(P2)
    (message,) = claim(by_sms)
    for delivered in (True, False):
        alerts.confirm(by_sms.database, "twilio", "SM-fast", delivered=delivered, now=NOW)
    outcome = Outcome(Result.SENT, provider="twilio", provider_ref="SM-fast")
    alerts.record(by_sms.database, message, outcome=outcome, worker_id="one", jitter=0.0, now=SOON)
    assert by_sms.rows("select status from deliveries") == [{"status": "delivered"}]


def test_early_word_that_nobody_was_reached_wakes_the_ladder(by_sms, add):
    add()
    by_sms.report(P2)
    (message,) = claim(by_sms)
    alerts.confirm(by_sms.database, "twilio", "SM-fast", delivered=False, now=NOW)
    outcome = Outcome(Result.SENT, provider="twilio", provider_ref="SM-fast")
    alerts.record(by_sms.database, message, outcome=outcome, worker_id="one", jitter=0.0, now=SOON)
    assert by_sms.rows("select status from deliveries") == [{"status": "failed"}]
