from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.common import WireId
from tests.desk import NOW, P2, keys_for
from waylight.domain.addresses import MOST
from waylight.domain.alerts import Outcome, Result
from waylight.services import addresses, alerts, audit

NUMBER, SHOWN = "+447400123456", "+44\u2026456"
ON_CALL = {"channel": "sms", "address": NUMBER, "name": "On call"}
MAIL = {"channel": "email", "address": "On.Call@Police.example", "name": "Desk"}


@pytest.fixture
def by_message(app):
    """The same app, with text messages and e-mail switched on."""
    context = app.extensions["waylight"]
    settings = replace(context.settings, channels=("console", "sms", "email"))
    app.extensions["waylight"] = replace(context, settings=settings)
    return settings


@pytest.fixture
def path(desk):
    return f"/v1/teams/{WireId.of('team', desk.first)}/addresses"


@pytest.fixture
def added(client, robin, path):
    answer = client.post(path, json=ON_CALL, headers=robin)
    assert answer.status_code == 201
    return answer.json


def at(address, *rest):
    return "/".join(["/v1/addresses", address["id"], *rest])


def claim(desk, channel="sms", *, now=None):
    later = NOW + timedelta(hours=1) if now is None else now
    return alerts.claim(
        desk.database,
        desk.vault,
        "one",
        free={channel: 50},
        lease_s=30.0,
        base_url="https://waylight.example",
        now=later,
    )


def test_address_is_added_shown_in_part_and_listed(client, robin, path):
    answer = client.post(path, json=ON_CALL, headers=robin)
    assert (answer.status_code, answer.headers["ETag"]) == (201, '"1"')
    assert answer.headers["Cache-Control"] == "no-store"
    assert (answer.json["address"], answer.json["state"]) == (SHOWN, "active")
    assert answer.json["team"]["name"] == "First"
    mail = client.post(path, json=MAIL, headers=robin)
    assert mail.json["address"] == "O\u2026@police.example"
    listed = client.get(path, headers=robin)
    assert [one["name"] for one in listed.json["items"]] == ["On call", "Desk"]
    assert "123456" not in listed.text
    assert client.get(at(answer.json), headers=robin).json == answer.json


def test_nothing_of_an_address_is_readable_in_the_database(desk, added):
    row = desk.rows("select * from addresses")[0]
    events = desk.rows("select * from events where kind = 'address.added'")
    assert events
    assert "7400123456" not in repr((row, events, desk.rows("select * from audit_entries")))
    assert b"7400123456" not in row["address"]


@pytest.mark.parametrize("again", ["07400 123456", "+44 (0)7400 123-456", "00447400123456"])
def test_same_number_in_another_spelling_is_the_same_address(client, robin, path, added, again):
    answer = client.post(path, json={**ON_CALL, "address": again, "name": "Two"}, headers=robin)
    assert (answer.status_code, answer.json) == (200, added)


def test_same_mailbox_in_another_case_is_the_same_address(client, robin, path):
    first = client.post(path, json=MAIL, headers=robin)
    again = client.post(path, json={**MAIL, "address": "on.call@POLICE.EXAMPLE"}, headers=robin)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json["id"] == first.json["id"]


def test_one_telephone_may_serve_two_teams(desk, client, robin, added):
    third = f"/v1/teams/{WireId.of('team', desk.third)}/addresses"
    answer = client.post(third, json=ON_CALL, headers=robin)
    assert answer.status_code == 201
    assert answer.json["id"] != added["id"]


@pytest.mark.parametrize(
    "number",
    [
        "+44 20 7946 0018",  # a landline
        "+44 7401 12345",
        "07400 12345678",
        "999",
        "+44 7400 123456 ext. 5",
        "0905 123 4567",  # premium rate
        "not a number",
        "+44 7400 123456\r\nBcc: x",
        "\u0660" * 11,
        "sip:7400123456@evil.example",
    ],
)
def test_number_that_gets_no_text_messages_is_422_and_not_echoed(client, robin, path, number):
    answer = client.post(path, json={**ON_CALL, "address": number}, headers=robin)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json["errors"]] == ["/address"]
    assert number not in answer.text


@pytest.mark.parametrize(
    "mailbox",
    [
        "on.call",
        "@police.example",
        "on call@police.example",
        "a..b@police.example",
        ".a@police.example",
        "a@police",
        "a@-police.example",
        "a@police..example",
        "a@127.0.0.1",
        "a@[127.0.0.1]",
        '"a b"@police.example',
        "a@police.example\nBcc: b@evil.example",
        "a,b@police.example",
        "x" * 65 + "@police.example",
        "A <a@police.example>",
        "ä@police.example",
    ],
)
def test_mailbox_that_is_none_is_422(client, robin, path, mailbox):
    answer = client.post(path, json={**MAIL, "address": mailbox}, headers=robin)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json["errors"]] == ["/address"]


@pytest.mark.parametrize("mailbox", ["o'brien+desk@sub.police.example", "a_b-c@x-y.co", "1@a.io"])
def test_mailbox_that_is_one_is_taken(client, robin, path, mailbox):
    assert client.post(path, json={**MAIL, "address": mailbox}, headers=robin).status_code == 201


def test_number_that_is_kept_for_drama_is_for_trying_out(app, client, robin, path):
    drama = {**ON_CALL, "address": "07700 900123"}
    assert client.post(path, json=drama, headers=robin).status_code == 201
    context = app.extensions["waylight"]
    live = replace(context, settings=replace(context.settings, profile="production"))
    app.extensions["waylight"] = live
    other = {**ON_CALL, "address": "07700 900124"}
    assert client.post(path, json=other, headers=robin).status_code == 422


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": " On call"}, "/name"),
        ({"name": "On\ncall"}, "/name"),
        ({"name": "x" * 61}, "/name"),
        ({"channel": "fax"}, "/channel"),
        ({"language": "xx"}, "/language"),
        ({"mine": "yes"}, "/mine"),
        ({"team": "x"}, "/team"),
    ],
)
def test_field_that_cannot_be_used_is_named(client, robin, path, changes, pointer):
    answer = client.post(path, json={**ON_CALL, **changes}, headers=robin)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]


def test_there_is_an_end_to_the_addresses_of_one_team(client, robin, path):
    for number in range(MOST):
        mail = {**MAIL, "address": f"a{number}@police.example"}
        assert client.post(path, json=mail, headers=robin).status_code == 201
    assert client.post(path, json=ON_CALL, headers=robin).status_code == 409


def test_other_organisation_sees_and_changes_no_address(desk, client, signed_in, path, added):
    for name in ("Ali", "Casey", "Jo"):
        headers = signed_in[name]
        assert client.get(path, headers=headers).status_code == 404
        assert client.post(path, json=ON_CALL, headers=headers).status_code == 404
        assert client.get(at(added), headers=headers).status_code == 404
        assert client.patch(at(added), json={"name": "x"}, headers=headers).status_code == 404
        assert client.delete(at(added), headers=headers).status_code == 404
        assert client.post(at(added, "test"), headers=headers).status_code == 404
    with desk.database.staff(desk.operator.organisation_id) as conn:
        assert conn.execute("select count(*) from addresses").fetchone() == (0,)
        assert conn.execute("update addresses set state = 'gone'").rowcount == 0


def test_key_without_the_scope_manages_nothing(desk, client, path, added):
    desk.do("delete from api_keys")
    reader = replace(desk.police, name="Reader", scopes=frozenset({"alerts:read", "alerts:act"}))
    (token,) = keys_for(desk, [reader]).values()
    headers = {"Authorization": f"Bearer {token}"}
    assert client.get(path, headers=headers).status_code == 403
    assert client.delete(at(added), headers=headers).status_code == 403


def test_hub_has_addresses_of_its_own(desk, client, signed_in):
    hub = f"/v1/hubs/{WireId.of('hub', desk.hub)}/addresses"
    answer = client.post(hub, json=ON_CALL, headers=signed_in["Jo"])
    assert (answer.status_code, answer.json["hub"]["name"]) == (201, "Hub")
    assert client.get(hub, headers=signed_in["Jo"]).json["items"] == [answer.json]
    assert client.get(hub, headers=signed_in["Robin"]).status_code == 404


def test_paused_address_is_told_nothing_until_it_is_resumed(desk, client, robin, added):
    paused = client.patch(at(added), json={"state": "paused"}, headers=robin)
    assert (paused.json["state"], paused.headers["ETag"]) == ("paused", '"2"')
    by_sms = replace(desk, settings=replace(desk.settings, channels=("sms",)))
    by_sms.report(P2)
    assert desk.rows("select from deliveries where channel = 'sms'") == []
    client.patch(at(added), json={"state": "active"}, headers=robin)
    by_sms.report(P2)
    assert len(desk.rows("select from deliveries where channel = 'sms'")) == 1


def test_change_of_what_somebody_else_changed_is_412(client, robin, added):
    client.patch(at(added), json={"name": "Night desk"}, headers=robin)
    stale = {**robin, "If-Match": '"1"'}
    assert client.patch(at(added), json={"name": "x"}, headers=stale).status_code == 412
    assert client.delete(at(added), headers=stale).status_code == 412
    found = client.get(at(added), headers=robin)
    assert (found.json["name"], found.headers["ETag"]) == ("Night desk", '"2"')


def test_language_is_sealed_with_the_address_and_both_stay_readable(desk, client, robin, added):
    changed = client.patch(at(added), json={"language": "es"}, headers=robin)
    assert (changed.json["language"], changed.json["address"]) == ("es", SHOWN)
    by_sms = replace(desk, settings=replace(desk.settings, channels=("sms",)))
    by_sms.report(P2)
    (message,) = claim(desk)
    assert message.target.address == {"number": NUMBER, "language": "es"}


def test_address_that_its_provider_gave_up_can_be_resumed(desk, client, robin, added):
    desk.do("update addresses set state = 'gone'")
    assert client.get(at(added), headers=robin).json["state"] == "gone"
    resumed = client.patch(at(added), json={"state": "active"}, headers=robin)
    assert resumed.json["state"] == "active"


def test_address_that_was_added_again_is_not_resumed_beside_itself(
    desk, client, robin, path, added
):
    desk.do("update addresses set state = 'gone'")
    assert client.post(path, json=ON_CALL, headers=robin).status_code == 201
    assert client.patch(at(added), json={"state": "active"}, headers=robin).status_code == 409


def test_removed_address_cannot_be_read_by_anybody_and_gets_nothing(
    desk, client, robin, path, added
):
    by_sms = replace(desk, settings=replace(desk.settings, channels=("sms",)))
    by_sms.report(P2)
    assert client.delete(at(added), headers={**robin, "If-Match": '"1"'}).status_code == 204
    assert client.get(at(added), headers=robin).status_code == 404
    assert client.get(path, headers=robin).json["items"] == []
    assert desk.rows("select state, wrapped_key from addresses") == [
        {"state": "gone", "wrapped_key": None}
    ]
    assert [message.target for message in claim(desk)] == [None]
    assert client.post(path, json=ON_CALL, headers=robin).status_code == 201


def test_test_message_goes_through_the_queue_and_says_that_it_is_one(
    desk, client, robin, added, by_message
):
    answer = client.post(at(added, "test"), headers=robin)
    assert answer.status_code == 202
    (message,) = claim(desk)
    assert (message.kind, message.exercise, message.alert_id) == ("test", True, None)
    assert (message.recipient, message.target.address["number"]) == ("First", NUMBER)
    outcome = Outcome(Result.SENT, provider="twilio", provider_ref="SM1")
    recorded = alerts.record(
        desk.database,
        message,
        outcome=outcome,
        worker_id="one",
        jitter=0.0,
        now=NOW + timedelta(hours=1),
    )
    assert recorded is not None
    assert recorded.status == "sent"
    assert client.get(at(added), headers=robin).json["last_sent_at"]
    again = client.post(at(added, "test"), headers=robin)
    assert (again.status_code, again.headers["Retry-After"]) == (429, "60")
    assert len(desk.events("address.tested")) == 1


def test_address_that_could_not_be_reached_is_not_tested(desk, client, robin, added, app):
    off = client.post(at(added, "test"), headers=robin)
    assert (off.status_code, off.json["code"]) == (409, "state_conflict")
    context = app.extensions["waylight"]
    settings = replace(context.settings, channels=("sms",))
    app.extensions["waylight"] = replace(context, settings=settings)
    client.patch(at(added), json={"state": "paused"}, headers=robin)
    assert client.post(at(added, "test"), headers=robin).status_code == 409
    assert desk.rows("select from deliveries") == []


def test_every_change_is_an_event_and_in_the_audit_log(desk, client, robin, added, by_message):
    client.patch(at(added), json={"name": "Night"}, headers=robin)
    client.post(at(added, "test"), headers=robin)
    client.delete(at(added), headers=robin)
    kinds = ["address.added", "address.changed", "address.tested", "address.removed"]
    events = desk.events(*kinds)
    assert [event["kind"] for event in events] == kinds
    assert {event["staff_id"] for event in events} == {desk.police.staff_id}
    assert {event["data"]["channel"] for event in events} == {"sms"}
    audited = desk.rows("select action, staff_id from audit_entries order by id")
    assert [row["action"] for row in audited] == kinds
    assert {row["staff_id"] for row in audited} == {desk.police.staff_id}


def test_test_message_that_cannot_be_put_into_the_audit_log_is_not_sent(desk, added, monkeypatch):
    def broken(*_, **__):
        raise OSError("no room")

    monkeypatch.setattr(audit, "write", broken)
    address_id = WireId.read("address", added["id"])
    with pytest.raises(OSError, match="no room"):
        addresses.try_address(
            desk.database, desk.vault, desk.police, address_id, channels=("sms",), now=NOW
        )
    assert desk.rows("select from deliveries") == []
    assert desk.events("address.tested") == []


def test_address_that_is_one_s_own_names_the_person(client, robin, path):
    answer = client.post(path, json={**ON_CALL, "mine": True}, headers=robin)
    assert answer.json["person"] == {"name": "Robin"}
