"""Devices of staff, what is sent to them and what came of it."""

from dataclasses import replace
from datetime import timedelta

from tests.desk import NOW
from tests.push_service import Browser, from_base64url, point
from waylight.domain.alerts import RESTS, Outcome, Result
from waylight.domain.push import NewDevice
from waylight.services import alerts, push
from waylight.vault import Vault

LATER = NOW + timedelta(seconds=5)
TIMED_OUT = Outcome(Result.FAILED, "timed_out")
PRIVATE, PUBLIC = Vault.new_push_key()
NEW_PRIVATE, NEW_PUBLIC = Vault.new_push_key()


def with_keys(desk, *private):
    settings = replace(
        desk.settings,
        channels=("console", "web_push"),
        vapid_keys=tuple(map(from_base64url, private)),
        vapid_subject="mailto:desk@waylight.example",
    )
    return replace(desk, settings=settings, vault=Vault(settings))


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
