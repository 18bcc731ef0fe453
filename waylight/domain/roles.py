"""What the people of an organisation are there for: the one table of roles and their scopes."""

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Role(StrEnum):
    """The closed list. A person may have several."""

    RESPONDER = "responder"
    DISPATCHER = "dispatcher"
    ANALYST = "analyst"
    SUPPORT_WORKER = "support_worker"
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"


_RESPONDER = ("alerts:read", "alerts:act", "reports:read", "teams:duty")

SCOPES: Mapping[Role, tuple[str, ...]] = {
    Role.RESPONDER: _RESPONDER,
    Role.DISPATCHER: (
        *_RESPONDER,
        "teams:manage",
        "hubs:manage",
        "incidents:manage",
        "exercise",
        "reports:redact",
        "reports:original",
    ),
    # What these two read has routes of its own, with scopes that no other role has.
    Role.ANALYST: ("reports:analyse",),
    Role.SUPPORT_WORKER: ("reports:read", "support:work"),
    Role.AUDITOR: ("audit:read",),
    # Who gives rights away reads no story by that: it takes a role of its own, given on the record.
    Role.ADMINISTRATOR: (
        "staff:manage",
        "clients:manage",
        "teams:manage",
        "hubs:manage",
        "webhooks:manage",
        "organisation:manage",
    ),
}

OFFICES = ("officer", "controller", "hub_host")
"""What somebody may be called to passengers beside their roles; the texts have a word for each."""

WORDS = frozenset((*Role, *OFFICES))
"""What passengers may read of a person. A job in an organisation's own words stays inside it."""

_TOLD_BY: tuple[tuple[str, Role], ...] = (
    ("incidents:manage", Role.DISPATCHER),
    ("alerts:read", Role.RESPONDER),
    ("support:work", Role.SUPPORT_WORKER),
    ("reports:analyse", Role.ANALYST),
    ("audit:read", Role.AUDITOR),
    ("staff:manage", Role.ADMINISTRATOR),
)
"""Whose the scopes of a key are that says no role."""

TOTP_ALWAYS = frozenset({Role.ADMINISTRATOR})
"""Roles that nobody uses with a password alone."""


def scopes_of(roles: Iterable[str]) -> frozenset[str]:
    """Everything that somebody with these roles may do. Raises ValueError for an unknown role."""
    return frozenset(scope for role in roles for scope in SCOPES[Role(role)])


def word_of(job: str, *, roles: Iterable[str] = (), scopes: Iterable[str] = ()) -> str:
    """The one of WORDS that passengers read of a person, by their job if it is one that they have.

    Nobody is told of a support worker or an auditor because somebody wrote that as their job.
    `roles` are those of an account; without, it is a key, whose role was given with it.
    """
    has = tuple(roles)
    if job in OFFICES or job in (has or WORDS):
        return job
    if has:
        return next(role for role in Role if role in has)
    given = frozenset(scopes)
    return next((role for scope, role in _TOLD_BY if scope in given), Role.RESPONDER)


def needs_totp(roles: Iterable[str], *, demanded: bool) -> bool:
    """Whether these roles are used with a second factor only; `demanded` is the organisation's."""
    return demanded or not TOTP_ALWAYS.isdisjoint(roles)
