"""Devices that get push messages: subscribed, listed, signed out.

A device is an address of a team or a hub on the channel `web_push`, and a person's: it is told what
the recipient is told, whether or not that person is at work. It ends with the key that it was
subscribed with.
"""

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg import Connection
from uuid_utils import uuid7

from waylight.config import Settings
from waylight.db import events
from waylight.db import push as db
from waylight.db.session import Database
from waylight.domain.alerts import Named
from waylight.domain.endpoints import problem_with
from waylight.domain.errors import InvalidRequest, NotFound, NotSignedIn, Problem, StateConflict
from waylight.domain.principals import Principal
from waylight.domain.push import DEVICES_AT_MOST, Device, NewDevice, rests_for_s
from waylight.log import get_logger
from waylight.services.addresses import fingerprints
from waylight.services.staff import organisation_of
from waylight.vault import Vault, VaultError

log = get_logger(__name__)


@dataclass(frozen=True)
class Subscribed:
    """A device, and whether it is new."""

    device: Device
    is_new: bool


def public_key(settings: Settings, vault: Vault) -> str:
    """The key that a browser subscribes with. Raises NotFound where nothing is pushed."""
    if db.CHANNEL not in settings.channels or not vault.push_keys:
        raise NotFound(
            "Nothing is pushed here: the operator puts web_push into WAYLIGHT_CHANNELS and sets"
            " WAYLIGHT_VAPID_KEYS."
        )
    return vault.push_keys[0]


def subscribe(
    database: Database,
    vault: Vault,
    settings: Settings,
    principal: Principal,
    *,
    device: NewDevice,
    now: datetime,
) -> Subscribed:
    """Sends what a team or a hub is told to a device as well, from the next message on.

    A device that this person has subscribed for this recipient is written anew. One that was
    another person's is theirs no more, if the caller knows its keys, as only that device does.
    Raises InvalidRequest, StateConflict for one device too many and for one that is another's,
    NotSignedIn when the caller's key has ended meanwhile, NotFound where nothing is pushed.
    """
    in_use = public_key(settings, vault)
    owner = _owner(principal)
    _check(device, vault, settings, now=now)
    found_by = fingerprints(vault, db.CHANNEL, device.endpoint)
    with database.intake() as conn:
        there = {
            row["id"]: (row["staff_id"], _opened(vault, row))
            for row in db.same_device(conn, found_by)
        }
        key_ends = db.key_ends(conn, owner.key_id)
    vapid = device.public_key or next((one["vapid"] for _, one in there.values() if one), in_use)
    _check_key(vapid, vault)
    proved = [
        row_id
        for row_id, (staff_id, address) in there.items()
        if staff_id != owner.staff_id and _is_same(address, device)
    ]
    ends = min((one for one in (device.expires_at, key_ends) if one), default=None)
    with database.staff(owner.organisation_id) as conn:
        _check_recipient(conn, owner, device)
        _take(conn, owner, found_by, proved=proved, now=now)
        mine = db.own_row(conn, owner, found_by, team_id=device.team_id, hub_id=device.hub_id)
        if mine is None and len(db.page(conn, owner, now=now)) >= DEVICES_AT_MOST:
            raise StateConflict(
                f"You have {DEVICES_AT_MOST} devices, which is the most: delete one first."
            )
        device_id = mine or UUID(bytes=uuid7().bytes)
        db.keep(
            conn,
            owner,
            _sealed(vault, device_id, found_by[0], device, vapid=vapid),
            name=device.name,
            team_id=device.team_id,
            hub_id=device.hub_id,
            expires_at=ends,
            now=now,
        )
        events.write(conn, _event(owner, device_id, device, is_new=mine is None, now=now))
        row = db.find(conn, owner, device_id, now=now)
    if row is None:
        raise NotFound
    return Subscribed(_device(vault, row, in_use=in_use, now=now), is_new=mine is None)


def list_devices(
    database: Database, vault: Vault, principal: Principal, *, now: datetime
) -> list[Device]:
    """The caller's devices, the oldest first. Raises NotAllowed for a caller who is not staff."""
    owner = _owner(principal)
    with database.staff(owner.organisation_id) as conn:
        rows = db.page(conn, owner, now=now)
    in_use = vault.push_keys[0] if vault.push_keys else ""
    return [_device(vault, row, in_use=in_use, now=now) for row in rows]


def unsubscribe(
    database: Database, principal: Principal, *, device_id: UUID, now: datetime
) -> None:
    """Sends a device of the caller nothing any more, what is queued for it included.

    Raises NotFound for every other device.
    """
    owner = _owner(principal)
    with database.staff(owner.organisation_id) as conn:
        if db.find(conn, owner, device_id, now=now) is None:
            raise NotFound
        db.end(conn, [device_id], reason="unsubscribed", now=now)


def _owner(principal: Principal) -> db.Owner:
    organisation_id = organisation_of(principal)
    if principal.staff_id is None or principal.key_id is None:
        raise NotSignedIn
    return db.Owner(organisation_id, principal.staff_id, principal.key_id)


def _check(device: NewDevice, vault: Vault, settings: Settings, *, now: datetime) -> None:
    problems = []
    unfit = problem_with(device.endpoint, loopback_ports=settings.allowed_loopback_ports)
    if unfit is None and "[" in device.endpoint:
        # The origin of a number in brackets cannot be signed for (py_vapid), and none is a service.
        unfit = "not_public", "Must be the endpoint of a push service, by name."
    if unfit is not None:
        problems.append(Problem("/endpoint", *unfit))
    if not vault.is_public_key(device.p256dh):
        problems.append(Problem("/keys/p256dh", "invalid_key", "Must be a point of P-256."))
    if device.expires_at is not None and device.expires_at <= now:
        problems.append(
            Problem("/expirationTime", "in_the_past", "It has expired: subscribe again.")
        )
    if (device.team_id is None) == (device.hub_id is None):
        problems.append(Problem("/team", "one_recipient", "Name a `team` or a `hub`."))
    if problems:
        raise InvalidRequest(problems=problems)


def _check_key(public: str, vault: Vault) -> None:
    if public not in vault.push_keys:
        raise InvalidRequest(
            problems=[
                Problem(
                    "/application_server_key",
                    "unknown_key",
                    "It subscribed with a key that is not in use here: unsubscribe in the browser"
                    " and subscribe again with that of GET /v1/push/key.",
                )
            ]
        )


def _check_recipient(conn: Connection[Any], owner: db.Owner, device: NewDevice) -> None:
    if not db.recipient_exists(
        conn, owner.organisation_id, team_id=device.team_id, hub_id=device.hub_id
    ):
        noun = "team" if device.team_id else "hub"
        raise InvalidRequest(
            problems=[
                Problem(f"/{noun}", f"unknown_{noun}", f"Your organisation has no such {noun}.")
            ]
        )


def _take(
    conn: Connection[Any],
    owner: db.Owner,
    found_by: Sequence[bytes],
    *,
    proved: Sequence[UUID],
    now: datetime,
) -> None:
    taken = db.take(conn, owner, found_by, proved=proved, now=now)
    if taken == "signed_out":
        raise NotSignedIn
    if taken == "contested":
        raise StateConflict(
            "This endpoint is another person's device, with other keys: unsubscribe in the browser"
            " and subscribe again, which makes a new one."
        )


def _opened(vault: Vault, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What is sealed of a device; None where it cannot be read."""
    try:
        text = vault.open(
            row["id"], row["key_version"], row["wrapped_key"], "address", row["address"]
        )
    except VaultError:
        log.exception("address_unreadable", address_id=str(row["id"]))
        return None
    found: Mapping[str, Any] = orjson.loads(text)
    return found


def _is_same(address: Mapping[str, Any] | None, device: NewDevice) -> bool:
    """Whether a device has the keys of one that is known: only the browser itself knows them."""
    if address is None:
        return False
    return hmac.compare_digest(address["auth"], _base64url(device.auth)) and hmac.compare_digest(
        address["p256dh"], _base64url(device.p256dh)
    )


def _sealed(
    vault: Vault, device_id: UUID, fingerprint: bytes, device: NewDevice, *, vapid: str
) -> db.SealedAddress:
    address = {
        "endpoint": device.endpoint,
        "p256dh": _base64url(device.p256dh),
        "auth": _base64url(device.auth),
        "vapid": vapid,
    }
    sealed = vault.seal(device_id, {"address": orjson.dumps(address).decode()})
    return db.SealedAddress(
        id=device_id,
        key_version=sealed.key_version,
        wrapped_key=sealed.wrapped_key,
        address=sealed.ciphertexts["address"],
        fingerprint=fingerprint,
    )


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _event(
    owner: db.Owner, device_id: UUID, device: NewDevice, *, is_new: bool, now: datetime
) -> events.Event:
    recipient = "team_id" if device.team_id else "hub_id"
    return events.Event(
        "device.subscribed",
        now,
        organisation_id=owner.organisation_id,
        staff_id=owner.staff_id,
        data={
            "device_id": str(device_id),
            "channel": db.CHANNEL,
            recipient: str(device.team_id or device.hub_id),
            "new": is_new,
        },
    )


def _device(vault: Vault, row: Mapping[str, Any], *, in_use: str, now: datetime) -> Device:
    address = _opened(vault, row)
    rests = rests_for_s(row["rests_until"], now=now) is not None
    return Device(
        id=row["id"],
        name=row["name"],
        team=Named(row["team_id"], row["team"]) if row["team_id"] else None,
        hub=Named(row["hub_id"], row["hub"]) if row["hub_id"] else None,
        created_at=row["created_at"],
        last_sent_at=row["last_sent_at"],
        expires_at=row["expires_at"],
        renew=address is None or address["vapid"] != in_use,
        rests_until=row["rests_until"] if rests else None,
    )
