"""Who is calling."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Kind(StrEnum):
    """The kinds of caller that a route can name."""

    NOBODY = "nobody"
    PASSENGER = "passenger"
    STAFF = "staff"
    CLIENT = "client"
    PROVIDER = "provider"
    """A provider of messages; with a person: who answered through it, and was shown nothing."""


@dataclass(frozen=True)
class Principal:
    """A caller. Staff always have an organisation and a person; a client may have neither."""

    kind: Kind
    key_id: UUID | None = None
    name: str | None = None
    organisation_id: UUID | None = None
    staff_id: UUID | None = None
    role: str | None = None
    """The word that passengers read of this person."""
    roles: tuple[str, ...] = ()
    """Those by which this person acts, for the audit log."""
    scopes: frozenset[str] = frozenset()
    allowed_origins: frozenset[str] = frozenset()
    """The pages that a client's key may be used from; none: from no page."""
    receipt: str | None = None
    is_session: bool = False
    """Signed in with an account; else with a key that goes on until it is revoked."""
    must_enrol: bool = False
    """Nothing is open to this person before their second factor is set up."""
    must_prove: bool = False
    """Nothing is open to this person before a code of their second factor: a provider signed them
    in that vouches for none."""
    identity_provider_id: UUID | None = None
    """The OpenID provider that signed them in."""
    fresh_until: datetime | None = None
    """Until when the session counts as its person's own hand; None when it does not."""

    def is_fresh(self, *, now: datetime) -> bool:
        """Whether this person has proved lately who they are. A key proves it by being held."""
        if not self.is_session:
            return True
        proved = self.fresh_until is not None and now < self.fresh_until
        return proved and not self.must_prove

    def may(self, scope: str) -> bool:
        """Whether the caller's key carries `scope`."""
        return scope in self.scopes


NOBODY = Principal(kind=Kind.NOBODY)
