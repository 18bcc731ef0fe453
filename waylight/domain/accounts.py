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
