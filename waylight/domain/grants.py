"""Grants as people see them: who may read a report, why, by whom, and who may take that back."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Cause(StrEnum):
    """Why an organisation may read a report."""

    ROUTING = "routing"
    CONSENT = "consent"
    HAND_OVER = "hand_over"
    OVERSIGHT = "oversight"


class Who(StrEnum):
    """Who gave a grant, or took it back."""

    ROUTING = "routing"
    PASSENGER = "passenger"
    STAFF = "staff"


@dataclass(frozen=True)
class Author:
    """Who it was. A person has a name for colleagues alone (`domain/properties`)."""

    who: Who
    organisation_id: UUID | None = None
    organisation: str | None = None
    person: str | None = None


@dataclass(frozen=True)
class Grant:
    """One grant of a report; `revoked_at` None while it holds."""

    organisation_id: UUID
    organisation: str
    cause: Cause
    level: str
    given_at: datetime
    given_by: Author
    revoked_at: datetime | None = None
    revoked_by: Author | None = None
    revocable: bool = False
    """Whether whoever reads this may take it back, once nothing stands in the way."""


def oversees(grants: Iterable[Grant], us: UUID) -> bool:
    """Whether an organisation watches over the report of these grants now."""
    return any(
        grant.organisation_id == us and grant.cause is Cause.OVERSIGHT and grant.revoked_at is None
        for grant in grants
    )


def may_revoke(grant: Grant, us: UUID, *, is_overseer: bool) -> bool:
    """Whether an organisation may take a grant back: its own, what it gave, or what it oversees.

    Consent is its passenger's alone, and oversight is given up by whoever has it.
    """
    if grant.revoked_at is not None or grant.cause is Cause.CONSENT:
        return False
    if grant.organisation_id == us:
        return True
    if grant.cause is Cause.OVERSIGHT:
        return False
    return is_overseer or (grant.cause is Cause.HAND_OVER and grant.given_by.organisation_id == us)
