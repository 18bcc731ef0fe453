"""What nobody does to the devices of another."""

from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from tests.desk import NOW, P2
from tests.push_service import Browser, base64url
from tests.services.push.devices import claimed, devices, new_device, subscribe
from tests.services.push.test_subscribing import new_person
from waylight.domain.errors import InvalidRequest, NotFound, StateConflict
from waylight.services import push


def test_known_endpoint_without_its_keys_takes_no_device_from_anybody(pushing, sign_in, robin):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    ali = sign_in(pushing.operator)
    for thief in (Browser(browser.endpoint), replace_auth(browser)):
        with pytest.raises(StateConflict):
            subscribe(pushing, ali, thief, team=pushing.second)
    pushing.report(P2)
    (message,) = claimed(pushing)
    assert message.target.address["auth"] == base64url(browser.auth)


def replace_auth(browser):
    return replace(browser, auth=bytes(reversed(browser.auth)))


def test_team_and_hub_of_another_organisation_are_unknown(pushing, robin):
    for of in ({"team": pushing.second}, {"hub": pushing.hub}, {"team": uuid4()}):
        with pytest.raises(InvalidRequest) as caught:
            subscribe(pushing, robin, Browser(), **of)
        (problem,) = caught.value.problems
        assert problem.pointer == f"/{next(iter(of))}"
    assert pushing.rows("select from addresses") == []


def test_retired_team_is_unknown(pushing, robin):
    pushing.do("update teams set retired = true where id = %s", pushing.first)
    with pytest.raises(InvalidRequest):
        subscribe(pushing, robin, Browser(), team=pushing.first)


def test_other_people_s_devices_are_neither_seen_nor_ended(pushing, sign_in, robin):
    done = subscribe(pushing, robin, Browser(), team=pushing.first)
    colleague = sign_in(replace(pushing.police, staff_id=new_person(pushing), name="Sam"))
    for other in (colleague, sign_in(pushing.operator), sign_in(pushing.control)):
        assert devices(pushing, other) == []
        with pytest.raises(NotFound):
            push.unsubscribe(pushing.database, other, device_id=done.device.id, now=NOW)
    assert len(devices(pushing, robin)) == 1


def test_hand_written_sql_of_another_organisation_ends_and_takes_nothing(pushing, robin):
    done = subscribe(pushing, robin, Browser(), team=pushing.first)
    with pushing.database.staff(pushing.operator.organisation_id) as conn:
        ended = conn.execute("select end_devices(%s, 'x', now())", [[done.device.id]]).fetchone()
        taken = conn.execute(
            "select take_device(%s, %s, '{}', '{}', now())", [robin.staff_id, robin.key_id]
        ).fetchone()
    assert (ended, taken) == ((0,), ("signed_out",))
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        pushing.database.staff(pushing.operator.organisation_id) as conn,
    ):
        conn.execute(
            "insert into addresses (organisation_id, team_id, channel, name, key_version, address,"
            " fingerprint, created_at) values (%s, %s, 'web_push', '', 1, '', '', now())",
            [pushing.operator.organisation_id, pushing.first],
        )
    assert len(devices(pushing, robin)) == 1


@pytest.mark.parametrize(
    ("endpoint", "code"),
    [
        ("https://10.0.0.1/push/robin", "not_public"),
        ("https://169.254.169.254/latest", "not_public"),
        ("https://localhost/push", "not_public"),
        ("https://db.internal/push", "not_public"),
        ("https://[2606:4700::1]/push", "not_public"),
        ("https://2130706433/push", "invalid_url"),
        ("http://push.example.net/push", "https_only"),
        ("https://robin:secret@push.example.net/", "invalid_url"),
        ("https://push.example.net/\r\nHost: evil", "invalid_url"),
        ("file:///etc/passwd", "invalid_url"),
        ("", "invalid_url"),
        ("https://push.example.net/" + "x" * 3000, "too_long"),
    ],
)
def test_endpoint_that_is_no_push_service_s_is_refused(pushing, robin, endpoint, code):
    with pytest.raises(InvalidRequest) as caught:
        subscribe(pushing, robin, Browser(endpoint), team=pushing.first)
    (problem,) = caught.value.problems
    assert (problem.pointer, problem.code) == ("/endpoint", code)


@pytest.mark.parametrize("p256dh", [b"\x04" + bytes(64), b"\x02" + bytes(32), bytes(65), b""])
def test_key_that_is_no_point_of_the_curve_is_refused(pushing, robin, p256dh):
    device = replace(new_device(Browser(), team=pushing.first), p256dh=p256dh)
    with pytest.raises(InvalidRequest) as caught:
        push.subscribe(
            pushing.database, pushing.vault, pushing.settings, robin, device=device, now=NOW
        )
    assert [problem.pointer for problem in caught.value.problems] == ["/keys/p256dh"]
