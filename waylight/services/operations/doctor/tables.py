"""What the tables are asked: is there work for somebody, does it get done, do the keys fit."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from waylight.ids import wire_id
from waylight.services.identity_providers import party_of
from waylight.services.operations.doctor.finding import Finding, State
from waylight.services.operations.health import WORKER_SILENCE
from waylight.services.webhooks.managing import url_of
from waylight.vault import Keyring, Vault, VaultError

HORIZON = timedelta(days=7)
"""Hours, shifts and partitions must reach this far; a worker keeps them weeks ahead."""

CONTACTS_KEPT_FOR = timedelta(days=90)
"""Emergency contacts that nobody has looked at for longer are not to be trusted."""


FAILS_FOR = timedelta(days=1)
"""How long an endpoint may fail before its owner should hear of it from somebody."""

NAMED = 10
"""Webhooks that are named; the rest are counted."""


def _cities(state: State, _now: datetime) -> Finding:
    if state["cities"] == 0:
        return Finding("cities", "none is loaded", "run `waylight load data/london`")
    if state["without_control_room"]:
        return Finding(
            "cities",
            f"{state['without_control_room']} without a control room: nobody is the last resort",
            "name one in the pack's city.yaml and load the pack again",
        )
    return Finding("cities")


def _worker(state: State, now: datetime) -> Finding:
    last = state["last_beat"]
    if last is None or now - last > WORKER_SILENCE:
        heard = f"the last one was heard of at {last:%Y-%m-%d %H:%M:%S}Z" if last else "none ever"
        return Finding(
            "worker", f"none lives ({heard}): nobody is alerted", "run `waylight worker`"
        )
    if state["silent_workers"]:
        return Finding(
            "worker",
            f"fell silent without a goodbye: {', '.join(state['silent_workers'])}",
            "look at its log and start it again there; one that is gone for good is forgotten"
            " within the hour",
        )
    return Finding("worker")


def _queues(state: State, _now: datetime) -> Finding:
    late = [
        f"{state[name]} {what}"
        for name, what in (
            ("deliveries_late", "deliveries"),
            ("climbs_late", "ladders"),
            ("events_late", "events"),
            ("unrouted", "unrouted reports"),
        )
        if state[name]
    ]
    if late:
        return Finding(
            "queues",
            f"{', '.join(late)} wait for a worker",
            "see the worker's log; run more workers",
        )
    return Finding("queues")


def _unanswered(state: State, _now: datetime) -> Finding:
    if state["unanswered"]:
        return Finding(
            "unanswered alerts",
            f"{state['unanswered']} incidents: all have been told, and nobody has answered",
            "call the control room; one of its people acknowledges or closes each (`unanswered_at`"
            " in GET /v1/alerts)",
        )
    return Finding("unanswered alerts")


def _hours(state: State, _now: datetime) -> Finding:
    short = [
        f"{state[name]} {what}"
        for name, what in (("hubs_unexpanded", "hubs"), ("teams_unexpanded", "teams"))
        if state[name]
    ]
    if short:
        return Finding(
            "opening hours and shifts",
            f"known for less than {HORIZON.days} days: {' and '.join(short)}",
            "a living worker expands them within a minute; see its log",
        )
    return Finding("opening hours and shifts")


def _partitions(state: State, now: datetime) -> Finding:
    if not state["partition_soon"]:
        return Finding(
            "partitions",
            f"none for reports of {now + HORIZON:%B}: they go to the default partition",
            "a living worker makes them within the hour; see its log",
        )
    return Finding("partitions")


def _contacts(state: State, now: datetime) -> Finding:
    verified = state["contacts_verified_at"]
    if state["cities"] and (
        state["contacts_unverified"] or now.date() - verified > CONTACTS_KEPT_FOR
    ):
        return Finding(
            "emergency contacts",
            f"last verified {verified or 'never'}, more than {CONTACTS_KEPT_FOR.days} days ago"
            if verified
            else "never verified",
            "call each number in the pack's contacts.yaml, set verified_at, load the pack again",
        )
    return Finding("emergency contacts")


def _addresses(state: State, _now: datetime) -> Finding:
    names = state["teams_unreached"]
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return Finding(
            "addresses",
            f"{len(names)} teams are reached on no channel in use, and told only who looks:"
            f" {', '.join(names[:3])}{more}",
            "give each a device, a telephone or a mailbox on a channel of WAYLIGHT_CHANNELS"
            " (docs/channels.md)",
        )
    return Finding("addresses")


def _push(state: State, _now: datetime) -> Finding:
    if state["pushes_unsigned"]:
        return Finding(
            "web push",
            f"{state['pushes_unsigned']} messages of the last hour went nowhere: push services do"
            " not take our signature, or the key that a device subscribed with is gone",
            "set this machine's clock, put the key before this one back behind it in"
            " WAYLIGHT_VAPID_KEYS, and see that WAYLIGHT_VAPID_SUBJECT is an address of yours",
        )
    return Finding("web push")


LOOKS: tuple[Callable[[State, datetime], Finding], ...] = (
    _cities,
    _worker,
    _queues,
    _unanswered,
    _hours,
    _partitions,
    _contacts,
    _addresses,
    _push,
)


def vault_keys(sample: Sequence[State], vault: Vault) -> Finding:
    """Whether the stories of a sample open with the keys at hand."""
    closed: list[int] = []
    for row in sample:
        try:
            _open(row, vault)
        except VaultError:
            closed.append(row["key_version"])
    if closed:
        versions = ", ".join(str(version) for version in sorted(set(closed)))
        return Finding(
            "vault keys",
            f"{len(closed)} of {len(sample)} stories tried cannot be opened (key {versions})",
            f"put the key that was version {versions} back into WAYLIGHT_VAULT_KEYS, from where"
            " secrets are kept; without it these stories are lost",
        )
    return Finding("vault keys")


def _open(row: State, vault: Vault) -> None:
    """Opens the report's own key, and one text if there is any. Raises VaultError."""
    vault.rewrap(row["report_id"], row["key_version"], row["wrapped_key"])
    if row["ciphertext"] is not None:
        vault.open(
            row["report_id"],
            row["key_version"],
            row["wrapped_key"],
            row["field"],
            row["ciphertext"],
        )


def receipt_keys(sample: Sequence[State], vault: Vault) -> Finding:
    """Whether the receipts of a sample are recognised with the keys at hand."""
    foreign = [row["key_version"] for row in sample if not _is_ours(row, vault)]
    if foreign:
        versions = ", ".join(str(version) for version in sorted(set(foreign)))
        return Finding(
            "receipt keys",
            f"{len(foreign)} of {len(sample)} receipts tried are not recognised (key {versions}):"
            " their passengers cannot come back",
            f"put the key that was version {versions} back into WAYLIGHT_RECEIPT_KEYS",
        )
    return Finding("receipt keys")


def support_keys(sample: Sequence[State], vault: Vault, *, services: int) -> Finding:
    """Whether what support workers wrote opens with the keys at hand, and they can write at all."""
    if vault.support is None and (services or sample):
        return Finding(
            "support keys",
            "there is none here: the store of support services is shut to this process",
            "leave it so where no support service is served; else put the key that there is into"
            " WAYLIGHT_SUPPORT_KEYS, the first time one of `waylight secrets new support`",
            warning=True,
        )
    closed = [row["key_version"] for row in sample if not _opens(row, vault.support)]
    if closed:
        versions = ", ".join(map(str, sorted(set(closed))))
        return Finding(
            "support keys",
            f"{len(closed)} of {len(sample)} cases tried cannot be opened (key {versions}): their"
            " support workers read nothing and write nothing",
            f"put the key that was version {versions} back into WAYLIGHT_SUPPORT_KEYS, from where"
            " secrets are kept; without it these notes are lost",
        )
    return Finding("support keys")


def _opens(row: State, ring: Keyring | None) -> bool:
    try:
        return bool(ring and ring.rewrap(row["id"], row["key_version"], row["wrapped_key"]))
    except VaultError:
        return False


def webhooks(rows: Sequence[State], vault: Vault, *, now: datetime) -> Finding:
    """Whether partners can be told: which endpoints were given up, and which cannot be opened.

    Each by its organisation and its id: a URL may be a password.
    """
    closed = [row for row in rows if url_of(vault, row) is None]
    if closed:
        versions = ", ".join(map(str, sorted({row["key_version"] for row in closed})))
        return Finding(
            "webhooks",
            f"{len(closed)} cannot be opened (key {versions}): {_named(closed, 'unreadable')}",
            f"put the key that was version {versions} back into WAYLIGHT_VAULT_KEYS; without it"
            " those organisations delete them and make them anew",
        )
    given_up = [row for row in rows if row["state"] == "disabled"]
    failing = [
        row
        for row in rows
        if row["state"] == "active"
        and row["failing_since"] is not None
        and now - row["failing_since"] > FAILS_FOR
    ]
    if given_up or failing:
        return Finding(
            "webhooks",
            f"{len(given_up)} are disabled, {len(failing)} have failed for more than a day:"
            f" {_named([*given_up, *failing], 'failing')}",
            "tell those organisations: the log of each says what their endpoint answered, and POST"
            " to its `enable` begins anew (docs/webhooks.md)",
            warning=True,
        )
    return Finding("webhooks")


def identity_providers(rows: Sequence[State], vault: Vault) -> Finding:
    """Whether the secrets of the enabled OpenID providers can be opened: else nobody signs in."""
    closed = [row for row in rows if row["enabled"] and not _has_readable_secret(row, vault)]
    if closed:
        versions = ", ".join(map(str, sorted({row["key_version"] for row in closed})))
        named = ", ".join(
            f"{row['organisation']}'s {wire_id('provider', row['id'])}" for row in closed[:NAMED]
        )
        return Finding(
            "identity providers",
            f"the secrets of {len(closed)} cannot be opened (key {versions}), and nobody signs in"
            f" by them: {named}",
            f"put the key that was version {versions} back into WAYLIGHT_VAULT_KEYS; without it"
            " those organisations delete them and make them anew",
        )
    return Finding("identity providers")


def _has_readable_secret(row: State, vault: Vault) -> bool:
    try:
        party_of(vault, row)
    except VaultError:
        return False
    return True


def _named(rows: Sequence[State], otherwise: str) -> str:
    said = [
        f"{row['organisation']}'s {wire_id('webhook', row['id'])}"
        f" ({row['disabled_reason'] or otherwise})"
        for row in rows[:NAMED]
    ]
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return ", ".join(said) + more


def _is_ours(row: State, vault: Vault) -> bool:
    try:
        receipt = vault.receipt_for(row["report_id"], row["key_version"])
    except VaultError:
        return False
    return bytes(row["hash"]) in vault.receipt_hashes(receipt).hashes
