"""One report, one alarm, however often it is sent."""

import pytest

from tests.api.reports.sending import KEY, codes, count, report, submit


def test_a_retry_gets_the_same_answer_and_nothing_is_stored_twice(client, london):
    first = submit(client, **{"Idempotency-Key": f'"{KEY}"'})
    retry = submit(
        client, {**report(), "sent_at": "2026-11-21T23:59:00Z"}, **{"Idempotency-Key": KEY}
    )
    assert retry.json["id"] == first.json["id"]
    assert retry.json["receipt"] == first.json["receipt"]
    assert count(london, "reports") == 1
    assert submit(client, **{"Idempotency-Key": KEY}).json == first.json


def test_a_retry_of_a_report_that_joined_gets_the_same_answer(client, london):
    submit(client)
    joined = submit(client, **{"Idempotency-Key": KEY}).json
    assert joined["incident"] == {"joined": True}
    assert submit(client, **{"Idempotency-Key": KEY}).json == joined


@pytest.mark.parametrize(
    "key",
    [
        "1",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "8e03978e-40d5-43e8-bc93-6894a57f9324",  # the one in the documents
    ],
)
def test_two_phones_using_one_careless_key_get_a_report_each(client, london, key):
    first, second = (submit(client, **{"Idempotency-Key": key}).json for _ in range(2))
    assert first["id"] != second["id"]
    assert first["receipt"] != second["receipt"]
    assert codes(first["warnings"]) == ["idempotency_key_ignored"]


def test_a_key_used_for_another_story_makes_a_new_report_linked_to_the_first(client, london):
    first = submit(client, **{"Idempotency-Key": KEY}).json
    other = submit(client, report(narrative="more"), **{"Idempotency-Key": KEY}).json
    assert other["id"] != first["id"]
    assert other["linked_report_id"] == first["id"]
    assert "idempotency_key_reused" in codes(other["warnings"])
