"""Signing in: what is right opens a session, and what is wrong tells nothing."""

from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from argon2 import PasswordHasher

from tests.desk import NOW
from tests.staff import OTHER, PASSWORD, QUICK, administrator, enter, holder, person
from waylight.domain.errors import TooManyRequests, WrongCredentials
from waylight.services import accounts, keys, passwords

OWASP = passwords.HASHER
ELSEWHERE = "198.51.100.7/32"
HERE = "203.0.113.9/32"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", QUICK)


@contextmanager
def work(monkeypatch):
    """Counts statements sent and passwords hashed."""
    done = {"statements": 0, "hashes": 0}
    execute, verify, hash_one = (
        psycopg.Cursor.execute,
        PasswordHasher.verify,
        PasswordHasher.hash,
    )

    def counted(self, query, *args, **kwargs):
        text = query if isinstance(query, str) else query.as_string(self)
        if not text.lstrip().startswith(("set ", "savepoint", "release", "rollback")):
            done["statements"] += 1
        return execute(self, query, *args, **kwargs)

    def verified(self, *args):
        done["hashes"] += 1
        return verify(self, *args)

    def hashed(self, *args, **kwargs):
        done["hashes"] += 1
        return hash_one(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Cursor, "execute", counted)
        patched.setattr(PasswordHasher, "verify", verified)
        patched.setattr(PasswordHasher, "hash", hashed)
        yield done


def test_session_has_the_scopes_of_its_persons_roles(desk):
    robin = person(desk)
    caller = holder(desk, enter(desk, robin).token)
    assert caller.staff_id == robin.id
    assert caller.organisation_id == desk.police.organisation_id
    assert caller.scopes == {"alerts:read", "alerts:act", "reports:read", "teams:duty"}
    assert caller.is_session
    assert not caller.must_enrol
    assert desk.kinds()[-1] == "session.opened"


def test_case_and_spaces_of_an_address_do_not_matter(desk):
    robin = person(desk)
    assert enter(desk, robin, email=" ROBIN@Police.Example ").token


@pytest.fixture
def wrong(desk):
    """Ways to sign in that are wrong, by name."""
    robin = administrator(desk, "robin@police.example")
    gone = person(desk, "gone@police.example")
    desk.do("update accounts set disabled_at = now() where staff_id = %s", gone.id)
    new = person(desk, "new@police.example")
    desk.do("update accounts set password_hash = null where staff_id = %s", new.id)
    return {
        "unknown address": (robin, {"email": "nobody@police.example"}),
        "no address": (robin, {"email": "\ud800 nobody"}),
        "wrong password": (robin, {"password": OTHER}),
        "wrong code": (robin, {"code": "000000"}),
        "no code": (robin, {"code": None}),
        "recovery code of nobody": (robin, {"code": "0000-0000-0000-0000"}),
        "disabled account": (gone, {}),
        "no password yet": (new, {}),
        "other organisation": (robin, {"organisation": "operator"}),
    }


def test_whatever_is_wrong_the_answer_and_the_work_are_the_same(desk, wrong, monkeypatch):
    told, cost = set(), set()
    for who, given in wrong.values():
        with work(monkeypatch) as done, pytest.raises(WrongCredentials) as refused:
            enter(desk, who, network=HERE, **given)
        told.add((refused.value.detail, refused.value.code, refused.value.problems))
        cost.add((done["statements"], done["hashes"]))
    assert len(told) == 1
    assert cost == {(2, 1)}, "a turn, a look, one hash"


def test_right_password_without_the_code_is_not_told_to_be_right(desk):
    robin = administrator(desk)
    with pytest.raises(WrongCredentials) as without_code:
        enter(desk, robin, code=None)
    with pytest.raises(WrongCredentials) as without_password:
        enter(desk, robin, password=OTHER)
    assert vars(without_code.value) == vars(without_password.value)


def test_hash_of_older_parameters_is_made_anew(desk, monkeypatch):
    robin = person(desk)
    monkeypatch.setattr(passwords, "HASHER", OWASP)
    enter(desk, robin)
    (row,) = desk.rows("select password_hash from accounts where staff_id = %s", robin.id)
    assert row["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    enter(desk, robin)


def test_nobodys_hash_costs_what_everybodys_does(monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", OWASP)
    assert not passwords.is_outdated(passwords.NOBODYS)


def test_code_is_good_once(desk):
    robin = administrator(desk)
    enter(desk, robin)
    with pytest.raises(WrongCredentials):
        enter(desk, robin)
    later = NOW + timedelta(seconds=30)
    enter(desk, robin, now=later)
    with pytest.raises(WrongCredentials):
        enter(desk, robin, now=later, code=robin.code(NOW))


@pytest.mark.parametrize(
    ("off_s", "is_right"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)]
)
def test_clock_of_a_telephone_may_be_one_step_off(desk, off_s, is_right):
    robin = administrator(desk)
    shown = robin.code(NOW + timedelta(seconds=off_s))
    if is_right:
        assert enter(desk, robin, code=shown).token
    else:
        with pytest.raises(WrongCredentials):
            enter(desk, robin, code=shown)


def test_recovery_code_is_good_once_however_it_is_typed(desk):
    robin = administrator(desk)
    assert len(set(robin.recovery)) == 10
    enter(desk, robin, code=robin.recovery[3].lower().replace("-", " "))
    with pytest.raises(WrongCredentials):
        enter(desk, robin, code=robin.recovery[3])
    enter(desk, robin, code=robin.recovery[4])


def test_new_recovery_codes_end_those_before(desk):
    robin = administrator(desk)
    caller = holder(desk, enter(desk, robin).token)
    codes = accounts.new_recovery_codes(desk.database, desk.vault, caller, now=NOW)
    with pytest.raises(WrongCredentials):
        enter(desk, robin, code=robin.recovery[0])
    assert enter(desk, robin, code=codes[0]).token


def test_nothing_that_signs_in_is_stored(desk):
    robin = administrator(desk)
    session = enter(desk, robin)
    tables = ("accounts", "sessions", "api_keys", "events")
    dump = str([desk.rows(f"select * from {table}") for table in tables])  # noqa: S608 - ours
    for secret in (PASSWORD, robin.secret, robin.email, session.token, session.device[12:]):
        assert secret not in dump
    for code in robin.recovery:
        assert code not in dump
        assert code.replace("-", "") not in dump


def test_administrator_without_a_second_factor_can_only_set_one_up(desk):
    ada = person(desk, "ada@police.example", roles=("administrator", "dispatcher"))
    session = enter(desk, ada)
    assert session.must_enrol
    assert not session.scopes
    caller = holder(desk, session.token)
    assert caller.must_enrol
    assert not caller.scopes


def test_what_an_organisation_demands_holds_for_open_sessions(desk):
    robin, ada = person(desk), administrator(desk)
    session = enter(desk, robin)
    accounts.change_policy(
        desk.database, desk.vault, holder(desk, enter(desk, ada).token), requires_totp=True, now=NOW
    )
    assert holder(desk, session.token).must_enrol
    assert not holder(desk, session.token).scopes
    assert enter(desk, robin).must_enrol


def test_session_ends_with_its_time(desk):
    token = enter(desk, person(desk)).token

    def lives(**after):
        return keys.authenticate(desk.database, desk.vault, token, now=NOW + timedelta(**after))

    for minutes in range(50, 12 * 60, 50):
        assert lives(minutes=minutes)
    assert not lives(hours=12)


def test_session_that_nothing_is_done_with_ends_earlier(desk):
    token = enter(desk, person(desk)).token
    then = NOW + timedelta(minutes=59)
    assert keys.authenticate(desk.database, desk.vault, token, now=then)
    assert keys.authenticate(desk.database, desk.vault, token, now=then + timedelta(minutes=59))
    idle = then + timedelta(minutes=119)
    assert keys.authenticate(desk.database, desk.vault, token, now=idle) is None


@pytest.fixture
def cheap(monkeypatch):
    """Nothing is hashed: for tests of how often, not of how."""
    monkeypatch.setattr(
        passwords, "is_right", lambda stored, given: stored is not None and given == PASSWORD
    )


def guess(desk, who, times, *, now=NOW, **given):
    """Wrong passwords, one after the other; how many of them were looked at."""
    looked_at = 0
    for _ in range(times):
        try:
            enter(desk, who, now=now, password=OTHER, **given)
        except WrongCredentials:
            looked_at += 1
        except TooManyRequests:
            pass
    return looked_at


@pytest.mark.usefixtures("cheap")
def test_guesses_from_one_address_come_later_and_later(desk):
    robin = person(desk)
    # For more than an hour: at midnight all of it is forgotten, with the salt.
    now = (NOW + timedelta(days=1)).replace(hour=1)
    assert guess(desk, robin, 20, network=HERE, now=now) == 5
    with pytest.raises(TooManyRequests) as refused:
        enter(desk, robin, network=HERE, now=now)
    assert refused.value.retry_after_s == 1
    waits = []
    for _ in range(14):
        with pytest.raises(TooManyRequests) as refused:
            enter(desk, robin, network=HERE, now=now)
        waits.append(refused.value.retry_after_s)
        now += timedelta(seconds=refused.value.retry_after_s)
        assert guess(desk, robin, 3, network=HERE, now=now) == 1
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]


@pytest.mark.usefixtures("cheap")
def test_owner_gets_in_while_others_guess(desk):
    """From elsewhere, with anything; from the attackers' own address, with a known device."""
    robin = person(desk)
    device = enter(desk, robin, network=HERE).device
    guess(desk, robin, 30, network=HERE)
    assert enter(desk, robin, network=ELSEWHERE).token
    with pytest.raises(TooManyRequests):
        enter(desk, robin, network=HERE)
    assert enter(desk, robin, network=HERE, device=device).token


@pytest.mark.usefixtures("cheap")
def test_guesses_from_many_addresses_are_counted_together(desk):
    """An address for each guess: fifty are looked at, and the device of the owner gets in."""
    robin = person(desk)
    device = enter(desk, robin, network=HERE).device
    looked_at = sum(guess(desk, robin, 1, network=f"10.0.{number}.1/32") for number in range(60))
    assert looked_at == 50
    assert enter(desk, robin, network=ELSEWHERE, device=device).token


@pytest.mark.usefixtures("cheap")
def test_one_address_cannot_try_everybody(desk):
    robin = person(desk)
    looked_at = sum(
        guess(desk, robin, 1, network=HERE, email=f"{number}@police.example")
        for number in range(110)
    )
    assert looked_at == 100


@pytest.mark.usefixtures("cheap")
def test_devices_that_are_made_up_or_of_others_are_known_to_nobody(desk):
    robin, sam = person(desk), person(desk, "sam@police.example")
    device = enter(desk, sam).device
    for claimed in (
        device,
        device[:-2] + "AA",
        "waylight_dv_",
        "é" * 43,
        "waylight_dv_" + "A" * 43,
    ):
        guess(desk, robin, 6, network=HERE)
        with pytest.raises(TooManyRequests):
            enter(desk, robin, network=HERE, device=claimed)


@pytest.mark.usefixtures("cheap")
def test_unknown_addresses_are_slowed_down_as_known_ones(desk):
    robin = person(desk)
    nobody = guess(desk, robin, 20, network=ELSEWHERE, email="nobody@police.example")
    assert nobody == guess(desk, robin, 20, network=HERE) == 5


@pytest.mark.usefixtures("cheap")
def test_right_try_forgets_the_wrong_ones(desk):
    robin = person(desk)
    for _ in range(5):
        assert guess(desk, robin, 4, network=HERE) == 4
        assert enter(desk, robin, network=HERE).token


def test_who_tried_is_not_known_the_day_after(desk):
    robin = person(desk)
    guess(desk, robin, 1, network=HERE)
    before = {row["key"] for row in desk.rows("select key from sign_in_attempts")}
    (salt,) = desk.rows("select salt from sign_in_salt")
    later = NOW + timedelta(days=1, minutes=1)
    guess(desk, robin, 1, network=HERE, now=later)
    after = {row["key"] for row in desk.rows("select key from sign_in_attempts")}
    assert not before & after
    assert len(after) == 3
    assert desk.rows("select salt from sign_in_salt") != [salt]


def test_one_address_in_two_organisations_signs_in_to_either(desk):
    first = person(desk, "sam@work.example")
    second = person(desk, "sam@work.example", organisation="operator")
    assert holder(desk, enter(desk, first).token).staff_id == first.id
    at_second = enter(desk, second, organisation="operator")
    assert holder(desk, at_second.token).staff_id == second.id


@pytest.fixture
def namesake(desk):
    """The police's person, and an account that another administrator made with their address."""
    robin = person(desk)
    person(desk, robin.email, organisation="operator")
    return robin


def guess_between(desk, robin, rounds, *, device=False):
    """Guesses at the police's account, each few followed by a right sign-in to the other one."""
    looked_at = 0
    known: dict[str, str] = {}
    for _ in range(rounds):
        looked_at += guess(desk, robin, 4, organisation="police", network=HERE, **known)
        try:
            entered = enter(desk, robin, organisation="operator", network=HERE)
        except TooManyRequests:
            continue
        known = {"device": entered.device} if device else {}
    return looked_at


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("device", [False, True])
def test_account_with_an_address_of_others_is_no_way_to_guess_theirs(desk, namesake, device):
    """Neither does being right forget guesses at the other, nor is a device known to both."""
    assert guess_between(desk, namesake, 6, device=device) == 5


@pytest.mark.usefixtures("cheap")
def test_owner_of_two_accounts_gets_in_to_both_from_a_device_that_knows_both(desk, namesake):
    first = enter(desk, namesake, organisation="police", network=HERE).device
    second = enter(desk, namesake, organisation="operator", network=HERE).device
    assert first != second
    guess(desk, namesake, 30, network=HERE)
    for organisation, device in (("police", first), ("operator", second)):
        entered = enter(desk, namesake, organisation=organisation, device=device, network=HERE)
        assert entered.device == device
