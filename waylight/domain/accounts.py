"""Accounts of staff and their sessions, as services give them out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

INVITED_FOR = timedelta(hours=24)
"""How long an invitation can be used. Once."""

FRESH_FOR = timedelta(minutes=10)
"""How long a session counts as its person's own hand after they proved it."""

RECOVERY_CODES = 10


@dataclass(frozen=True)
class Account:
    """How one person signs in, without anything that they sign in with."""

    id: UUID
    """Of the person."""
    organisation_id: UUID
    version: int
    name: str
    job: str
    email: str | None
    """None where it cannot be opened any more."""
    roles: tuple[str, ...]
    has_password: bool
    totp_since: datetime | None
    invited_until: datetime | None
    disabled_at: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class Invitation:
    """An invitation at the only moment when its token can be read."""

    token: str
    expires_at: datetime
    organisation: str


@dataclass(frozen=True)
class Session:
    """One session, as it is listed."""

    id: UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    is_current: bool


@dataclass(frozen=True)
class OpenedSession:
    """A session at the only moment when its token can be read."""

    token: str
    device: str
    expires_at: datetime
    idle_s: int
    scopes: tuple[str, ...]
    must_enrol: bool


def lacking_factor(
    *, is_demanded: bool, has_totp: bool, by_provider: bool, is_proved: bool
) -> tuple[bool, bool]:
    """Whether a session must have a second factor set up first, and whether its code is due.

    Whoever signs in with a password and has one set up has shown it. A provider signs in without,
    unless it vouches for one: then, or once the code was shown, the session `is_proved`.
    """
    if by_provider and is_proved:
        return False, False
    return is_demanded and not has_totp, by_provider and has_totp


@dataclass(frozen=True)
class ProviderSession:
    """A session that an OpenID provider opened, at the only moment when its token can be read."""

    token: str
    expires_at: datetime
    idle_s: int
    scopes: tuple[str, ...]
    must_enrol: bool
    must_prove: bool
    fresh_until: datetime | None


@dataclass(frozen=True)
class Throttle:
    """How often somebody may try: `free` times at once, then each time twice as late."""

    free: int
    longest_s: int


FROM_ADDRESS = Throttle(free=5, longest_s=900)
"""One account from one address, or from a device that its person has signed in with."""

ANYWHERE = Throttle(free=50, longest_s=3600)
"""One account from all addresses together, known devices aside: about 100 tries in the first day,
fewer later (NIST SP 800-63B-4 allows 100 in a row)."""

ALL_OF_ADDRESS = Throttle(free=100, longest_s=60)
"""All accounts from one address, known devices aside: a depot is one address."""
