"""With whom a tick at the time of the report shares it, over the London pack."""

from itertools import cycle

import pytest

from tests.api.reports.sending import CAMDEN, codes, report, submit

ALL = ["operator", "police", "support"]
FAR = {"type": "Point", "coordinates": [10, 10]}
SEEN_BY_TWO = ("940GZZLUOXC", "UCTN", "UKSX", "910GEUSTON", "940GZZDLBNK")
"""Stops that several operators look after: whoever chooses by another order chooses another."""


def consents(client, sent, method="GET", recipient=""):
    path = f"/v1/reports/mine/consents{recipient and '/' + recipient}"
    headers = {"Authorization": f"Receipt {sent.json['receipt']}"}
    return client.open(path, method=method, headers=headers)


def readers(answer):
    return {
        one["recipient"]: one["organisation"] and one["organisation"]["name"]
        for one in answer.json["items"]
    }


def stops_of(london):
    with london.intake() as conn:
        some = conn.execute(
            "select stop_id from (select stop_id, row_number() over"
            " (partition by kind, modes order by md5(stop_id)) as n"
            " from places where stop_id is not null) them where n <= 4"
        ).fetchall()
    return [*SEEN_BY_TWO, *(stop for (stop,) in some)]


def test_at_every_stop_a_tick_gives_the_report_to_whom_it_would_be_given_later(client, london):
    different, stops = {}, stops_of(london)
    assert len(stops) > 40
    for stop, mode in zip(stops, cycle((None, None, "bus", "tube")), strict=False):
        body = report(location={"stop_id": stop}, journey={"mode": mode})
        ticked = consents(client, submit(client, {**body, "share_with": ALL}))
        later = submit(client, body)
        possible = readers(consents(client, later))
        given = {
            one["recipient"]: one["organisation"]["name"] if one["given_at"] else None
            for one in ticked.json["items"]
        }
        for recipient in ALL:
            answer = consents(client, later, "PUT", recipient)
            assert answer.status_code == (200 if possible[recipient] else 409)
        if not given == possible == readers(consents(client, later)):
            different[stop] = (given, possible)
    assert different == {}


@pytest.mark.parametrize(
    "where", [{}, {"description": "the alley behind the pub"}, {"point": FAR}], ids=str
)
def test_where_nothing_tells_whom_a_tick_means_nobody_is_given_it_and_the_card_says_so(
    client, london, where
):
    sent = submit(client, report(location=where, journey={}, share_with=ALL))
    assert "share_nobody_there" in codes(sent.json["warnings"])
    seen_by = codes(sent.json["safety_card"]["who_sees_this"])
    assert [one for one in seen_by if one.startswith("shared_")] == ["shared_support"]
    said = consents(client, sent)
    assert readers(said) == {
        "operator": None,
        "police": None,
        "support": "Harbour support service (demo)",
    }
    for recipient in ("operator", "police"):
        answer = consents(client, sent, "PUT", recipient)
        assert (answer.status_code, codes(answer.json["errors"])) == (409, ["nobody_there"])
    # Whom to call is known all the same.
    assert sent.json["jurisdiction"]["body"] == "The local police force"
    assert sent.json["jurisdiction"]["contact"]["phone"] == "101"


def test_a_child_who_ticks_somebody_is_told_that_nobody_was_given_it(client, london):
    sent = submit(client, report(share_with=ALL, under_18=True, location={"point": CAMDEN}))
    assert "share_asked_first" in codes(sent.json["warnings"])
    seen_by = codes(sent.json["safety_card"]["who_sees_this"])
    assert not [one for one in seen_by if one.startswith("shared_")]
    assert {one["given_at"] for one in consents(client, sent).json["items"]} == {None}


def test_one_bare_word_is_a_tick_and_the_phone_is_told_that_it_was_read_as_one(client, london):
    sent = submit(client, report(share_with="support"))
    warnings = {(one["pointer"], one["code"]) for one in sent.json["warnings"]}
    assert warnings == {("/share_with", "coerced_value")}
    given = {one["recipient"]: one["given_at"] for one in consents(client, sent).json["items"]}
    assert [who for who, at in given.items() if at] == ["support"]
