"""Keys of staff and of programs: made, listed, revoked, and asked who is calling."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from waylight.db import keys as db
from waylight.db.models import ApiKey, City, Organisation, StaffMember
from waylight.db.session import Database
from waylight.domain.errors import InvalidRequest, NotFound, Problem
from waylight.domain.principals import Kind, Principal
from waylight.vault import Vault

SCOPES = (
    "alerts:read",
    "alerts:act",
    "reports:read",
    "reports:submit",
    "teams:duty",
    "exercise",
)

TOKEN = re.compile(r"waylight_[sc]k_[A-Za-z0-9_-]{43}")


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


def authenticate(
    database: Database, vault: Vault, token: str, *, now: datetime
) -> Principal | None:
    """Who calls with this token, by one statement; None when it is unknown, expired or revoked.

    The day of use is noted with the key. Raises Unavailable.
    """
    if not TOKEN.fullmatch(token):
        return None
    with database.intake(autocommit=True) as conn:
        found = db.find_by_token_hash(conn, vault.hash_token(token), now=now)
    if found is None:
        return None
    return Principal(
        kind=Kind(found["kind"]),
        key_id=found["id"],
        name=found["person"] or found["name"],
        organisation_id=found["organisation_id"],
        staff_id=found["staff_id"],
        role=found["role"],
        scopes=frozenset(found["scopes"]),
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
    for an unknown scope, NotFound for an unknown organisation.
    """
    _check_scopes(scopes)
    with database.session("owner") as session:
        works_for = find_organisation(session, organisation, city=city)
        member = session.scalar(
            select(StaffMember).where(
                StaffMember.organisation_id == works_for.id,
                StaffMember.name == person,
                StaffMember.role == role,
                StaffMember.demo == demo,
            )
        )
        if member is None:
            member = StaffMember(
                organisation_id=works_for.id, name=person, role=role, demo=demo, created_at=now
            )
            session.add(member)
            session.flush()
        return _issue(
            session,
            vault,
            ApiKey(
                kind=Kind.STAFF,
                name=f"{person}, {role}",
                staff_id=member.id,
                organisation_id=works_for.id,
                scopes=_sorted(scopes),
                created_at=now,
                expires_at=expires_at,
            ),
        )


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
) -> IssuedKey:
    """A key for a program, with or without an organisation. Raises as `create_staff_key` does."""
    _check_scopes(scopes)
    with database.session("owner") as session:
        belongs_to = find_organisation(session, organisation, city=city) if organisation else None
        return _issue(
            session,
            vault,
            ApiKey(
                kind=Kind.CLIENT,
                name=name,
                organisation_id=belongs_to.id if belongs_to else None,
                scopes=_sorted(scopes),
                created_at=now,
                expires_at=expires_at,
            ),
        )


def revoke_key(database: Database, key_id: UUID, *, now: datetime) -> None:
    """Ends a key at once; doing it again changes nothing. Raises NotFound."""
    with database.session("owner") as session:
        key = session.get(ApiKey, key_id)
        if key is None:
            raise NotFound(f"There is no key {key_id}: `waylight key list` shows all.")
        key.revoked_at = key.revoked_at or now


def revoke_others(database: Database, key_id: UUID, *, now: datetime) -> None:
    """Ends every other key of the person whose key this is."""
    with database.session("owner") as session:
        person = select(ApiKey.staff_id).where(ApiKey.id == key_id).scalar_subquery()
        session.execute(
            update(ApiKey)
            .where(ApiKey.staff_id == person, ApiKey.id != key_id, ApiKey.revoked_at.is_(None))
            .values(revoked_at=now)
        )


def list_keys(database: Database) -> tuple[KeyRecord, ...]:
    """Every key there ever was, the oldest first."""
    with database.session("owner") as session:
        rows = session.execute(
            select(ApiKey, Organisation.name, StaffMember.name, StaffMember.role)
            .outerjoin(Organisation, Organisation.id == ApiKey.organisation_id)
            .outerjoin(StaffMember, StaffMember.id == ApiKey.staff_id)
            .order_by(ApiKey.id)
        ).all()
        return tuple(
            KeyRecord(
                id=key.id,
                kind=Kind(key.kind),
                name=key.name,
                organisation=organisation,
                person=person,
                role=role,
                scopes=tuple(key.scopes),
                created_at=key.created_at,
                expires_at=key.expires_at,
                revoked_at=key.revoked_at,
            )
            for key, organisation, person, role in rows
        )


def find_organisation(session: Session, key: str, *, city: str | None = None) -> Organisation:
    """The organisation with this key, in this city or the only city. Raises NotFound."""
    statement = select(Organisation).join(City, City.id == Organisation.city_id)
    if city is not None:
        statement = statement.where(City.slug == city)
    found = session.scalars(statement.where(Organisation.key == key)).all()
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFound(f"Several cities have an organisation {key!r}: say which city.")
    known = sorted(session.scalars(statement.with_only_columns(Organisation.key)).all())
    raise NotFound(
        f"There is no organisation {key!r}. "
        + (f"There are: {', '.join(known)}." if known else "Load a city first: waylight load PATH.")
    )


def _issue(session: Session, vault: Vault, key: ApiKey) -> IssuedKey:
    token = vault.new_token(key.kind)
    key.token_hash = vault.hash_token(token)
    session.add(key)
    session.flush()
    return IssuedKey(id=key.id, token=token)


def _check_scopes(scopes: Iterable[str]) -> None:
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise InvalidRequest(
            f"Unknown scopes: {', '.join(unknown)}. There are: {', '.join(SCOPES)}.",
            problems=[Problem("scopes", "unknown_scope", scope) for scope in unknown],
        )


def _sorted(scopes: Iterable[str]) -> list[str]:
    return sorted(set(scopes))
