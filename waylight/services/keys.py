"""Keys of staff and of programs: made, listed, revoked, and asked who is calling."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import keys as db
from waylight.db.session import Database
from waylight.domain import roles, tokens
from waylight.domain.accounts import lacking_factor
from waylight.domain.clients import origin
from waylight.domain.errors import InvalidRequest, NotFound, Problem
from waylight.domain.principals import Kind, Principal
from waylight.services import audit, naming
from waylight.vault import TOKEN_PREFIXES, Vault

SCOPES = (
    "alerts:read",
    "alerts:act",
    "reports:read",
    "teams:duty",
    "teams:manage",
    "exercise",
    "metrics:read",
    "hubs:manage",
    "incidents:manage",
    "reports:redact",
    "reports:original",
    "webhooks:manage",
    "audit:read",
    "staff:manage",
    "clients:manage",
    "organisation:manage",
    "reports:analyse",
    "support:work",
)

CLIENT_SCOPES = ("exercise", "metrics:read", "webhooks:manage")
"""Those by which a program may do something; every other one opens doors to people alone."""

KEYS = (TOKEN_PREFIXES["staff"], TOKEN_PREFIXES["client"], TOKEN_PREFIXES["session"])
ACCESS = TOKEN_PREFIXES["access token"]


@dataclass(frozen=True)
class IssuedKey:
    """A key at the only moment when its token can be read."""

    id: UUID
    token: str


@dataclass(frozen=True)
class KeyRecord:
    """A key as it is listed: everything but the token, which nobody has any more."""

    id: UUID
    kind: Kind
    name: str
    organisation: str | None
    person: str | None
    role: str | None
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_on: date | None
    old_token_until: datetime | None
    allowed_origins: tuple[str, ...]


def authenticate(
    database: Database, vault: Vault, token: str, *, now: datetime
) -> Principal | None:
    """Who calls with this token, by one statement; None when it is unknown, expired or revoked.

    It may be a key, a session or an access token. A mistyped one is refused by its checksum,
    without any statement. The token before a rotation works until it is over; an access token
    carries the scopes that it was issued with, as far as its client still has them. The day of use
    is noted with a key, the minute with a session. Raises Unavailable.
    """
    if not tokens.is_token(token, *KEYS, ACCESS):
        return None
    find = db.find_by_access_token if token.startswith(ACCESS) else db.find_by_token_hash
    with database.intake(autocommit=True) as conn:
        found = find(conn, vault.hash_token(token), now=now)
    return None if found is None else principal_of(found)


def principal_of(found: Mapping[str, Any]) -> Principal:
    """The caller with a key that was found, or with a session: that has the scopes of its roles."""
    must_enrol = must_prove = False
    scopes = frozenset(found["scopes"])
    # A key of a person with an account has no role of theirs: only the scopes that it was given.
    by = tuple(found["roles"]) if found["is_session"] else ()
    role = found["role"] and roles.word_of(found["role"], roles=by, scopes=scopes)
    if found["is_session"]:
        demanded = roles.needs_totp(found["roles"], demanded=bool(found["requires_totp"]))
        must_enrol, must_prove = lacking_factor(
            is_demanded=demanded,
            has_totp=found["totp_since"] is not None,
            by_provider=found["identity_provider_id"] is not None,
            is_proved=found["second_factor"],
        )
        scopes = frozenset() if must_enrol or must_prove else roles.scopes_of(found["roles"])
    return Principal(
        kind=Kind(found["kind"]),
        key_id=found["id"],
        name=found["person"] or found["name"],
        organisation_id=found["organisation_id"],
        staff_id=found["staff_id"],
        role=role,
        roles=by or ((role,) if role else ()),
        scopes=scopes,
        allowed_origins=frozenset(found["allowed_origins"]),
        is_session=found["is_session"],
        must_enrol=must_enrol,
        must_prove=must_prove,
        identity_provider_id=found["identity_provider_id"],
        fresh_until=found["fresh_until"],
    )


def create_staff_key(
    database: Database,
    vault: Vault,
    *,
    organisation: str,
    person: str,
    role: str,
    scopes: Sequence[str],
    now: datetime,
    city: str | None = None,
    expires_at: datetime | None = None,
    demo: bool = False,
) -> IssuedKey:
    """A key that speaks for one person of an organisation, given by its key in the city's pack.

    The person is the one of that name and role there, new if there is none. Raises InvalidRequest
    for an unknown scope or a name that is none, NotFound for an unknown organisation.
    """
    _check_scopes(scopes)
    person, role = naming.read_name(person, "/person"), naming.read_name(role, "/role")
    token = vault.new_token(Kind.STAFF)
    with database.owner() as conn:
        works_for = organisation_named(conn, organisation, city=city)
        key_id = db.insert(
            conn,
            kind=Kind.STAFF,
            name=f"{person}, {role}",
            token_hash=vault.hash_token(token),
            staff_id=db.keep_person(
                conn, organisation_id=works_for, name=person, role=role, demo=demo, now=now
            ),
            organisation_id=works_for,
            scopes=_sorted(scopes),
            expires_at=expires_at,
            now=now,
        )
        _audit(conn, vault, "key.created", key_id, organisation_id=works_for, now=now)
    return IssuedKey(id=key_id, token=token)


def create_client_key(
    database: Database,
    vault: Vault,
    *,
    name: str,
    scopes: Sequence[str],
    now: datetime,
    organisation: str | None = None,
    city: str | None = None,
    expires_at: datetime | None = None,
    allowed_origins: Sequence[str] = (),
) -> IssuedKey:
    """A key for a program, with or without an organisation. Raises as `create_staff_key` does.

    Without `allowed_origins` it is for no page in a browser; InvalidRequest for one that is none.
    """
    _check_scopes(scopes, known=CLIENT_SCOPES)
    name = naming.read_name(name, "/client")
    pages = read_origins(allowed_origins)
    token = vault.new_token(Kind.CLIENT)
    with database.owner() as conn:
        works_for = organisation_named(conn, organisation, city=city) if organisation else None
        key_id = db.insert(
            conn,
            kind=Kind.CLIENT,
            name=name,
            token_hash=vault.hash_token(token),
            staff_id=None,
            organisation_id=works_for,
            scopes=_sorted(scopes),
            expires_at=expires_at,
            allowed_origins=pages,
            now=now,
        )
        _audit(conn, vault, "key.created", key_id, organisation_id=works_for, now=now)
    return IssuedKey(id=key_id, token=token)


def rotate_key(
    database: Database, vault: Vault, key_id: UUID, *, overlap: timedelta, now: datetime
) -> IssuedKey:
    """A new token for a key that lives; the one before works for `overlap`, one older no more.

    With no overlap it ends at once, with the access tokens that were got with it. Raises NotFound.
    """
    with database.owner() as conn:
        kind = db.kind_of(conn, key_id)
        token = vault.new_token(kind) if kind else ""
        until = now + overlap if overlap else None
        fresh = vault.hash_token(token)
        if not kind or not db.rotate(conn, key_id, token_hash=fresh, until=until, now=now):
            raise NotFound(f"There is no live key {key_id}: `waylight key list` shows all.")
        found = db.find(conn, key_id)
        whose = found["organisation_id"] if found else None
        _audit(conn, vault, "key.rotated", key_id, organisation_id=whose, now=now)
    return IssuedKey(id=key_id, token=token)


def known_origins(database: Database, *, now: datetime) -> frozenset[str]:
    """Every page that some live client may be called from. Raises Unavailable."""
    with database.intake(autocommit=True) as conn:
        return frozenset(db.origins(conn, now=now))


def read_origins(given: Iterable[str]) -> list[str]:
    """Origins as browsers write them, each once. Raises InvalidRequest for what is none."""
    found: dict[str, None] = {}
    for at, text in enumerate(given):
        try:
            found[origin(text)] = None
        except ValueError as error:
            pointer = f"/allowed_origins/{at}"
            raise InvalidRequest(
                str(error), problems=[Problem(pointer, "not_an_origin", str(error))]
            ) from None
    return list(found)


def revoke_key(database: Database, vault: Vault, key_id: UUID, *, now: datetime) -> None:
    """Ends a key at once, and what was signed in with it is sent no message any more.

    Doing it again changes nothing. Raises NotFound.
    """
    with database.owner() as conn:
        found = db.find(conn, key_id)
        if found is None:
            raise NotFound(f"There is no key {key_id}: `waylight key list` shows all.")
        db.revoke(conn, key_id, now=now)
        if found["revoked_at"] is None:
            whose = found["organisation_id"]
            _audit(conn, vault, "key.revoked", key_id, organisation_id=whose, now=now)


def revoke_others(database: Database, vault: Vault, key_id: UUID, *, now: datetime) -> None:
    """Ends every other key of the person whose key this is, as `revoke_key` does."""
    with database.owner() as conn:
        found = db.find(conn, key_id) or {}
        whose = found.get("organisation_id")
        for ended in db.revoke_others(conn, key_id, now=now):
            _audit(conn, vault, "key.revoked", ended, organisation_id=whose, now=now)


def list_keys(database: Database) -> tuple[KeyRecord, ...]:
    """Every key there ever was, the oldest first."""
    with database.owner() as conn:
        rows = db.list_all(conn)
    return tuple(
        KeyRecord(
            **(
                row
                | {
                    "kind": Kind(row["kind"]),
                    "scopes": tuple(row["scopes"]),
                    "allowed_origins": tuple(row["allowed_origins"]),
                }
            )
        )
        for row in rows
    )


def _audit(
    conn: Connection[Any],
    vault: Vault,
    action: str,
    key_id: UUID,
    *,
    organisation_id: UUID | None,
    now: datetime,
) -> None:
    audit.write(
        conn,
        vault,
        action,
        principal=None,
        subject_id=key_id,
        organisation_id=organisation_id,
        now=now,
    )


def organisation_named(conn: Connection[Any], key: str, *, city: str | None) -> UUID:
    """The organisation with this key, in this city or the only city. Raises NotFound."""
    known = db.organisations(conn, city=city)
    found: list[UUID] = [row["id"] for row in known if row["key"] == key]
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFound(f"Several cities have an organisation {key!r}: say which city.")
    if known:
        there = ", ".join(dict.fromkeys(row["key"] for row in known))
        raise NotFound(f"There is no organisation {key!r}. There are: {there}.")
    raise NotFound(
        f"No city {city!r} is loaded, or it has no organisations."
        if city
        else "No city is loaded: load one with `waylight load data/london`."
    )


def _check_scopes(scopes: Iterable[str], *, known: Sequence[str] = SCOPES) -> None:
    unknown = sorted(set(scopes) - set(known))
    if unknown:
        raise InvalidRequest(
            f"Unknown scopes: {', '.join(unknown)}. There are: {', '.join(known)}.",
            problems=[Problem("scopes", "unknown_scope", scope) for scope in unknown],
        )


def _sorted(scopes: Iterable[str]) -> list[str]:
    return sorted(set(scopes))
