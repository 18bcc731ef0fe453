"""What is good once, brought several times at the same moment."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.desk import NOW
from tests.staff import OTHER, PASSWORD, QUICK, administrator, enter, holder, person
from waylight.domain.errors import NotFound, TooManyRequests, WrongCredentials
from waylight.services import accounts, passwords

pytestmark = pytest.mark.commits

TIMES = 4


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", QUICK)


def at_once(act):
    """What came of it, each time: a result, or None where it was refused."""
    together = Barrier(TIMES)

    def once(number):
        together.wait(120)
        try:
            return act(number)
        except (WrongCredentials, NotFound, TooManyRequests):
            return None

    with ThreadPoolExecutor(TIMES) as pool:
        return [found for found in pool.map(once, range(TIMES)) if found is not None]


@pytest.mark.parametrize("what", ["code", "recovery code"])
def test_what_proves_a_second_factor_opens_one_session(desk, what):
    ada = administrator(desk)
    code = ada.code(NOW) if what == "code" else ada.recovery[0]
    opened = at_once(lambda _: enter(desk, ada, code=code).token)
    assert len(opened) == 1
    assert (
        len(desk.rows("select from sessions s join api_keys k using (id) where revoked_at is null"))
        == 1
    )


def test_code_that_signs_in_steps_up_no_more(desk):
    ada = administrator(desk)
    caller = holder(desk, enter(desk, ada, code=ada.recovery[0]).token)

    def act(number):
        if number % 2:
            return enter(desk, ada, code=ada.code(NOW)).token
        return accounts.step_up(
            desk.database, desk.vault, caller, password=None, code=ada.code(NOW), now=NOW
        )

    assert len(at_once(act)) == 1


def test_invitation_sets_one_password(desk):
    caller = holder(desk, enter(desk, administrator(desk)).token)
    robin = person(desk)
    token = accounts.invite(desk.database, desk.vault, caller, robin.id, now=NOW).token
    words = [OTHER, PASSWORD, f"{OTHER} again", f"{PASSWORD} again"]

    def act(number):
        accounts.accept_invitation(
            desk.database, desk.vault, token=token, password=words[number], now=NOW
        )
        return words[number]

    (password,) = at_once(act)
    assert enter(desk, robin, password=password).token
    assert len(desk.events("account.password_set")) == 1
