"""The OpenID providers of an organisation, kept by its administrators.

Who keeps a provider decides who signs in to their organisation, and to no other: rows, people and
sessions are held to it by the role that all of it is written as.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from uuid_utils import uuid7

from waylight.db import accounts as db_accounts
from waylight.db import events
from waylight.db import identity_providers as db
from waylight.db import sessions as db_sessions
from waylight.db.session import Database
from waylight.domain.changes import check_says_something, check_version
from waylight.domain.endpoints import Network
from waylight.domain.errors import (
    InvalidRequest,
    NotFound,
    Problem,
    StateConflict,
)
from waylight.domain.identity_providers import (
    MOST,
    IdentityProvider,
    RelyingParty,
    RoleRule,
    is_claim,
    is_domain,
    is_scope,
    problem_with_issuer,
    problem_with_redirect,
)
from waylight.domain.principals import Principal
from waylight.domain.roles import Role
from waylight.services import audit
from waylight.services.staff import organisation_of
from waylight.vault import Vault, VaultError

SECRET = "client_secret"  # noqa: S105 - the name of a column


def create_provider(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    values: Mapping[str, Any],
    loopback_ports: Collection[int],
    networks: Collection[Network] = (),
    request_id: str | None = None,
    now: datetime,
) -> IdentityProvider:
    """A new provider of the caller's organisation. Nothing is asked of it yet.

    `values` are the fields of IdentityProviderIn. Raises InvalidRequest, and StateConflict for one
    too many and for a client that is there already.
    """
    organisation_id = organisation_of(principal)
    provider_id = UUID(bytes=uuid7().bytes)
    problem = problem_with_issuer(
        values["issuer"], loopback_ports=loopback_ports, networks=networks
    )
    checked = _checked(values, [] if problem is None else [Problem("/issuer", *problem)])
    sealed = vault.seal(provider_id, _secret_in(values))
    with database.staff(organisation_id) as conn:
        if db.count(conn, organisation_id) >= MOST:
            raise StateConflict(f"An organisation has at most {MOST} providers: delete one first.")
        row = db.insert(
            conn,
            {
                **checked,
                "id": provider_id,
                "organisation_id": organisation_id,
                "key_version": sealed.key_version,
                "wrapped_key": sealed.wrapped_key,
                SECRET: sealed.ciphertexts.get(SECRET),
                "now": now,
            },
        )
        if row is None:
            raise StateConflict("This client of this issuer is there already: change that one.")
        audit.tell(
            conn,
            vault,
            "identity_provider.created",
            principal=principal,
            subject_id=provider_id,
            data={"provider_id": str(provider_id)},
            request_id=request_id,
            now=now,
        )
    return provider_of(row)


def list_providers(
    database: Database, principal: Principal, *, after: UUID | None, limit: int
) -> Sequence[IdentityProvider]:
    """Those of the caller's organisation, the oldest first."""
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        rows = db.page(conn, organisation_id, after=after, limit=limit)
    return [provider_of(row) for row in rows]


def read_provider(
    database: Database, principal: Principal, *, provider_id: UUID
) -> IdentityProvider:
    """One of them. Raises NotFound, also for one of another organisation."""
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        return provider_of(_own(conn, organisation_id, provider_id))


def edit_provider(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    provider_id: UUID,
    values: Mapping[str, Any],
    if_match: int | None,
    request_id: str | None = None,
    now: datetime,
) -> IdentityProvider:
    """Changes everything but its issuer and client, whose people would be others.

    Disabled, or where it vouches for less than before, it ends the sessions that it opened, at
    once. Raises as `read_provider`, StaleVersion, InvalidRequest, and StateConflict for a new
    secret where what is sealed cannot be opened.
    """
    check_says_something(is_empty=not values)
    checked = _checked(values, [])

    def change(conn: Connection[Any], row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        changes = dict(checked)
        if SECRET in values:
            changes[SECRET] = _sealed(vault, row, values[SECRET])
        changed = db.change(conn, provider_id, changes, now=now)
        if not changed["enabled"] or _vouches_for_less(row, changed):
            db.end_sessions(conn, provider_id, now=now)
        return changed

    changed = _change(
        database,
        vault,
        principal,
        provider_id,
        change,
        kind="identity_provider.changed",
        if_match=if_match,
        request_id=request_id,
        now=now,
        data={"changed": sorted(values)},
    )
    assert changed is not None  # noqa: S101 - `change` has one
    return provider_of(changed)


def delete_provider(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    provider_id: UUID,
    if_match: int | None,
    request_id: str | None = None,
    now: datetime,
) -> None:
    """Takes it away with its secret and whom it vouches for; the sessions it opened end at once.

    The accounts of its people stay. Raises as `read_provider`, and StaleVersion.
    """

    def change(conn: Connection[Any], _row: Mapping[str, Any]) -> None:
        db.end_sessions(conn, provider_id, now=now)
        db.delete(conn, provider_id)

    _change(
        database,
        vault,
        principal,
        provider_id,
        change,
        kind="identity_provider.deleted",
        if_match=if_match,
        request_id=request_id,
        now=now,
    )


def forget_person(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    provider_id: UUID,
    staff_id: UUID,
    request_id: str | None = None,
    now: datetime,
) -> None:
    """Forgets which of the provider's people this is: the next who has their address becomes them.

    Every session of the account ends: one may be of whoever it was taken for. Raises NotFound where
    none was known, and for a provider or a person of others.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        _own(conn, organisation_id, provider_id)
        known = db_accounts.find(conn, organisation_id, staff_id)
        if known is None or not db.unlink(conn, provider_id, staff_id):
            raise NotFound
        db_sessions.end_of(conn, staff_id, now=now)
        audit.write(
            conn,
            vault,
            "identity.forgotten",
            principal=principal,
            subject_id=staff_id,
            request_id=request_id,
            now=now,
        )
        events.write(
            conn,
            events.Event(
                "identity.forgotten",
                now,
                organisation_id=organisation_id,
                staff_id=principal.staff_id,
                data={"account_id": str(staff_id), "provider_id": str(provider_id)},
            ),
        )


def party_of(vault: Vault, row: Mapping[str, Any]) -> RelyingParty:
    """Who we are at a provider. Raises VaultError where the secret cannot be opened."""
    secret = row[SECRET]
    if secret is not None:
        secret = vault.open(row["id"], row["key_version"], row["wrapped_key"], SECRET, secret)
    return RelyingParty(
        issuer=row["issuer"], client_id=row["client_id"], client_secret=secret or None
    )


def rules_of(row: Mapping[str, Any]) -> tuple[RoleRule, ...]:
    """The role mapping of a row."""
    return tuple(
        RoleRule(claim=rule["claim"], value=rule["value"], role=Role(rule["role"]))
        for rule in row["role_mapping"]
    )


def provider_of(row: Mapping[str, Any]) -> IdentityProvider:
    """The provider of a row."""
    return IdentityProvider(
        id=row["id"],
        organisation_id=row["organisation_id"],
        version=row["version"],
        name=row["name"],
        issuer=row["issuer"],
        client_id=row["client_id"],
        has_client_secret=row["has_client_secret"],
        redirect_uris=tuple(row["redirect_uris"]),
        scopes=tuple(row["scopes"]),
        role_mapping=rules_of(row),
        email_domains=tuple(row["email_domains"]),
        second_factor_values=tuple(row["second_factor_values"]),
        enabled=row["enabled"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _change(
    database: Database,
    vault: Vault,
    principal: Principal,
    provider_id: UUID,
    change: Callable[[Connection[Any], Mapping[str, Any]], Mapping[str, Any] | None],
    *,
    kind: str,
    if_match: int | None,
    request_id: str | None,
    now: datetime,
    data: Mapping[str, Any] | None = None,
) -> Mapping[str, Any] | None:
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        row = _own(conn, organisation_id, provider_id, lock=True)
        check_version(if_match, row["version"])
        changed = change(conn, row)
        audit.tell(
            conn,
            vault,
            kind,
            principal=principal,
            subject_id=provider_id,
            data={"provider_id": str(provider_id), **(data or {})},
            request_id=request_id,
            now=now,
        )
    return changed


def _own(
    conn: Connection[Any], organisation_id: UUID, provider_id: UUID, *, lock: bool = False
) -> dict[str, Any]:
    row = db.find(conn, provider_id, organisation_id, lock=lock)
    if row is None:
        raise NotFound
    return row


def _vouches_for_less(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether somebody may be in who would not come in so any more."""
    gone = any(
        one not in after[name]
        for name in ("role_mapping", "second_factor_values")
        for one in before[name]
    )
    # Without a rule, and without a domain, none keeps anybody out.
    first = any(after[name] and not before[name] for name in ("role_mapping", "email_domains"))
    fewer = after["email_domains"] and not set(before["email_domains"]) <= set(
        after["email_domains"]
    )
    return gone or first or bool(fewer)


def _secret_in(values: Mapping[str, Any]) -> dict[str, str]:
    secret = values.get(SECRET)
    return {} if secret is None else {SECRET: secret}


def _sealed(vault: Vault, row: Mapping[str, Any], secret: str | None) -> bytes | None:
    if secret is None:
        return None
    try:
        sealed = vault.seal_more(
            row["id"], row["key_version"], row["wrapped_key"], {SECRET: secret}
        )
    except VaultError:
        raise StateConflict(
            "What is kept of this provider cannot be opened: delete it and make it anew."
        ) from None
    return sealed[SECRET]


def _checked(values: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The columns of what was sent, each value once. Raises InvalidRequest with all problems."""
    found = {name: value for name, value in values.items() if name != SECRET}
    for name in ("redirect_uris", "scopes", "email_domains", "second_factor_values"):
        if name in found:
            found[name] = list(dict.fromkeys(found[name]))
    if "email_domains" in found:
        found["email_domains"] = [one.lower() for one in found["email_domains"]]
    problems += _each(found, "redirect_uris", problem_with_redirect)
    problems += (
        Problem(
            f"/role_mapping/{at}/claim",
            "invalid",
            "This is no JSON Pointer: write ~ as ~0 and / within a name as ~1.",
        )
        for at, rule in enumerate(found.get("role_mapping", ()))
        if not is_claim(rule["claim"])
    )
    problems += _each(
        found,
        "scopes",
        lambda one: None if is_scope(one) else ("invalid_scope", NO_SCOPE),
    )
    problems += _each(
        found,
        "email_domains",
        lambda one: None if is_domain(one) else ("invalid_domain", "Must be like police.example."),
    )
    if problems:
        raise InvalidRequest(problems=problems)
    return found


NO_SCOPE = (
    "This can be no scope: one word of at most 100 characters of ASCII, without quotes and"
    " backslashes, as the provider's own documents name it."
)


def _each(
    found: Mapping[str, Any], name: str, problem_with: Callable[[str], tuple[str, str] | None]
) -> Iterable[Problem]:
    for at, one in enumerate(found.get(name, ())):
        problem = problem_with(one)
        if problem is not None:
            yield Problem(f"/{name}/{at}", *problem)
