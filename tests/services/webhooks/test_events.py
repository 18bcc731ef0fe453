import json
from dataclasses import replace

from tests.desk import NOW, P1, P2
from tests.services.webhooks.endpoints import DELIVERED, ELSEWHERE, one_for
from waylight.channels.guard import Guard
from waylight.channels.webhook import Webhooks
from waylight.domain.alerts import Result
from waylight.services import webhooks


def test_event_goes_once_to_each_webhook_that_may_and_wants_to_know(desk, make, tell, claim):
    desk.report(P2)  # before there was any webhook
    tell()
    mine = make(desk.police, event_types=["alert.created"])
    make(desk.police, event_types=["hub.*"])
    theirs = make(desk.operator)
    room = make(desk.control, event_types=["alert.*"])
    assert tell() == 0
    desk.report(P1, at=ELSEWHERE)
    tell()
    assert tell() == 0
    found = claim()
    bodies = {(one.target.id, json.loads(one.body)["type"]) for one in found}
    assert bodies == {(mine.id, "alert.created"), (room.id, "alert.created")}
    assert theirs.id not in {one.target.id for one in found}
    mine_told = [one for one in found if one.target.id == mine.id]
    assert len(mine_told) == 1
    body = json.loads(mine_told[0].body)
    assert body["id"].startswith("event_")
    assert body["data"]["alert_id"].startswith("alert_")
    assert mine_told[0].kind == "alert.created"


def test_no_webhook_costs_one_look_and_moves_nothing(desk, tell):
    desk.report(P1)
    before = desk.rows("select last from webhook_cursor")
    assert tell() == 0
    assert desk.rows("select last from webhook_cursor") == before


def test_drill_goes_to_those_who_asked_for_drills_and_to_the_star(desk, make, tell, claim_all):
    star = make(desk.police)
    drills = make(desk.police, event_types=["exercise.*"])
    make(desk.police, event_types=["alert.created", "alert.*"])
    desk.report(replace(P1, exercise=True))
    tell()
    found = claim_all()
    assert {one.target.id for one in found} == {star.id, drills.id}
    assert all(json.loads(one.body)["type"].startswith("exercise.") for one in found)
    assert all(one.exercise for one in found)


def test_body_is_read_when_it_is_sent_and_not_sent_to_whom_it_concerns_no_more(
    desk, make, tell, claim
):
    make(desk.control, event_types=["alert.created"])
    desk.report(P1)
    assert tell() > 0
    desk.do("update grants set revoked_at = now() where cause = 'oversight'")
    found = claim()
    assert [one.body is None for one in found] == [
        one_for(desk, one) != desk.control.organisation_id for one in found
    ]
    gone = next(one for one in found if one.body is None)
    sent = Webhooks(Guard()).send(gone)
    assert (sent.result, sent.detail) == (Result.REFUSED, "no_longer_concerned")


def test_message_holds_no_story_and_its_repr_neither_url_nor_secret(desk, make, tell, claim):
    made = make(desk.police)
    desk.report(replace(P1, narrative="A green coat.", description_of_person="Tall."))
    tell()
    for one in claim():
        assert b"coat" not in one.body
        assert len(one.body) < 4_096
        assert made.secret not in repr(one)
        assert "s3cret" not in repr(one)


def test_taken_event_makes_the_alert_delivered_only_by_its_own_organisation(
    desk, make, tell, claim, record
):
    make(desk.police, event_types=["alert.created"])
    room = make(desk.control, event_types=["alert.created"])
    report = desk.report(P2)
    tell()
    (mine,) = [one for one in claim() if one.target.id != room.id]
    desk.do("delete from deliveries where target_id = %s", room.id)
    alert = desk.alert_of(desk.first)
    record(mine, DELIVERED)
    assert desk.states()[desk.first] == "delivered"
    (told,) = desk.events("delivery.delivered")
    assert (told["alert_id"], told["report_id"]) == (alert, report.id)
    assert told["data"] == {"channel": "webhook", "message": "alert.created"}


def test_what_the_control_room_s_endpoint_takes_says_nothing_of_another_team(
    desk, make, tell, claim, record
):
    make(desk.control, event_types=["alert.created"])
    desk.report(P2)
    tell()
    (room,) = claim()
    assert one_for(desk, room) == desk.police.organisation_id
    record(room, DELIVERED)
    assert desk.states()[desk.first] == "pending"
    assert desk.events("delivery.delivered") == []


def test_what_happens_while_it_is_paused_is_not_sent_later(desk, make, tell, claim):
    made = make(desk.police, event_types=["alert.created"])

    def become(state):
        webhooks.edit_webhook(
            desk.database,
            desk.vault,
            desk.police,
            webhook_id=made.id,
            values={"state": state},
            loopback_ports=(),
            if_match=None,
            now=NOW,
        )

    become("paused")
    make(desk.operator)  # so that the cursor moves all the same
    desk.report(P2)
    tell()
    become("active")
    assert tell() == 0
    assert claim() == []
