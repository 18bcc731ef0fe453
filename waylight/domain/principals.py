"""Who is calling."""

from dataclasses import dataclass
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
    scopes: frozenset[str] = frozenset()
    receipt: str | None = None

    def may(self, scope: str) -> bool:
        """Whether the caller's key carries `scope`."""
        return scope in self.scopes


NOBODY = Principal(kind=Kind.NOBODY)
