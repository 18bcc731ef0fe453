"""People with accounts, in the small city of `tests.desk`."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pyotp
from argon2 import PasswordHasher

from tests.desk import NOW, Desk
from waylight.domain.accounts import OpenedSession
from waylight.domain.principals import Principal
from waylight.services import accounts, keys
from waylight.services.operations import staff

QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
"""For tests that are not about hashing: the real one takes its time on purpose."""

PASSWORD = "a long walk by the river"
OTHER = "seven green umbrellas sing"


@dataclass(frozen=True)
class Person:
    """Somebody with an account, and what they hold."""

    id: UUID
    email: str
    secret: str = ""
    recovery: tuple[str, ...] = ()

    def code(self, now: datetime) -> str:
        """What their telephone shows at a moment."""
        return pyotp.TOTP(self.secret).at(now)


def enter(desk: Desk, person: Person, *, now: datetime = NOW, **given: Any) -> OpenedSession:
    """Signs somebody in, with what is given in the place of what is right."""
    network = given.pop("network", None)
    code = person.code(now) if person.secret else None
    right = {"email": person.email, "password": PASSWORD, "code": code}
    return accounts.sign_in(
        desk.database,
        desk.vault,
        accounts.SignIn(**{**right, **given}),
        network=network,
        session_s=12 * 3600,
        idle_s=3600,
        now=now,
    )


def holder(desk: Desk, token: str, *, now: datetime = NOW) -> Principal:
    """Who calls with a token."""
    found = keys.authenticate(desk.database, desk.vault, token, now=now)
    assert found is not None
    return found


def person(
    desk: Desk,
    email: str = "robin@police.example",
    *,
    roles: tuple[str, ...] = ("responder",),
    organisation: str = "police",
    totp: bool = False,
    now: datetime = NOW,
) -> Person:
    """A person who can sign in; with `totp`, as of two minutes before."""
    made = staff.create(
        desk.database,
        desk.vault,
        organisation=organisation,
        city=None,
        name=email.partition("@")[0].title(),
        email=email,
        job="officer",
        roles=roles,
        password=PASSWORD,
        now=now,
    )
    found = Person(made.id, email)
    return with_totp(desk, found, now=now - timedelta(minutes=2)) if totp else found


def with_totp(desk: Desk, person: Person, *, now: datetime = NOW) -> Person:
    """The same person with a second factor, signed out again."""
    caller = holder(desk, enter(desk, person, now=now).token, now=now)
    begun = accounts.begin_totp(desk.database, desk.vault, caller, now=now)
    code = pyotp.TOTP(begun.secret).at(now)
    codes = accounts.confirm_totp(desk.database, desk.vault, caller, code=code, now=now)
    assert caller.key_id is not None
    accounts.end_session(desk.database, caller, caller.key_id, now=now)
    return replace(person, secret=begun.secret, recovery=codes)


def administrator(desk: Desk, email: str = "ada@police.example", **others: Any) -> Person:
    """An administrator with a second factor."""
    return person(desk, email, roles=("administrator",), totp=True, **others)
