"""Where a team or a hub is reached: a telephone, a mailbox."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from waylight.domain.alerts import Named

MOST = 50
"""Addresses of one team or hub: one urgent report is a message to each."""

LONGEST_EMAIL = 254
"""Characters of an address that mail servers carry (RFC 5321, 4.5.3.1.3)."""

HIDDEN = "\N{HORIZONTAL ELLIPSIS}"

_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)


class Medium(StrEnum):
    """The channels whose addresses staff type in."""

    SMS = "sms"
    EMAIL = "email"


class AddressState(StrEnum):
    """Whether messages go there. `gone`: its provider said that it does not exist, or no longer."""

    ACTIVE = "active"
    PAUSED = "paused"
    GONE = "gone"


@dataclass(frozen=True)
class Address:
    """One address as its organisation sees it: by its label, never in full.

    `person` is whose telephone or mailbox it is, where it is one person's.
    """

    id: UUID
    version: int
    channel: str
    name: str
    shown: str
    language: str
    state: AddressState
    team: Named | None
    hub: Named | None
    person: Named | None
    created_at: datetime
    last_sent_at: datetime | None


def normal_email(text: str) -> str | None:
    """An e-mail address as it is kept; None for a text that is none.

    A local part of ASCII in at most 64 characters, without quotes, and a domain with a dot (RFC
    5321 and 1035). The domain is in lower case; the local part stays as it was typed.
    """
    local, at, domain = text.strip().rpartition("@")
    # Case is ignored below, and the Kelvin sign is a K then: another mailbox would be Kim's.
    if not (local + domain).isascii():
        return None
    labels = domain.lower().split(".")
    if not at or len(local) > 64 or len(local) + 1 + len(domain) > LONGEST_EMAIL:
        return None
    if not _LOCAL.fullmatch(local) or len(labels) < 2 or labels[-1].isdigit():
        return None
    if not all(_LABEL.fullmatch(label) for label in labels):
        return None
    return f"{local}@{'.'.join(labels)}"


def masked(channel: str, address: str) -> str:
    """Enough of an address to tell it from its neighbours, too little to use."""
    if channel == Medium.SMS:
        return address[:3] + HIDDEN + address[-3:]
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}{HIDDEN}@{domain}"
