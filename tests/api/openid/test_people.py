"""Who is who, and of which organisation."""

from datetime import UTC, datetime

import psycopg
import pytest

from schemas.common import WireId
from tests.api.openid.door import ROBIN, accounts_of, refused
from tests.staff import person
from waylight.services import identity_providers


def forget(at):
    """Forgets which of the provider's people the one account is that came by it."""
    (row,) = at.desk.rows("select staff_id from identities")
    identity_providers.forget_person(
        at.desk.database,
        at.desk.vault,
        at.caller,
        provider_id=at.row.id,
        staff_id=row["staff_id"],
        now=datetime.now(UTC),
    )


def test_a_disabled_person_is_refused_and_their_sessions_end_at_once(at):
    session = at.enter()
    at.desk.do("update accounts set disabled_at = now() where roles = '{responder}'")
    assert at.get("/v1/alerts", session).status_code == 401
    refused(at.enter())
    assert at.why() == ["disabled"]


def test_an_address_given_to_somebody_else_there_does_not_open_the_account(at):
    at.enter()
    at.fake.claims["sub"] = "another robin"
    refused(at.enter())
    assert at.why() == ["linked_otherwise"]
    forget(at)
    assert at.enter().status_code == 201


def test_only_the_named_domains_are_vouched_for(at):
    at.desk.do("update identity_providers set email_domains = '{police.example}'")
    at.fake.claims["email"] = "robin@evil.example"
    refused(at.enter())
    at.fake.claims["email"] = "robin@notpolice.example"
    refused(at.enter())
    at.fake.claims["email"] = "Robin@Police.Example"
    assert at.enter().status_code == 201


def test_a_provider_never_makes_anybody_a_person_of_another_organisation(at, hostile):
    """Everything that the provider of the operator can say, to become Ada of the police."""
    assert at.enter().status_code == 201
    before = at.desk.rows(
        "select a.* from accounts a join organisations o on o.id = organisation_id"
        " where o.key = 'police' order by staff_id"
    )
    heads = {"access": {"roles": ["head"]}, "groups": ["desk"], "amr": ["mfa"]}
    police = WireId.of("organisation", at.desk.police.organisation_id)
    for claims in (
        {"sub": "x", "email": at.ada.email, "email_verified": True},
        {"sub": "robin", "email": ROBIN["email"], "email_verified": True},
        {"sub": str(at.ada.id), "organisation": police, "organisation_id": police},
        {"sub": "y", "email": at.ada.email.upper(), "email_verified": True, "hd": "police.example"},
    ):
        hostile.fake.claims = heads | claims
        session = hostile.enter()
        if session.status_code == 201:
            listed = hostile.get("/v1/staff", session).json["items"]
            assert {one["organisation"] for one in listed if "organisation" in one} <= {"operator"}
            ids = {WireId.read("staff", one["id"]) for one in listed}
            assert not ids & {row["staff_id"] for row in before}
    theirs = at.desk.rows(
        "select distinct o.key from sessions s join organisations o on o.id = s.organisation_id"
        " where identity_provider_id = %s",
        hostile.row.id,
    )
    assert theirs == [{"key": "operator"}]
    assert before == at.desk.rows(
        "select a.* from accounts a join organisations o on o.id = organisation_id"
        " where o.key = 'police' order by staff_id"
    )


def test_two_providers_are_not_mixed_up(at, hostile):
    """A code of one is never good, or sent, to the other; nor is a token of the other one's key."""
    mine = hostile.begin()
    theirs = at.fake.visit(mine.json["url"])  # the victim was led to the police's provider instead
    refused(hostile.end(mine, theirs, iss=at.fake.issuer))
    assert hostile.why() == ["other_issuer"]
    assert hostile.fake.called("/token") == 0
    # Without `iss`, the token is held against the provider that the sign-in was begun with.
    mine = hostile.begin()
    back = hostile.fake.visit(mine.json["url"])
    hostile.fake.claims = {"iss": at.fake.issuer}
    hostile.fake.key = at.fake.key
    refused(hostile.end(mine, back))


def test_a_session_is_not_opened_by_hand_for_another_organisation(at, hostile, database):
    """The second lock: the database holds provider, person and acting organisation together."""
    assert at.enter().status_code == 201
    (known,) = at.desk.rows("select * from identities")
    call = (
        "select open_provider_session(uuid_v7(), %s, %s, '\\x00', 60, now() + interval '1 hour',"
        " null, true, now())"
    )
    with database.staff(at.desk.operator.organisation_id) as conn:
        for provider in (at.row.id, hostile.row.id):
            assert conn.execute(call, [provider, known["staff_id"]]).fetchone() == (False,)
        assert conn.execute("select count(*) from identities").fetchone() == (0,)
        assert conn.execute("select id from identity_providers").fetchall() == [(hostile.row.id,)]


def test_a_person_cannot_be_linked_to_a_provider_of_another_organisation(at, hostile):
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        at.desk.do(
            "insert into identities select %s, '\\x01', %s, %s, now(), now()",
            hostile.row.id,
            at.ada.id,
            at.desk.operator.organisation_id,
        )


@pytest.mark.parametrize(
    ("signed", "said"),
    [
        ({"email": "ada@police.example", "email_verified": None}, {"email": "robin@evil.example"}),
        ({"email": None, "email_verified": True}, {"email": "ada@police.example"}),
    ],
)
def test_no_address_is_verified_by_what_is_said_of_another(at, signed, said):
    """Ada's address typed in where it stands in one document, their own verified in the other."""
    at.fake.claims |= signed
    is_verified = signed["email_verified"] is None
    at.fake.userinfo = {"sub": "robin", "email_verified": is_verified, **said}
    refused(at.enter())
    assert at.why() == ["no_verified_email"]
    assert accounts_of(at.desk) == {"Ada": ["administrator"]}


def test_userinfo_may_say_that_the_address_in_the_token_is_verified(at):
    at.fake.claims["email_verified"] = None
    at.fake.userinfo = {"sub": "robin", "email": ROBIN["email"], "email_verified": True}
    assert at.enter().status_code == 201


def test_entras_word_for_the_domain_of_an_address_is_of_the_signed_address_alone(at):
    at.fake.claims |= {"email_verified": None, "xms_edov": True}
    at.fake.userinfo = {"sub": "robin", "email": ROBIN["email"]}
    assert at.enter().status_code == 201
    at.fake.claims |= {"sub": "another", "email": None}
    at.fake.userinfo = {"sub": "another", "email": "ada@police.example", "xms_edov": True}
    refused(at.enter())
    assert at.why() == ["no_verified_email"]


def test_another_letter_that_looks_like_theirs_is_not_their_address(at):
    """The Kelvin sign folds into a k; the mailbox is another."""
    person(at.desk, "kim@police.example", roles=("dispatcher",))
    at.fake.claims["email"] = "\N{KELVIN SIGN}im@police.example"
    refused(at.enter())
    assert at.why() == ["no_verified_email"]


def test_subjects_that_differ_in_what_no_text_can_hold_are_two(at):
    at.fake.claims["sub"] = "\ud800"
    assert at.enter().status_code == 201
    at.fake.claims["sub"] = "?"
    refused(at.enter())
    assert at.why() == ["linked_otherwise"]


def test_who_has_left_the_named_domains_comes_in_no_more(at):
    at.desk.do("update identity_providers set email_domains = '{police.example}'")
    assert at.enter().status_code == 201
    for left in ({"email": "robin@elsewhere.example"}, {"email_verified": False}, {"email": None}):
        at.fake.claims |= ROBIN | left
        refused(at.enter())
        assert at.why() == ["no_verified_email"]
    at.fake.claims |= ROBIN | {"email": "robin.shah@police.example"}
    assert at.enter().status_code == 201


def test_whoever_is_forgotten_is_signed_out(at):
    """They may be somebody else, who was taken for this person."""
    session = at.enter()
    forget(at)
    assert at.get("/v1/alerts", session).status_code == 401
