"""OpenID providers of an organisation: what one may be set to, and what its word is worth.

Claims are what the provider says of somebody, checked by then. They decide within the organisation
that the provider belongs to and nowhere else.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any, Protocol
from uuid import UUID

from waylight.domain.addresses import normal_email
from waylight.domain.endpoints import LENGTH, Network, problem_with
from waylight.domain.names import read_name
from waylight.domain.roles import Role

MOST = 10
"""Providers of one organisation."""

MOST_URIS = 10
MOST_RULES = 50
MOST_VALUES = 20

ALWAYS_ASKED = ("openid", "email", "profile")

DOMAIN_OWNER = "xms_edov"
"""What Entra says instead of `email_verified`, which it never does: that the domain of the address
is one that the person's directory has proved to own."""

PROOFS = ("email_verified", DOMAIN_OWNER)

LASTS = timedelta(minutes=10)
"""How long somebody may take at their provider, from begin to end."""

AUTH_TIME_LEEWAY = timedelta(seconds=60)
"""How far a provider's clock may be off when it says when somebody signed in."""

LONGEST_SUBJECT = 255
"""Characters (OpenID Connect Core 1.0, 2)."""

LONGEST_NAME = 80

_UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What no name has: it leads elsewhere on a page, or is half a letter that nothing can store."""

_APP_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:/[A-Za-z0-9._~/-]*", re.ASCII)
_LOOPBACK_PAGE = re.compile(
    r"http://(?:127\.0\.0\.1|\[::1\]|localhost)(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?", re.ASCII
)
_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)+")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}", re.ASCII)
_EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_DOMAIN = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])", re.ASCII
)


@dataclass(frozen=True)
class RoleRule:
    """Whoever has this value in this claim gets this role.

    The claim is a name at the top, or a JSON Pointer that begins with `/`. Its value is the text
    itself or a list that it is in.
    """

    claim: str
    value: str
    role: Role


@dataclass(frozen=True)
class IdentityProvider:
    """One provider, without the secret of our client there."""

    id: UUID
    organisation_id: UUID
    version: int
    name: str
    issuer: str
    client_id: str
    has_client_secret: bool
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...]
    role_mapping: tuple[RoleRule, ...]
    email_domains: tuple[str, ...]
    second_factor_values: tuple[str, ...]
    enabled: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, repr=False)
class RelyingParty:
    """Who we are at a provider."""

    issuer: str
    client_id: str
    client_secret: str | None


@dataclass(frozen=True, repr=False)
class Asked:
    """One sign-in as it was begun: what its answer must fit."""

    redirect_uri: str
    state: str
    nonce: str
    code_verifier: str
    fresh: bool


class Unfit(Exception):
    """What a provider or somebody's browser brought does not sign anybody in.

    `reason` is a code for whoever runs the service: nothing that was sent is in it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Providers(Protocol):
    """How providers are spoken to. Both raise Unavailable when one does not answer as it should."""

    def authorization_url(
        self, party: RelyingParty, asked: Asked, *, scopes: Collection[str]
    ) -> str:
        """Where somebody's browser goes to sign in."""
        ...

    def claims(
        self,
        party: RelyingParty,
        asked: Asked,
        *,
        code: str,
        issuer: str | None,
        wanted: Collection[str],
        now: datetime,
    ) -> Mapping[str, Any]:
        """What the provider says of whoever brought this code, proved to be its word to us, now.

        Those in `wanted` that are not in the ID token are asked for. Raises Unfit.
        """
        ...


def roles_of(rules: Iterable[RoleRule], claims: Mapping[str, Any]) -> frozenset[Role]:
    """The roles that an organisation gives to somebody with these claims."""
    return frozenset(rule.role for rule in rules if _has(claims, rule.claim, rule.value))


def claim_names(rules: Iterable[RoleRule]) -> frozenset[str]:
    """The names at the top that rules look at."""
    return frozenset(
        rule.claim.split("/")[1].replace("~1", "/").replace("~0", "~")
        if rule.claim.startswith("/")
        else rule.claim
        for rule in rules
    )


def verified_email(claims: Mapping[str, Any], domains: Collection[str]) -> str | None:
    """The address that the provider has seen its person use; None without, and outside `domains`.

    Only the JSON value true counts: an address that somebody typed in proves nothing. Where nothing
    is said of it, Entra's word that the directory owns its domain does.
    """
    email, is_verified = claims.get("email"), claims.get("email_verified")
    if is_verified is None:
        # Written as true, 1 and "1" by turns.
        is_verified = claims.get(DOMAIN_OWNER) in (True, "1")
    if is_verified is not True or not isinstance(email, str):
        return None
    normal = normal_email(email)
    if normal is None or (domains and normal.rpartition("@")[2].lower() not in domains):
        return None
    return normal


def has_second_factor(claims: Mapping[str, Any], values: Collection[str]) -> bool:
    """Whether the provider vouches for a second factor, in the values its organisation believes.

    They are looked for in `amr` (RFC 8176) and `acr`.
    """
    methods = claims.get("amr")
    said = [one for one in methods if isinstance(one, str)] if isinstance(methods, list) else []
    level = claims.get("acr")
    return not set(values).isdisjoint([*said, *([level] if isinstance(level, str) else [])])


def is_fresh(claims: Mapping[str, Any], *, since: datetime, now: datetime) -> bool:
    """Whether somebody signed in at their provider since then, and not just was signed in.

    A provider that says later than now counts otherwise than in seconds, and vouches for nothing.
    """
    at = claims.get("auth_time")
    if isinstance(at, bool) or not isinstance(at, int | float):
        return False
    earliest, latest = since - AUTH_TIME_LEEWAY, now + AUTH_TIME_LEEWAY
    return earliest.timestamp() <= at <= latest.timestamp()


def name_of(claims: Mapping[str, Any], email: str) -> str:
    """What to call a new person: the provider's word if it is a name, else the address before @."""
    said = claims.get("name")
    text = " ".join(_UNFIT.sub(" ", said).split()) if isinstance(said, str) else ""
    try:
        return read_name(text[:LONGEST_NAME].strip())
    except ValueError:
        return email.rpartition("@")[0][:LONGEST_NAME]


def problem_with_issuer(
    url: str, *, loopback_ports: Collection[int], networks: Collection[Network]
) -> tuple[str, str] | None:
    """Why this is no issuer, as a code and words; None for one (OpenID Connect Discovery, 3)."""
    problem = problem_with(url, loopback_ports=loopback_ports, networks=networks)
    if problem is None and "?" in url:
        return "invalid_url", "An issuer has no question mark."
    return problem


def problem_with_redirect(uri: str) -> tuple[str, str] | None:
    """Why a provider may not send anybody there, as a code and words; None where it may.

    Pages with https, apps by a scheme of their own with a dot in it, and programs on the person's
    own machine (RFC 8252). It is compared letter by letter.
    """
    if len(uri) > LENGTH:
        return "too_long", f"Must be at most {LENGTH} characters."
    if _APP_SCHEME.fullmatch(uri) or _LOOPBACK_PAGE.fullmatch(uri):
        return None
    page = uri.startswith("https://") and "?" not in uri
    # A browser goes there and never this machine: a page of the operator's own network will do.
    if page and problem_with(uri, networks=_EVERYWHERE) is None:
        return None
    return "invalid_uri", (
        "Must be https://desk.example/signed-in, an app's own such as example.desk:/signed-in, or"
        " http://127.0.0.1:PORT/... of a program on the person's machine; no ? and no #."
    )


def is_scope(text: str) -> bool:
    """Whether this can be asked for as a scope (RFC 6749, 3.3)."""
    return _SCOPE.fullmatch(text) is not None


def is_claim(text: str) -> bool:
    """Whether this names a claim: at the top by its name, or by a JSON Pointer (RFC 6901)."""
    return not text.startswith("/") or _POINTER.fullmatch(text) is not None


def is_domain(text: str) -> bool:
    """Whether addresses can end in this, in lower case."""
    return len(text) <= 253 and _DOMAIN.fullmatch(text) is not None


def _has(claims: Mapping[str, Any], claim: str, value: str) -> bool:
    found = _at(claims, claim.split("/")[1:]) if claim.startswith("/") else claims.get(claim)
    return value in found if isinstance(found, list) else isinstance(found, str) and found == value


def _at(found: Any, steps: Sequence[str]) -> Any:  # noqa: ANN401 - JSON
    for step in steps:
        if not isinstance(found, dict):
            return None
        found = found.get(step.replace("~1", "/").replace("~0", "~"))
    return found
