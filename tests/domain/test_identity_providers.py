"""What the word of an OpenID provider is worth."""

from datetime import UTC, datetime, timedelta

import pytest

from waylight.domain.identity_providers import (
    RoleRule,
    claim_names,
    has_second_factor,
    is_domain,
    is_fresh,
    name_of,
    problem_with_redirect,
    roles_of,
    verified_email,
)
from waylight.domain.roles import Role

NOW = datetime(2026, 11, 21, 23, 41, tzinfo=UTC)
RULES = (
    RoleRule("groups", "desk", Role.RESPONDER),
    RoleRule("groups", "heads", Role.DISPATCHER),
    RoleRule("/realm_access/roles", "admin", Role.ADMINISTRATOR),
    RoleRule("https://id.example/role", "audit", Role.AUDITOR),
    RoleRule("/a~1b/c~0d", "x", Role.ANALYST),
)


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({"groups": ["desk", "heads"]}, {Role.RESPONDER, Role.DISPATCHER}),
        ({"groups": "desk"}, {Role.RESPONDER}),
        ({"groups": "desk heads"}, set()),
        ({"groups": ["Desk"]}, set()),
        ({"groups": [["desk"], {"desk": 1}, None, 1]}, set()),
        ({"groups": {"desk": True}}, set()),
        ({"groups": None}, set()),
        ({"realm_access": {"roles": ["admin"]}}, {Role.ADMINISTRATOR}),
        ({"realm_access": [{"roles": ["admin"]}]}, set()),
        ({"/realm_access/roles": ["admin"]}, set()),
        ({"https://id.example/role": "audit"}, {Role.AUDITOR}),
        ({"a/b": {"c~d": "x"}}, {Role.ANALYST}),
        ({}, set()),
    ],
)
def test_roles_are_given_by_the_exact_value_where_the_rule_looks(claims, roles):
    assert roles_of(RULES, claims) == roles


def test_claims_that_rules_look_at_are_known_by_their_names_at_the_top():
    assert claim_names(RULES) == {"groups", "realm_access", "https://id.example/role", "a/b"}


@pytest.mark.parametrize(
    ("claims", "domains", "email"),
    [
        ({"email": "a@b.example", "email_verified": True}, [], "a@b.example"),
        ({"email": "a@B.Example", "email_verified": True}, ["b.example"], "a@b.example"),
        ({"email": "a@x.b.example", "email_verified": True}, ["b.example"], None),
        ({"email": "a@xb.example", "email_verified": True}, ["b.example"], None),
        ({"email": "a@b.example@evil.example", "email_verified": True}, ["b.example"], None),
        ({"email": "a@b.example", "email_verified": "true"}, [], None),
        ({"email": "a@b.example", "email_verified": 1}, [], None),
        ({"email": "a@b.example"}, [], None),
        ({"email": ["a@b.example"], "email_verified": True}, [], None),
        ({"email_verified": True}, [], None),
    ],
)
def test_only_a_verified_address_of_a_named_domain_counts(claims, domains, email):
    found = verified_email(claims, domains)
    assert (found and found.lower()) == email


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ({"xms_edov": True}, True),
        ({"xms_edov": 1}, True),
        ({"xms_edov": "1"}, True),
        ({"xms_edov": False}, False),
        ({"xms_edov": "0"}, False),
        ({"xms_edov": [True]}, False),
        ({"xms_edov": True, "email_verified": False}, False),
        ({"xms_edov": True, "email_verified": "true"}, False),
        ({"xms_edov": False, "email_verified": True}, True),
    ],
)
def test_entra_says_that_the_domain_is_its_directorys_where_others_say_verified(said, counts):
    found = verified_email({"email": "robin@police.example", **said}, ["police.example"])
    assert (found is not None) is counts


@pytest.mark.parametrize(
    ("claims", "is_one"),
    [
        ({"amr": ["pwd", "mfa"]}, True),
        ({"acr": "mfa"}, True),
        ({"amr": "mfa"}, False),
        ({"amr": ["pwd"], "acr": "1"}, False),
        ({"amr": [["mfa"]], "acr": ["mfa"]}, False),
        ({}, False),
    ],
)
def test_second_factor_is_one_of_the_values_that_are_believed(claims, is_one):
    assert has_second_factor(claims, ["mfa", "hwk"]) is is_one
    assert not has_second_factor(claims, [])


@pytest.mark.parametrize(
    ("auth_time", "fresh"),
    [
        (NOW.timestamp(), True),
        ((NOW - timedelta(seconds=60)).timestamp(), True),
        ((NOW - timedelta(seconds=61)).timestamp(), False),
        ((NOW + timedelta(seconds=60)).timestamp(), True),
        ((NOW + timedelta(seconds=61)).timestamp(), False),
        (NOW.timestamp() * 1000, False),
        (float("inf"), False),
        (float("nan"), False),
        (str(NOW.timestamp()), False),
        (True, False),
        (None, False),
    ],
)
def test_it_is_fresh_when_they_signed_in_there_after_it_began(auth_time, fresh):
    assert is_fresh({"auth_time": auth_time}, since=NOW, now=NOW) is fresh


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "Robin Shah"}, "Robin Shah"),
        ({"name": " Robin\r\n\tShah\u202e "}, "Robin Shah"),
        ({"name": "x" * 200}, "x" * 80),
        ({"name": "Robin\ud83d Shah"}, "Robin Shah"),  # half an emoji, which no text can hold
        ({"name": ""}, "robin"),
        ({"name": {"given": "Robin"}}, "robin"),
        ({}, "robin"),
    ],
)
def test_new_person_is_called_what_the_provider_says_on_one_line(claims, name):
    assert name_of(claims, "robin@police.example") == name


@pytest.mark.parametrize(
    "uri",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://desk.example\\@evil.example/",
        "https://desk.example/\n",
        "HTTPS://desk.example/",
        "ftp://desk.example/",
        "http://127.0.0.1:99999999/",
        "http://127.0.0.1@evil.example/",
        "desk://signed-in",
        "example.desk:",
        "",
        "https://desk.example/" + "x" * 2_048,
    ],
)
def test_address_that_leads_elsewhere_is_none_to_be_sent_back_to(uri):
    assert problem_with_redirect(uri) is not None


@pytest.mark.parametrize(
    "uri",
    ["https://desk.corp.internal/signed-in", "https://desk/", "https://10.20.7.5:8443/signed-in"],
)
def test_page_of_the_operators_own_network_can_be_sent_back_to(uri):
    assert problem_with_redirect(uri) is None


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("police.example", True), ("example", False), ("*.example", False), ("a..example", False)],
)
def test_domain_is_what_addresses_end_in(text, is_one):
    assert is_domain(text) is is_one
