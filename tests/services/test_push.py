"""Devices of staff: whose they are, when they are told, and when they are told no more."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.desk import NOW, P1, P2, SCOPES
from tests.push_service import Browser, base64url, from_base64url, point
from waylight.domain.alerts import RESTS, Outcome, Result
from waylight.domain.errors import InvalidRequest, NotFound, NotSignedIn, StateConflict
from waylight.domain.push import DEVICES_AT_MOST, NewDevice
from waylight.domain.reports import Want
from waylight.services import alerts, keys, push
from waylight.services.operations import chores
from waylight.vault import Vault

LATER = NOW + timedelta(seconds=5)
TIMED_OUT = Outcome(Result.FAILED, "timed_out")
PRIVATE, PUBLIC = Vault.new_push_key()
NEW_PRIVATE, NEW_PUBLIC = Vault.new_push_key()


@pytest.fixture
def pushing(desk):
    """A desk that pushes and writes to the console."""
    return with_keys(desk, PRIVATE)


def with_keys(desk, *private):
    settings = replace(
        desk.settings,
        channels=("console", "web_push"),
        vapid_keys=tuple(map(from_base64url, private)),
        vapid_subject="mailto:desk@waylight.example",
    )
    return replace(desk, settings=settings, vault=Vault(settings))


@pytest.fixture
def sign_in(desk):
    """A person with a new key, as a request of theirs comes."""

    def sign_in(person, *, expires_at=None):
        token = desk.vault.new_token("staff")
        desk.do(
            "insert into api_keys (kind, name, token_hash, staff_id, organisation_id, scopes,"
            " expires_at) values ('staff', %s, %s, %s, %s, %s, %s)",
            person.name,
            desk.vault.hash_token(token),
            person.staff_id,
            person.organisation_id,
            sorted(SCOPES),
            expires_at,
        )
        found = keys.authenticate(desk.database, desk.vault, token, now=NOW)
        assert found is not None
        return found

    return sign_in


@pytest.fixture
def robin(desk, sign_in):
    return sign_in(desk.police)


def new_device(browser, *, team=None, hub=None, name="A phone", **changes):
    return NewDevice(
        endpoint=browser.endpoint,
        p256dh=point(browser.private),
        auth=browser.auth,
        name=name,
        team_id=team,
        hub_id=hub,
        **changes,
    )


def subscribe(desk, who, browser, *, now=NOW, **of):
    return push.subscribe(
        desk.database, desk.vault, desk.settings, who, device=new_device(browser, **of), now=now
    )


def devices(desk, who, *, now=NOW):
    return push.list_devices(desk.database, desk.vault, who, now=now)


def claimed(desk, *, now=NOW, worker="one"):
    return alerts.claim(
        desk.database,
        desk.vault,
        worker,
        free={"web_push": 50},
        lease_s=30.0,
        base_url="https://waylight.example",
        now=now,
    )


def reached(desk, **others):
    """The devices that messages claimed now go to. One that has none is refused by its channel."""
    return [one.target.id for one in claimed(desk, **others) if one.target is not None]


def pushes(desk):
    return desk.rows("select * from deliveries where channel = 'web_push' order by id")


def another(number):
    return Browser(f"https://push.example.net/push/{number}")


def resting(message):
    return Outcome(Result.FAILED, RESTS, retry_after_s=message.rests_s)


# --- subscribed


def test_device_is_told_what_its_team_is_told(pushing, robin):
    browser = Browser()
    done = subscribe(pushing, robin, browser, team=pushing.first)
    assert done.is_new
    assert (done.device.team.name, done.device.hub) == ("First", None)
    assert not done.device.renew
    pushing.report(P2)
    (message,) = claimed(pushing)
    assert message.target.id == done.device.id
    assert message.target.address == {
        "endpoint": browser.endpoint,
        **browser.keys,
        "vapid": PUBLIC,
    }
    (event,) = pushing.events("device.subscribed")
    assert event["staff_id"] == robin.staff_id
    assert event["data"]["device_id"] == str(done.device.id)


def test_device_of_a_team_is_told_whoever_is_at_work(pushing, robin):
    subscribe(pushing, robin, Browser(), team=pushing.third)
    pushing.report(P2)
    assert claimed(pushing) == []  # the alert is for First alone


def test_device_of_a_hub_is_told_to_expect_somebody(pushing, sign_in):
    host = sign_in(pushing.hub_host)
    subscribe(pushing, host, Browser(), hub=pushing.hub)
    pushing.report(replace(P2, wants=(Want.HUB,)))
    assert [message.recipient for message in claimed(pushing)] == ["Hub"]


def test_nothing_that_leads_to_a_device_is_stored_readable(pushing, robin):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    rows = pushing.rows(
        "select a::text as row from addresses a union all select e::text from events e"
    )
    stored = " ".join(row["row"] for row in rows)
    for secret in (browser.endpoint, *browser.keys.values()):
        assert secret not in stored
        assert secret.encode().hex() not in stored


def test_same_device_again_is_written_anew_and_not_doubled(pushing, robin):
    browser = Browser()
    first = subscribe(pushing, robin, browser, team=pushing.first, name="Old name")
    browser.auth = bytes(16)
    again = subscribe(pushing, robin, browser, team=pushing.first, name="New name")
    assert (again.is_new, again.device.id) == (False, first.device.id)
    assert [device.name for device in devices(pushing, robin)] == ["New name"]
    pushing.report(P2)
    (message,) = claimed(pushing)
    assert message.target.address["auth"] == base64url(bytes(16))


def test_device_that_was_told_to_be_paused_works_again_once_it_is_subscribed_anew(pushing, robin):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    pushing.do("update addresses set state = 'paused'")
    subscribe(pushing, robin, browser, team=pushing.first)
    assert pushing.rows("select state from addresses") == [{"state": "active"}]


def test_one_device_may_be_told_for_two_teams(pushing, robin):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    subscribe(pushing, robin, browser, team=pushing.third)
    assert [device.team.name for device in devices(pushing, robin)] == ["First", "Third"]


@pytest.mark.parametrize("moved_to", ["first", "third"])
def test_device_that_changes_hands_is_the_new_person_s_alone(pushing, sign_in, robin, moved_to):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    pushing.report(P2)
    colleague = sign_in(replace(pushing.police, staff_id=new_person(pushing), name="Sam"))
    done = subscribe(pushing, colleague, browser, team=getattr(pushing, moved_to))
    assert done.is_new
    assert devices(pushing, robin) == []
    assert [device.id for device in devices(pushing, colleague)] == [done.device.id]
    assert len(pushes(pushing)) == 1
    assert reached(pushing) == []


def test_device_that_goes_to_another_organisation_tells_the_old_one_nothing_more(
    pushing, sign_in, robin
):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    ali = sign_in(pushing.operator)
    subscribe(pushing, ali, browser, team=pushing.second)
    pushing.report(P2)
    assert claimed(pushing) == []
    gone = pushing.events("device.unsubscribed")
    assert [(e["staff_id"], e["data"]["reason"]) for e in gone] == [(robin.staff_id, "moved")]
    assert gone[0]["organisation_id"] == robin.organisation_id


def new_person(desk):
    (row,) = desk.rows(
        "insert into staff (organisation_id, name, role) values (%s, 'Sam', 'officer')"
        " returning id",
        desk.police.organisation_id,
    )
    return row["id"]


# --- signed out


def test_revoked_key_takes_its_devices_along_in_the_same_transaction(pushing, robin, sign_in):
    other_key = sign_in(pushing.police)
    subscribe(pushing, robin, Browser(), team=pushing.first)
    kept = subscribe(pushing, other_key, another(2), team=pushing.first)
    pushing.report(P2)
    keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=LATER)
    assert reached(pushing, now=LATER) == [kept.device.id]
    (gone,) = pushing.events("device.unsubscribed")
    assert (gone["data"]["reason"], gone["at"]) == ("signed_out", LATER)


def test_key_that_cannot_be_revoked_keeps_its_devices(pushing, robin, monkeypatch):
    subscribe(pushing, robin, Browser(), team=pushing.first)

    def broken(*_args, **_kwargs):
        raise RuntimeError

    monkeypatch.setattr("waylight.db.keys._sign_out", broken)
    with pytest.raises(RuntimeError):
        keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=LATER)
    assert len(devices(pushing, robin)) == 1
    assert pushing.rows("select from api_keys where revoked_at is not null") == []


def test_revoking_the_others_ends_the_devices_of_the_others(pushing, robin, sign_in):
    here = sign_in(pushing.police)
    subscribe(pushing, robin, another(1), team=pushing.first)
    kept = subscribe(pushing, here, another(2), team=pushing.first)
    keys.revoke_others(pushing.database, pushing.vault, here.key_id, now=LATER)
    assert [device.id for device in devices(pushing, here, now=LATER)] == [kept.device.id]


def test_device_that_is_subscribed_with_a_newer_key_outlives_the_older(pushing, robin, sign_in):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    here = sign_in(pushing.police)
    subscribe(pushing, here, browser, team=pushing.first)
    keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=LATER)
    assert len(devices(pushing, here, now=LATER)) == 1


def test_message_that_was_claimed_before_the_sign_out_is_not_tried_again(pushing, robin, record):
    subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.report(P2)
    (message,) = claimed(pushing)
    keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=LATER)
    record(message, Outcome(Result.FAILED, "timed_out"), now=LATER)
    assert reached(pushing, now=NOW + timedelta(minutes=5)) == []


def test_message_whose_sender_died_is_not_sent_by_the_next_after_the_sign_out(pushing, robin):
    subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.report(P2)
    claimed(pushing)
    keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=LATER)
    assert reached(pushing, now=NOW + timedelta(minutes=5), worker="two") == []


def test_alert_that_waits_for_a_device_that_is_gone_fails_for_all_to_see(pushing, robin, record):
    subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.report(P2)
    pushing.do("update deliveries set next_attempt_at = %s", NOW + timedelta(minutes=1))
    keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=LATER)
    (message,) = claimed(pushing, now=LATER)
    assert message.target is None
    record(message, Outcome(Result.REFUSED, "address_unreadable"), now=LATER)
    (row,) = pushes(pushing)
    assert (row["status"], row["detail"]) == ("failed", "address_unreadable")
    assert len(pushing.events("delivery.failed")) == 1


def test_what_is_over_is_not_told_to_a_device_that_is_gone(pushing, robin, record):
    subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.report(P2)
    (message,) = claimed(pushing)
    record(message, Outcome(Result.SENT))
    pushing.climb(NOW + timedelta(minutes=4))
    pushing.acknowledge(pushing.operator, pushing.alert_of(pushing.second))
    keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=LATER)
    _, over = pushes(pushing)
    assert (over["message"], over["status"]) == ("alert.withdrawn", "dropped")
    assert over["detail"] == "address_gone"


def test_key_that_was_revoked_meanwhile_subscribes_nothing(pushing, robin):
    keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=NOW)
    with pytest.raises(NotSignedIn):
        subscribe(pushing, robin, Browser(), team=pushing.first)
    assert pushing.rows("select from addresses") == []


def test_device_ends_when_the_key_it_was_signed_in_with_ends_by_itself(pushing, sign_in):
    ends = NOW + timedelta(minutes=1)
    robin = sign_in(pushing.police, expires_at=ends)
    done = subscribe(pushing, robin, Browser(), team=pushing.first)
    assert done.device.expires_at == ends
    pushing.report(P2)
    (message,) = claimed(pushing, now=ends)
    assert message.target is None
    assert devices(pushing, robin, now=ends) == []


def test_subscription_that_expires_is_honoured(pushing, robin):
    ends = NOW + timedelta(minutes=1)
    subscribe(pushing, robin, Browser(), team=pushing.first, expires_at=ends)
    pushing.report(P1, now=NOW + timedelta(minutes=2))
    assert pushes(pushing) == []
    chores.purge(pushing.database, now=NOW + timedelta(minutes=2))
    assert pushing.rows("select state, wrapped_key from addresses") == [
        {"state": "gone", "wrapped_key": None}
    ]


def test_unsubscribed_device_is_told_nothing_and_its_address_is_erased(pushing, robin):
    done = subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.report(P2)
    push.unsubscribe(pushing.database, robin, device_id=done.device.id, now=LATER)
    assert reached(pushing, now=LATER) == []
    assert pushing.rows("select state, wrapped_key from addresses") == [
        {"state": "gone", "wrapped_key": None}
    ]
    with pytest.raises(NotFound):
        push.unsubscribe(pushing.database, robin, device_id=done.device.id, now=LATER)


def test_device_whose_push_service_says_it_is_gone_is_erased(pushing, robin, record):
    subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.report(P2)
    (message,) = claimed(pushing)
    pushing.report(P1)
    record(message, Outcome(Result.GONE, "push_gone_410"))
    assert devices(pushing, robin) == []
    assert pushing.rows("select wrapped_key from addresses") == [{"wrapped_key": None}]
    assert [row["status"] for row in pushes(pushing)] == ["failed", "queued"]
    assert reached(pushing, now=LATER) == []
    (gone,) = pushing.events("device.unsubscribed")
    assert gone["data"]["reason"] == "gone"


def test_telephone_of_a_person_that_takes_no_more_is_no_device_and_keeps_its_number(
    pushing, robin, record
):
    subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.do("update addresses set channel = 'sms'")
    pushing.report(P2)
    pushing.do("update deliveries set channel = 'web_push', target_id = (select id from addresses)")
    (message,) = claimed(pushing)
    record(message, Outcome(Result.GONE, "opted_out"))
    (row,) = pushing.rows("select state, wrapped_key is not null as kept from addresses")
    assert row == {"state": "gone", "kept": True}
    assert pushing.events("device.unsubscribed") == []


def test_device_that_was_gone_subscribes_again(pushing, robin, record):
    browser = Browser()
    first = subscribe(pushing, robin, browser, team=pushing.first)
    push.unsubscribe(pushing.database, robin, device_id=first.device.id, now=NOW)
    again = subscribe(pushing, robin, browser, team=pushing.first)
    assert again.is_new
    assert again.device.id != first.device.id


def recorded(desk, message, outcome, *, now=NOW):
    """As a worker writes down many at once."""
    return alerts.record_all(
        desk.database, [(message, outcome, 5.0)], worker_id="one", jitter=lambda: 0.0, now=now
    )[message.delivery_id]


def test_device_that_times_out_again_and_again_rests_visibly_and_the_ladder_goes_on(pushing, robin):
    subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.report(P2)
    pushing.do("update deliveries set status = 'failed' where channel = 'console'")
    pushing.do("update incidents set escalate_at = null")
    at, rested = NOW, []
    while True:
        (message,) = claimed(pushing, now=at)
        rested.append(message.rests_s)
        following = recorded(
            pushing, message, (message.rests_s and resting(message)) or TIMED_OUT, now=at
        )
        (device,) = devices(pushing, robin, now=at)
        if following.status != "queued":
            break
        assert device.rests_until is None or following.at > at
        at = following.at
    # Three time-outs, then it is left alone for 30 s, is tried once more, rests for longer ...
    assert rested[:4] == [None, None, None, pytest.approx(26.0)]
    assert [one is None for one in rested] == [True] * 3 + [False, True] * 3 + [False]
    kept = pushing.rows("select detail from delivery_attempts order by attempt")
    assert {one["detail"] for one in kept} == {"timed_out", "address_rests"}
    # The message is given up in the end, and its team is passed over.
    assert following.status == "failed"
    assert pushing.incident()["escalate_at"] == at


def test_device_that_answers_again_rests_no_more(pushing, robin):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    pushing.report(P2)
    pushing.do("update addresses set timeouts = 7, rests_until = %s", LATER)
    assert devices(pushing, robin)[0].rests_until == LATER
    (message,) = claimed(pushing, now=LATER)
    assert message.rests_s is None
    recorded(pushing, message, Outcome(Result.SENT), now=LATER)
    assert pushing.rows("select timeouts, rests_until from addresses") == [
        {"timeouts": 0, "rests_until": None}
    ]
    # A rest that was written while the clock ran ahead is none.
    pushing.do("update addresses set timeouts = 7, rests_until = %s", LATER + timedelta(hours=9))
    assert devices(pushing, robin)[0].rests_until is None
    pushing.report(P1)
    assert [one.rests_s for one in claimed(pushing, now=LATER)] == [None]
    pushing.do("update addresses set timeouts = 7, rests_until = %s", LATER)
    subscribe(pushing, robin, browser, team=pushing.first)
    assert devices(pushing, robin)[0].rests_until is None


# --- attacks


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


def test_person_has_only_so_many_devices(pushing, robin):
    for number in range(DEVICES_AT_MOST):
        subscribe(pushing, robin, another(number), team=pushing.first)
    with pytest.raises(StateConflict, match=str(DEVICES_AT_MOST)):
        subscribe(pushing, robin, another("more"), team=pushing.first)
    assert not subscribe(pushing, robin, another(3), team=pushing.first).is_new
    push.unsubscribe(pushing.database, robin, device_id=devices(pushing, robin)[0].id, now=NOW)
    assert subscribe(pushing, robin, another("more"), team=pushing.first).is_new


# --- changing the key that signs


def test_device_of_the_key_before_is_sent_to_and_asked_to_renew(pushing, robin):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    rotated = with_keys(pushing, NEW_PRIVATE, PRIVATE)
    assert push.public_key(rotated.settings, rotated.vault) == NEW_PUBLIC
    (device,) = devices(rotated, robin)
    assert device.renew
    # An app tells its subscription each time it starts: that makes it none of the new key.
    assert subscribe(rotated, robin, browser, team=rotated.first).device.renew
    rotated.report(P2)
    (message,) = claimed(rotated)
    assert message.target.address["vapid"] == PUBLIC
    renewed = subscribe(rotated, robin, another("renewed"), team=rotated.first)
    assert not renewed.device.renew


def test_device_may_say_which_key_it_subscribed_with(pushing, robin):
    rotated = with_keys(pushing, NEW_PRIVATE, PRIVATE)
    said = subscribe(rotated, robin, Browser(), team=rotated.first, public_key=PUBLIC)
    assert said.device.renew
    said = subscribe(rotated, robin, Browser(), team=rotated.first, public_key=NEW_PUBLIC)
    assert not said.device.renew


def test_device_of_a_key_that_nobody_holds_is_refused(pushing, robin):
    with pytest.raises(InvalidRequest) as caught:
        subscribe(pushing, robin, Browser(), team=pushing.first, public_key=NEW_PUBLIC)
    assert [one.pointer for one in caught.value.problems] == ["/application_server_key"]
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    dropped = with_keys(pushing, NEW_PRIVATE)
    with pytest.raises(InvalidRequest):
        subscribe(dropped, robin, browser, team=dropped.first)


@pytest.mark.parametrize("changes", [{"channels": ("console",)}, {"vapid_keys": ()}])
def test_nothing_subscribes_where_nothing_is_pushed(pushing, robin, changes):
    settings = replace(pushing.settings, **changes)
    off = replace(pushing, settings=settings, vault=Vault(settings))
    with pytest.raises(NotFound, match="WAYLIGHT_CHANNELS"):
        subscribe(off, robin, Browser(), team=off.first)
    with pytest.raises(NotFound):
        push.public_key(off.settings, off.vault)


def test_ids_of_devices_are_in_the_order_of_their_time(pushing, robin):
    first = subscribe(pushing, robin, another(1), team=pushing.first).device.id
    second = subscribe(pushing, robin, another(2), team=pushing.first).device.id
    assert isinstance(first, UUID)
    assert first < second
