import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook as Verifier

from tests.desk import NOW, P2
from tests.receivers import answer, receiving
from tests.services.webhooks.endpoints import DELIVERED, VALUES, log, ping, read
from waylight.channels.guard import Guard
from waylight.channels.webhook import Webhooks
from waylight.domain.errors import InvalidRequest, NotAllowed, NotFound, StaleVersion, StateConflict
from waylight.domain.principals import Kind, Principal
from waylight.domain.webhooks import MOST
from waylight.services import webhooks
from waylight.services.operations import rotation


def test_other_organisations_see_and_change_nothing(desk, make):
    made = make(desk.police)
    who, context = desk.operator, (desk.database, desk.vault)
    webhook = {"webhook_id": made.id}
    for attempt in (
        lambda: webhooks.read_webhook(*context, who, **webhook),
        lambda: webhooks.edit_webhook(
            *context,
            who,
            **webhook,
            values={"description": "mine"},
            loopback_ports=(),
            if_match=None,
            now=NOW,
        ),
        lambda: webhooks.rotate_secret(
            *context, who, **webhook, overlap=timedelta(0), if_match=None, now=NOW
        ),
        lambda: webhooks.enable_webhook(*context, who, **webhook, if_match=None, now=NOW),
        lambda: webhooks.delete_webhook(
            desk.database, desk.vault, who, **webhook, if_match=None, now=NOW
        ),
        lambda: webhooks.ping_webhook(desk.database, who, **webhook, now=NOW),
        lambda: webhooks.list_deliveries(desk.database, who, **webhook, before=None, limit=9),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert webhooks.list_webhooks(*context, who, after=None, limit=9) == []
    # The second lock: the policies alone.
    with desk.database.staff(who.organisation_id) as conn:
        assert conn.execute("select count(*) from webhooks").fetchone() == (0,)
        assert conn.execute("select count(*) from deliveries").fetchone() == (0,)
    assert read(desk, made).description == ""


def test_delivery_of_another_webhook_is_not_replayed(desk, make):
    mine, theirs = make(desk.police), make(desk.operator)
    ping = webhooks.ping_webhook(desk.database, desk.operator, webhook_id=theirs.id, now=NOW)
    with pytest.raises(NotFound):
        webhooks.replay_delivery(
            desk.database, desk.police, webhook_id=mine.id, delivery_id=ping.id, now=NOW
        )


def test_webhook_whose_key_is_lost_is_told_as_such_and_hides_no_other(desk, make, claim, record):
    lost, well = make(desk.police), make(desk.police)
    desk.do("update webhooks set wrapped_key = '\\x01' where id = %s", lost.id)
    context = desk.database, desk.vault, desk.police
    found = webhooks.list_webhooks(*context, after=None, limit=9)
    assert [(one.id, one.url, one.state, one.disabled_reason) for one in found] == [
        (lost.id, None, "disabled", "unreadable"),
        (well.id, VALUES["url"], "active", None),
    ]
    assert read(desk, lost).disabled_reason == "unreadable"
    which = {"webhook_id": lost.id, "if_match": None, "now": NOW}
    for attempt in (
        lambda: webhooks.edit_webhook(
            *context, **which, values={"url": "https://new.example/"}, loopback_ports=()
        ),
        lambda: webhooks.rotate_secret(*context, **which, overlap=timedelta(hours=1)),
        lambda: webhooks.enable_webhook(*context, **which),
    ):
        with pytest.raises(StateConflict, match="delete it and make it anew"):
            attempt()
    # What waits for it is given up by name, and what waits for the other goes out.
    ping(desk, lost)
    ping(desk, well)
    given_up, sent = sorted(claim(), key=lambda one: one.target is not None)
    assert record(given_up, Webhooks(Guard()).send(given_up)).status == "failed"
    assert sent.target.id == well.id
    assert [one.attempts[0].detail for one in log(desk, lost)] == ["address_unreadable"]
    webhooks.delete_webhook(desk.database, desk.vault, desk.police, **which)
    assert [one.id for one in webhooks.list_webhooks(*context, after=None, limit=9)] == [well.id]


def test_key_of_no_organisation_has_no_webhooks(make):
    with pytest.raises(NotAllowed):
        make(Principal(kind=Kind.CLIENT, name="An app"))


def test_client_of_an_organisation_has_them_like_its_staff(desk, make):
    app = Principal(
        kind=Kind.CLIENT, key_id=None, name="App", organisation_id=desk.police.organisation_id
    )
    assert read(desk, make(app), desk.police).url == VALUES["url"]


@pytest.mark.parametrize(
    "url", ["http://partner.example/", "https://10.0.0.1/", "https://u:p@partner.example/"]
)
def test_url_that_may_not_be_called_is_not_taken_down(desk, make, url):
    with pytest.raises(InvalidRequest) as why:
        make(desk.police, url=url)
    assert why.value.problems[0].pointer == "/url"


def test_organisation_has_a_limited_number(desk, make):
    for _ in range(MOST):
        make(desk.police)
    with pytest.raises(StateConflict):
        make(desk.police)
    make(desk.operator)


def test_change_of_something_older_is_refused(desk, make):
    made = make(desk.police)
    with pytest.raises(StaleVersion):
        webhooks.delete_webhook(
            desk.database,
            desk.vault,
            desk.police,
            webhook_id=made.id,
            if_match=made.version + 1,
            now=NOW,
        )


def test_url_and_secrets_are_sealed_and_can_be_sealed_anew(desk, make):
    made = make(desk.police)
    rotated = webhooks.rotate_secret(
        desk.database,
        desk.vault,
        desk.police,
        webhook_id=made.id,
        overlap=timedelta(hours=1),
        if_match=None,
        now=NOW,
    )
    (row,) = desk.rows("select * from webhooks")
    stored = repr({name: bytes(v) if isinstance(v, memoryview) else v for name, v in row.items()})
    for secret in (str(made.secret), str(rotated.secret), "s3cret"):
        assert secret not in stored
        assert base64.b64encode(secret.encode()).decode() not in stored
    assert read(desk, made).secret is None
    assert rotation.rewrap(desk.database, desk.vault, progress=lambda _line: None).failed == ()
    assert read(desk, made).url == VALUES["url"]


def test_deleted_webhook_leaves_nothing_waiting(desk, make, tell, claim, record):
    made = make(desk.police, event_types=["alert.created"])
    desk.report(P2)
    tell()
    (flying,) = claim()
    webhooks.delete_webhook(
        desk.database, desk.vault, desk.police, webhook_id=made.id, if_match=None, now=NOW
    )
    record(flying, DELIVERED)
    assert desk.rows("select from deliveries where channel = 'webhook' and status = 'queued'") == []
    assert desk.rows("select from webhooks") == []
    assert claim(now=NOW + timedelta(days=1)) == []


def test_ping_is_signed_by_both_secrets_and_its_replay_has_the_same_id(desk, make, claim, record):
    now = datetime.now(UTC)
    with receiving(answer(500), answer(204), answer(200)) as receiver:
        made = make(
            desk.police, url=f"http://127.0.0.1:{receiver.port}/hook", ports=(receiver.port,)
        )
        new = webhooks.rotate_secret(
            desk.database,
            desk.vault,
            desk.police,
            webhook_id=made.id,
            overlap=timedelta(hours=1),
            if_match=None,
            now=now,
        )
        channel = Webhooks(Guard(loopback_ports=(receiver.port,)))
        webhooks.ping_webhook(desk.database, desk.police, webhook_id=made.id, now=now)
        (first,) = claim(now=now)
        following = record(first, channel.send(first), now=now)
        (second,) = claim(now=following.at)
        record(second, channel.send(second), now=following.at)
        (delivery,) = log(desk, made)
        assert [one.answered for one in delivery.attempts] == [500, 204]
        webhooks.replay_delivery(
            desk.database, desk.police, webhook_id=made.id, delivery_id=delivery.id, now=now
        )
        # After the overlap the new secret signs alone.
        (third,) = claim(now=now + timedelta(hours=2))
        record(third, channel.send(third), now=now)
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    assert receiver.received[0].headers["content-type"] == "application/json"
    assert new.secret
    for number, one in enumerate(receiver.received):
        Verifier(str(new.secret)).verify(one.body, dict(one.headers))
        signatures = one.headers["webhook-signature"].split(" ")
        assert len(signatures) == (2 if number < 2 else 1)
        if number < 2:
            Verifier(str(made.secret)).verify(one.body, dict(one.headers))
    assert json.loads(receiver.received[0].body)["type"] == "webhook.ping"
    assert [one.status for one in log(desk, made)] == ["delivered", "delivered"]
