"""Accounts as administrators keep them: of their own organisation, and never none left."""

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from tests.desk import NOW
from tests.staff import OTHER, PASSWORD, QUICK, administrator, enter, holder, person, with_totp
from waylight.domain.errors import (
    InvalidRequest,
    LastAdministrator,
    NotFound,
    StaleVersion,
    StateConflict,
    WrongCredentials,
)
from waylight.domain.roles import Role
from waylight.services import accounts, audit, keys, passwords

REFUSED = psycopg.errors.InsufficientPrivilege


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", QUICK)


@pytest.fixture
def ada(desk):
    return administrator(desk)


@pytest.fixture
def caller(desk, ada):
    """The police's administrator, signed in."""
    return holder(desk, enter(desk, ada).token)


@pytest.fixture
def change(desk, caller):
    def change(staff_id, *, by=caller, **changes):
        return accounts.change_account(desk.database, desk.vault, by, staff_id, **changes, now=NOW)

    return change


def hire(desk, caller, **changes):
    new = {
        "email": "kim@police.example",
        "name": "Kim",
        "job": None,
        "roles": [Role.RESPONDER],
    }
    return accounts.create_account(desk.database, desk.vault, caller, **(new | changes), now=NOW)


def test_new_person_signs_in_with_the_password_they_set(desk, caller):
    made = hire(desk, caller)
    assert (made.email, made.job, made.roles) == ("kim@police.example", "responder", ("responder",))
    assert not made.has_password
    invitation = accounts.invite(desk.database, desk.vault, caller, made.id, now=NOW)
    accounts.accept_invitation(
        desk.database, desk.vault, token=invitation.token, password=PASSWORD, now=NOW
    )
    kim = replace(person(desk), id=made.id, email="kim@police.example")
    assert holder(desk, enter(desk, kim).token).staff_id == made.id
    told = [
        row["kind"] for row in desk.rows("select kind from events where kind like 'account.%%'")
    ]
    assert told.count("account.invited") == 1
    actions = {row["action"] for row in desk.rows("select action from audit_entries")}
    assert {"account.created", "account.invited"} <= actions


def accept(desk, token, password=PASSWORD, *, now=NOW):
    return accounts.accept_invitation(
        desk.database, desk.vault, token=token, password=password, now=now
    )


def test_invitation_is_good_once_for_a_day_and_the_newest_alone(desk, caller):
    kim = hire(desk, caller).id

    def invite(now=NOW):
        return accounts.invite(desk.database, desk.vault, caller, kim, now=now).token

    first, second = invite(), invite()
    with pytest.raises(NotFound):
        accept(desk, first)
    with pytest.raises(NotFound):
        accept(desk, second, now=NOW + timedelta(hours=24))
    with pytest.raises(InvalidRequest):
        accept(desk, second, "too short")
    accept(desk, second)
    with pytest.raises(NotFound):
        accept(desk, second)
    with pytest.raises(NotFound):
        accept(desk, "waylight_in_" + "x" * 43)


def test_password_set_by_invitation_ends_sessions_and_leaves_the_second_factor(desk, caller):
    robin = with_totp(desk, person(desk), now=NOW - timedelta(minutes=5))
    session = enter(desk, robin)
    invitation = accounts.invite(desk.database, desk.vault, caller, robin.id, now=NOW)
    accept(desk, invitation.token, OTHER)
    assert keys.authenticate(desk.database, desk.vault, session.token, now=NOW) is None
    later = NOW + timedelta(minutes=1)
    with pytest.raises(WrongCredentials):
        enter(desk, robin, password=OTHER, code=None, now=later)
    assert enter(desk, robin, password=OTHER, now=later).token


def test_lost_telephone_is_replaced_by_an_administrator(desk, caller):
    robin = with_totp(desk, person(desk), now=NOW - timedelta(minutes=5))
    session = enter(desk, robin)
    made = accounts.invite(desk.database, desk.vault, caller, robin.id, reset_totp=True, now=NOW)
    # Until it is accepted whoever has the password alone gets no further than before.
    assert keys.authenticate(desk.database, desk.vault, session.token, now=NOW) is not None
    with pytest.raises(WrongCredentials):
        enter(desk, robin, code=None)
    later = NOW + timedelta(minutes=1)
    assert enter(desk, robin, now=later).token
    accept(desk, made.token, OTHER)
    assert keys.authenticate(desk.database, desk.vault, session.token, now=NOW) is None
    with pytest.raises(WrongCredentials):
        enter(desk, robin, code=None, now=later)
    assert enter(desk, robin, password=OTHER, code=None, now=later).token
    actions = [row["action"] for row in desk.rows("select action from audit_entries")]
    assert actions.count("account.totp_removed") == 1


def test_invitation_made_anew_without_it_leaves_the_second_factor(desk, caller):
    robin = with_totp(desk, person(desk), now=NOW - timedelta(minutes=5))
    accounts.invite(desk.database, desk.vault, caller, robin.id, reset_totp=True, now=NOW)
    made = accounts.invite(desk.database, desk.vault, caller, robin.id, now=NOW)
    accept(desk, made.token, OTHER)
    with pytest.raises(WrongCredentials):
        enter(desk, robin, password=OTHER, code=None)


def test_disabled_person_is_out_at_once_with_every_key(desk, caller, change):
    robin = person(desk)
    session = enter(desk, robin)
    key = keys.create_staff_key(
        desk.database,
        desk.vault,
        organisation="police",
        person="Robin",
        role="officer",
        scopes=["alerts:read"],
        now=NOW,
    )
    desk.do("update api_keys set staff_id = %s where id = %s", robin.id, key.id)
    change(robin.id, disabled=True)
    for token in (session.token, key.token):
        assert keys.authenticate(desk.database, desk.vault, token, now=NOW) is None
    with pytest.raises(WrongCredentials):
        enter(desk, robin)
    with pytest.raises(StateConflict):
        accounts.invite(desk.database, desk.vault, caller, robin.id, now=NOW)
    change(robin.id, disabled=False)
    assert enter(desk, robin).token
    assert keys.authenticate(desk.database, desk.vault, session.token, now=NOW) is None


def test_role_that_is_given_holds_at_once_and_one_that_is_taken_ends_sessions(desk, change):
    robin = person(desk)
    token = enter(desk, robin).token
    change(robin.id, roles=[Role.RESPONDER, Role.DISPATCHER])
    assert "incidents:manage" in holder(desk, token).scopes
    change(robin.id, roles=[Role.RESPONDER])
    assert keys.authenticate(desk.database, desk.vault, token, now=NOW) is None


def test_last_administrator_stays_one(desk, ada, change):
    for changes in ({"disabled": True}, {"roles": [Role.DISPATCHER]}):
        with pytest.raises(LastAdministrator):
            change(ada.id, **changes)
    person(desk, "mo@police.example", roles=("administrator",))
    assert change(ada.id, roles=[Role.DISPATCHER]).roles == ("dispatcher",)


def test_administrators_who_cannot_sign_in_do_not_count(desk, ada, caller, change):
    hire(desk, caller, roles=[Role.ADMINISTRATOR])
    gone = person(desk, "gone@police.example", roles=("administrator",))
    change(gone.id, disabled=True)
    person(desk, "eve@operator.example", roles=("administrator",), organisation="operator")
    with pytest.raises(LastAdministrator):
        change(ada.id, disabled=True)


def test_change_of_what_others_have_changed_is_refused(desk, change):
    robin = person(desk)
    version = change(robin.id, name="Robin Shah").version
    with pytest.raises(StaleVersion):
        change(robin.id, job="sergeant", if_match=version - 1)
    assert change(robin.id, job="sergeant", if_match=version).job == "sergeant"


def test_address_is_one_persons_within_an_organisation_and_nobodys_business_elsewhere(desk, caller):
    hire(desk, caller)
    with pytest.raises(StateConflict):
        hire(desk, caller, email="KIM@police.example")
    eve = administrator(desk, "eve@operator.example", organisation="operator")
    other = holder(desk, enter(desk, eve).token)
    assert hire(desk, other).email == "kim@police.example"


@pytest.mark.parametrize(
    "email",
    [
        "kim",
        "kim@",
        "@police.example",
        "kim@police",
        "a b@c.de",
        "\N{KELVIN SIGN}im@police.example",
        "\N{LATIN SMALL LETTER LONG S}am@police.example",
        "kim@\N{KELVIN SIGN}.example",
    ],
)
def test_address_that_is_none_is_refused(desk, caller, email):
    with pytest.raises(InvalidRequest):
        hire(desk, caller, email=email)


# --- an administrator of one organisation at the doors of another


@pytest.fixture
def eve(desk):
    """The operator's administrator, signed in."""
    eve = administrator(desk, "eve@operator.example", organisation="operator")
    return holder(desk, enter(desk, eve).token)


def test_administrator_of_another_organisation_reaches_nobody(desk, ada, eve):
    robin = person(desk)
    token = enter(desk, robin).token
    session = holder(desk, token).key_id
    assert session is not None
    database, vault = desk.database, desk.vault
    attempts = [
        lambda: accounts.read_account(database, vault, eve, robin.id),
        lambda: accounts.change_account(database, vault, eve, ada.id, disabled=True, now=NOW),
        lambda: accounts.change_account(
            database, vault, eve, eve.staff_id and robin.id, roles=[Role.ADMINISTRATOR], now=NOW
        ),
        lambda: accounts.invite(database, vault, eve, ada.id, now=NOW),
        lambda: accounts.list_sessions_of(database, eve, robin.id, now=NOW),
        lambda: accounts.end_sessions_of(database, vault, eve, robin.id, now=NOW),
        lambda: accounts.end_session_of(database, vault, eve, robin.id, session, now=NOW),
        lambda: accounts.end_session(database, eve, session, now=NOW),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            attempt()
    listed = accounts.list_accounts(database, vault, eve, after=None, limit=50)
    assert [one.id for one in listed] == [eve.staff_id]
    assert holder(desk, token).staff_id == robin.id


def test_sql_as_another_organisations_staff_touches_no_account(desk, ada, eve):
    police, operator = desk.police.organisation_id, desk.operator.organisation_id
    before = desk.rows("select * from accounts where staff_id = %s", ada.id)
    with desk.database.staff(operator) as conn:
        assert conn.execute("select count(*) from accounts").fetchone() == (1,)
        changed = conn.execute(
            "update accounts set roles = '{auditor}', disabled_at = now(), invitation_hash = '',"
            " invited_until = now()"
        )
        assert changed.rowcount == 1, "their own"
        assert conn.execute("update staff set name = 'X'").rowcount == 2
        assert conn.execute("select distinct organisation_id from sessions").fetchall() == [
            (operator,)
        ]
        row = conn.execute("select end_keys_of(%s, null, false, now())", [ada.id]).fetchone()
        assert row == (0,)
    assert desk.rows("select * from accounts where staff_id = %s", ada.id) == before

    def insert(staff_id, organisation):
        with desk.database.staff(operator) as conn:
            conn.execute(
                "insert into accounts (staff_id, organisation_id, login_hash, key_version,"
                " wrapped_key, email, roles, created_at, updated_at)"
                " values (%s, %s, 'x', 1, '', '', '{administrator}', now(), now())",
                [staff_id, organisation],
            )

    with pytest.raises(REFUSED):
        insert(desk.police.staff_id, police)
    # One's own organisation, and a person of another.
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        insert(desk.police.staff_id, operator)
    with pytest.raises(REFUSED), desk.database.staff(operator) as conn:
        conn.execute(
            "insert into staff (organisation_id, name, role) values (%s, 'Eve', 'chief')", [police]
        )
    with pytest.raises(REFUSED), desk.database.staff(operator) as conn:
        conn.execute(
            "insert into sign_in_policies (organisation_id, requires_totp) values (%s, false)",
            [police],
        )


def test_policy_of_one_organisation_is_not_anothers(desk, ada, eve):
    robin = person(desk)
    accounts.change_policy(desk.database, desk.vault, eve, requires_totp=True, now=NOW)
    assert not enter(desk, robin).must_enrol
    assert accounts.read_policy(desk.database, eve) == {"requires_totp": True, "version": 1}
    with pytest.raises(StaleVersion):
        accounts.change_policy(
            desk.database, desk.vault, eve, requires_totp=False, if_match=7, now=NOW
        )
    accounts.change_policy(desk.database, desk.vault, eve, requires_totp=False, if_match=1, now=NOW)


def entries(desk, action):
    return desk.rows(
        "select staff_id, organisation_id, key_id, subject_id, request_id from audit_entries"
        " where action = %s order by id",
        action,
    )


def test_what_a_person_changes_of_how_they_sign_in_is_in_the_audit_log(desk):
    robin = person(desk, totp=True)
    me = holder(desk, enter(desk, robin).token)
    by = {"database": desk.database, "vault": desk.vault, "principal": me, "now": NOW}
    accounts.set_password(**by, password=OTHER, request_id="asked-1")
    accounts.new_recovery_codes(**by, request_id="asked-2")
    accounts.remove_totp(**by, request_id="asked-3")
    for action, asked in (
        ("account.password_set", "asked-1"),
        ("account.recovery_codes_made", "asked-2"),
        ("account.totp_removed", "asked-3"),
    ):
        assert entries(desk, action) == [
            {
                "staff_id": robin.id,
                "organisation_id": desk.police.organisation_id,
                "key_id": me.key_id,
                "subject_id": robin.id,
                "request_id": asked,
            }
        ]
    assert len(entries(desk, "account.totp_set_up")) == 1
    assert audit.verify(desk.database, desk.vault, now=NOW).broken is None


def test_password_that_is_set_by_an_invitation_has_no_actor(desk, caller):
    made = hire(desk, caller)
    invitation = accounts.invite(desk.database, desk.vault, caller, made.id, now=NOW)
    accounts.accept_invitation(
        desk.database, desk.vault, token=invitation.token, password=OTHER, now=NOW
    )
    (entry,) = entries(desk, "account.password_set")
    assert (entry["staff_id"], entry["key_id"], entry["subject_id"]) == (None, None, made.id)
    assert entry["organisation_id"] == desk.police.organisation_id


def test_key_of_a_disabled_person_opens_nothing_whenever_it_was_made(desk, change):
    robin = person(desk)
    change(robin.id, disabled=True)
    made = keys.create_staff_key(
        desk.database,
        desk.vault,
        organisation="police",
        person="Robin",
        role="officer",
        scopes=["alerts:read"],
        now=NOW,
    )
    whose = "select staff_id from api_keys where id = %s"
    desk.do("update api_keys set staff_id = %s where id = %s", robin.id, made.id)
    assert desk.rows(whose, made.id) == [{"staff_id": robin.id}]
    assert keys.authenticate(desk.database, desk.vault, made.token, now=NOW) is None
    change(robin.id, disabled=False)
    assert keys.authenticate(desk.database, desk.vault, made.token, now=NOW) is not None
