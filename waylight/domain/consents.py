"""Consent: whom a passenger lets read their report, beside those who are alerted to help.

It widens who may read and alerts nobody: whoever is alerted is routing's choice, within `wants`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from waylight.domain.reports import Reason, ShareWith

KINDS: Mapping[ShareWith, str] = {
    ShareWith.OPERATOR: "operator",
    ShareWith.POLICE: "police",
    ShareWith.SUPPORT: "support_service",
}
"""The kind of organisation that each word means."""


@dataclass(frozen=True)
class Reader:
    """The one organisation that consent is given to, and why that one."""

    id: UUID
    name: str
    reason: Reason


@dataclass(frozen=True)
class Period:
    """A time in which consent held; `withdrawn_at` is None while it holds."""

    recipient: ShareWith
    organisation: str
    given_at: datetime
    withdrawn_at: datetime | None


@dataclass(frozen=True)
class Consent:
    """Consent towards one recipient.

    `unavailable` says why it cannot be given, `still_reads` by what else than consent the
    organisation reads the report all the same.
    """

    recipient: ShareWith
    reader: Reader | None
    given_at: datetime | None = None
    unavailable: Reason | None = None
    still_reads: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class SharedSummary:
    """One line of the reports that an organisation reads by consent: what kind, and how urgent."""

    id: UUID
    given_at: datetime
    received_at: datetime
    categories: tuple[str, ...]
    mode: str | None
    priority: int
    exercise: bool


@dataclass(frozen=True)
class Consents:
    """All of a report, and what was given before, the oldest first."""

    items: tuple[Consent, ...]
    history: tuple[Period, ...]
    language: str | None = None


def unavailable(*, under_18: bool | None, withdrawn: bool, has_reader: bool) -> Reason | None:
    """Why consent cannot be given now; None when it can.

    A child's report is shared with nobody by a tick: a person of those who look after it asks
    first (design, 6.9).
    """
    if withdrawn:
        return Reason("report_withdrawn")
    if under_18:
        return Reason("asked_first")
    return None if has_reader else Reason("nobody_there")
