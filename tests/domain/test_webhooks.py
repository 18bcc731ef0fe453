from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waylight.domain.alerts import LONG, Outcome, Result
from waylight.domain.events import EXERCISE, TYPES
from waylight.domain.webhooks import CHOICES, DISABLED_AFTER, Reason, after_answer, answered, wants

NOW = datetime(2026, 11, 26, 2, tzinfo=UTC)
FAILED = Outcome(Result.FAILED, "timed_out")


@pytest.mark.parametrize(
    ("event_types", "type_", "told"),
    [
        (["*"], "alert.created", True),
        (["*"], "exercise.alert.created", True),
        (["alert.*"], "alert.withdrawn", True),
        (["alert.*"], "incident.updated", False),
        (["alert.*"], "exercise.alert.created", False),
        (["alert.created"], "exercise.alert.created", False),
        (["exercise.*"], "exercise.hub.updated", True),
        (["exercise.*"], "hub.updated", False),
        (["exercise.alert.*"], "exercise.hub.updated", False),
        (["hub.updated", "alert.created"], "alert.created", True),
        ([], "alert.created", False),
    ],
)
def test_types_are_wanted_by_name_or_by_their_beginning(event_types, type_, told):
    assert wants(event_types, type_) is told


def test_whoever_does_not_say_exercise_or_star_never_hears_of_a_drill():
    real = [one for one in CHOICES if one != "*" and not one.startswith(EXERCISE)]
    assert not any(wants(real, EXERCISE + type_) for type_ in TYPES)


def test_success_forgets_every_failure():
    found = after_answer(
        Outcome(Result.DELIVERED), failures=9, failing_since=NOW - timedelta(days=4), now=NOW
    )
    assert (found.failures, found.failing_since, found.rests_until, found.disabled) == (
        0,
        None,
        None,
        None,
    )


@given(st.integers(0, 10_000), st.floats(0, 86_400) | st.none())
def test_rest_is_at_least_what_was_asked_for_and_else_five_minutes_at_most(failures, asked):
    outcome = Outcome(Result.FAILED, "http_503", retry_after_s=asked)
    found = after_answer(outcome, failures=failures, failing_since=NOW, now=NOW)
    rest = (found.rests_until - NOW).total_seconds() if found.rests_until else 0.0
    assert rest >= round(asked or 0.0, 6) - 1e-6
    assert rest <= max(300.0, asked or 0.0) + 1e-6
    assert (rest > 0) == (failures >= 2 or bool(asked and asked >= 1e-6))


def test_days_of_failures_disable_and_a_refusal_of_ours_does_not():
    long_ago = NOW - DISABLED_AFTER
    found = after_answer(FAILED, failures=40, failing_since=long_ago, now=NOW)
    assert found.disabled is Reason.FAILING
    refused = Outcome(Result.REFUSED, "no_longer_concerned")
    ours = after_answer(refused, failures=40, failing_since=long_ago, now=NOW)
    assert (ours.failures, ours.disabled) == (40, None)


def test_one_message_is_given_up_before_its_endpoint_is():
    assert timedelta(seconds=sum(LONG)) < DISABLED_AFTER


def test_status_is_read_from_the_detail_and_from_nothing_else():
    assert answered("http_503") == 503
    assert [answered(one) for one in ("timed_out", "http_", "http_5030", None)] == [None] * 4
