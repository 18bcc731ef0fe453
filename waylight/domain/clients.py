"""API clients: programs of an organisation, and the pages and the time their keys are good for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

MOST = 50
"""Live clients of one organisation."""

MOST_ORIGINS = 20

OVERLAP = timedelta(days=1)
LONGEST_OVERLAP = timedelta(days=30)
"""How long the token before works beside a new one: by default, and at most."""

ACCESS_TOKEN_LASTS = timedelta(minutes=15)
"""An OAuth access token: nobody need revoke one that leaked yesterday."""

_HOST = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
_PORT = r"(?::(?P<port>[1-9][0-9]{0,4}))?"
_ORIGIN = re.compile(
    rf"https://(?:{_HOST}|\[[0-9a-f:.]{{2,45}}\]){_PORT}", re.ASCII | re.IGNORECASE
)
_AT_HOME = re.compile(
    rf"http://(?:localhost|127\.0\.0\.1|\[::1\]){_PORT}", re.ASCII | re.IGNORECASE
)


class ClientState(StrEnum):
    """Whether a client may call."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class Client:
    """A program that may call for an organisation. `token` is there once: where it was made."""

    id: UUID
    organisation_id: UUID
    name: str
    scopes: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    state: ClientState
    created_at: datetime
    expires_at: datetime | None
    last_used_on: date | None
    rotated_at: datetime | None
    old_token_until: datetime | None
    revoked_at: datetime | None
    version: int
    token: str | None = None


def origin(text: str) -> str:
    """An origin as browsers write it: small letters, no default port, no path.

    Raises ValueError for anything but `https:` with a host, or `http:` with this machine.
    """
    found = _ORIGIN.fullmatch(text) or _AT_HOME.fullmatch(text)
    if found is None or int(found["port"] or 0) > 65_535:
        msg = "This must be an origin with https: and no path, like https://app.example."
        raise ValueError(msg)
    written = text.lower()
    default = ":443" if written.startswith("https") else ":80"
    return written.removesuffix(default) if found["port"] else written


def state_of(
    *, expires_at: datetime | None, revoked_at: datetime | None, now: datetime
) -> ClientState:
    """Whether it may call."""
    if revoked_at is not None:
        return ClientState.REVOKED
    if expires_at is not None and expires_at <= now:
        return ClientState.EXPIRED
    return ClientState.ACTIVE


def not_held(scopes: Iterable[str], held: Iterable[str]) -> list[str]:
    """Those scopes that somebody cannot give, for they have not got them."""
    return sorted(set(scopes) - set(held))
