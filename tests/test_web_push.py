"""Push messages the whole way: a device, a report, a worker, a push service, a browser."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.desk import P1, P2, open_desk
from tests.proxy import soon
from tests.push_service import from_base64url, point, push_service
from tests.receivers import answer, drip
from waylight import worker
from waylight.channels import open_channels
from waylight.channels import web_push as channel
from waylight.channels.guard import Guard
from waylight.domain.push import DEVICES_AT_MOST, NewDevice
from waylight.services import keys, push
from waylight.services.context import Waylight
from waylight.vault import Vault

pytestmark = pytest.mark.commits

PRIVATE, _ = Vault.new_push_key()
PATIENCE_S = 300
TOTAL_S = channel.TOTAL_S


class Walk:
    """A desk that pushes to one service, with its worker."""

    def __init__(self, database, settings, service, *, ports=()):
        self.settings = replace(
            settings,
            channels=("web_push",),
            vapid_keys=(from_base64url(PRIVATE),),
            vapid_subject="mailto:desk@waylight.example",
            allowed_loopback_ports=(service.port, *ports),
            base_url="https://waylight.example",
            worker_poll_s=0.01,
        )
        self.vault = Vault(self.settings)
        self.desk = open_desk(database, self.vault, self.settings)
        self.service = service
        context = Waylight(self.settings, database, self.vault)
        self.worker = worker.Worker(context, channels=open_channels(self.settings))

    def sign_in(self, organisation, person, role="officer"):
        issued = keys.create_staff_key(
            self.desk.database,
            self.vault,
            organisation=organisation,
            person=person,
            role=role,
            scopes=("alerts:read", "alerts:act"),
            now=datetime.now(UTC),
        )
        found = keys.authenticate(
            self.desk.database, self.vault, issued.token, now=datetime.now(UTC)
        )
        assert found is not None
        return found

    def device(self, who, name, team_id, *, service=None):
        browser = (service or self.service).browser(name)
        device = NewDevice(
            endpoint=browser.endpoint,
            p256dh=point(browser.private),
            auth=browser.auth,
            name=name,
            team_id=team_id,
        )
        return push.subscribe(
            self.desk.database,
            self.vault,
            self.settings,
            who,
            device=device,
            now=datetime.now(UTC),
        )

    def report(self, report=P2):
        return self.desk.report(report, now=datetime.now(UTC))

    def work(self):
        self.worker.turn()
        assert self.worker._senders.wait(PATIENCE_S)


@pytest.fixture
def walk(database, settings, monkeypatch):
    # None is let go before its time: a busy machine is no push service that does not answer.
    monkeypatch.setattr(channel, "TOTAL_S", 120.0)

    def walk(service, **kwargs):
        return Walk(database, settings, service, **kwargs)

    return walk


def test_report_reaches_the_browser_and_the_word_that_it_is_over_replaces_it(walk):
    with push_service() as service:
        on = walk(service)
        robin = on.sign_in("police", "Robin")
        casey = on.sign_in("control", "Casey", "controller")
        on.device(robin, "robin", on.desk.first)
        on.device(casey, "casey", on.desk.room)
        on.report(P1)
        on.work()
        told = {pushed.path: pushed for pushed in service.pushed}
        assert set(told) == {"/push/robin", "/push/casey"}
        said = told["/push/casey"].said
        assert (said["type"], said["priority"]) == ("alert.created", "at_once")
        assert said["link"] == f"https://waylight.example/v1/alerts/{said['alert']}"
        for word in ("followed", "He follows me", "pursuit", "51.5", "First", "Room"):
            assert word.encode() not in told["/push/robin"].text

        alert = on.desk.alert_of(on.desk.first)
        on.desk.acknowledge(robin, alert, now=datetime.now(UTC))
        on.work()
        over = service.pushed[-1]
        assert over.path == "/push/casey"
        assert over.said["type"] == "alert.withdrawn"
        assert over.headers["topic"] == told["/push/casey"].headers["topic"]
    # Nobody confirms a push: it is sent, and seen once Robin has opened the alert.
    rows = on.desk.rows("select status from deliveries order by status")
    assert [row["status"] for row in rows] == ["seen", "sent", "sent"]


def test_device_whose_service_says_gone_is_pushed_to_no_more(walk):
    with push_service(answer(410)) as service:
        on = walk(service)
        robin = on.sign_in("police", "Robin")
        on.device(robin, "robin", on.desk.first)
        on.report()
        on.work()
        on.report(P1)
        on.work()
        assert service.receiver.connections == 1
    assert on.desk.rows("select state from addresses") == [{"state": "gone"}]
    assert push.list_devices(on.desk.database, on.vault, robin, now=datetime.now(UTC)) == []


def test_device_that_was_signed_out_is_not_connected_to(walk):
    with push_service() as service:
        on = walk(service)
        robin = on.sign_in("police", "Robin")
        on.device(robin, "robin", on.desk.first)
        on.report()
        keys.revoke_key(on.desk.database, on.desk.vault, robin.key_id, now=datetime.now(UTC))
        on.work()
        on.report(P1)
        on.work()
        assert service.receiver.connections == 0
    (told,) = on.desk.rows("select status, detail from deliveries")
    assert told == {"status": "failed", "detail": "address_unreadable"}


def test_service_that_is_busy_is_asked_again_and_every_attempt_says_why(walk):
    with push_service(answer(503), answer(201)) as service:
        on = walk(service)
        on.device(on.sign_in("police", "Robin"), "robin", on.desk.first)
        on.report()
        on.work()
        on.desk.do("update deliveries set next_attempt_at = now()")
        on.work()
        first, second = service.pushed
        assert first.said == second.said
        assert first.headers["topic"] == second.headers["topic"]
    kept = on.desk.rows("select outcome, detail from delivery_attempts order by attempt")
    assert kept == [
        {"outcome": "failed", "detail": "push_service_503"},
        {"outcome": "sent", "detail": None},
    ]


def test_push_services_that_drip_keep_no_alert_from_a_colleague(walk):
    said = drip(b"HTTP/1.1 201 Created\r\nX-Slow: ")
    with push_service() as service, push_service(said, forever=True) as tarpit:
        on = walk(service, ports=(tarpit.port,))
        mallory, robin = on.sign_in("police", "Mallory"), on.sign_in("police", "Robin")
        for number in range(DEVICES_AT_MOST):
            on.device(mallory, f"phone-{number}", on.desk.first, service=tarpit)
        on.report(P1)
        on.device(robin, "robin", on.desk.first)
        on.report(P2)

        def told():
            on.worker.turn()
            return service.pushed

        soon(told)
        # Robin has it while two of Mallory's twenty devices hang and none has timed out yet.
        assert tarpit.receiver.connections == 2
        assert {
            row["outcome"] for row in on.desk.rows("select outcome from delivery_attempts")
        } <= {"sent"}


def test_message_has_five_seconds_in_all(walk, monkeypatch):
    given = []

    def guard(**how):
        given.append(how["total_s"])
        return Guard(**how)

    monkeypatch.setattr(channel, "Guard", guard)
    with push_service() as service:
        walk(service)
    assert (TOTAL_S, given) == (5.0, [channel.TOTAL_S])
