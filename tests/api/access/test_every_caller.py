"""Every endpoint called by every kind of caller, for what is theirs, granted and another's.

A route that is not in TABLE fails. What is expected stands there by hand, not as the routes declare
it: a route that opens by mistake fails too. Every call is undone before the next.
"""

import re
from dataclasses import dataclass

import pytest

from api.wire.providers import twilio_signature
from tests.api.access.table import TABLE
from tests.api.access.world import NOTIFY
from tests.tokens import token
from waylight.services.keys import SCOPES

PARTS = 4
"""So that several processes share the work."""


@dataclass(frozen=True)
class Call:
    """One caller, and what they are answered; `sees` if they may read the ids of the world."""

    who: str
    status: int | None
    secret: str | None
    scheme: str = "Bearer"
    sees: bool = False


def of_a_public_route(world, route):
    yield Call("nobody", route.public, None)
    yield Call("receipt", route.public, world.report.receipt, "Receipt")
    yield Call("wrong key", route.public, token("staff", "nobody"))
    for who in ("police", "client"):
        yield Call(who, route.public, world.key(who))


def of_the_passenger_s(world, route):
    without, own, another = route.passenger
    yield Call("own receipt", own, world.report.receipt, "Receipt", sees=True)
    yield Call("receipt of another", another, world.other_report.receipt, "Receipt")
    yield Call("nobody", without, None)
    yield Call("nonsense", without, "K7QD-0000", "Receipt")
    for who in ("police", "control", "operator", "client"):
        yield Call(who, without, world.key(who))


def of_those_who_are_nobody(world, _route):
    yield Call("nobody", 401, None)
    yield Call("own receipt", 401, world.report.receipt, "Receipt")
    yield Call("receipt of another", 401, world.other_report.receipt, "Receipt")
    yield Call("wrong key", 401, token("staff", "nobody"))


def of_a_provider_s(world, route):
    yield from of_those_who_are_nobody(world, route)
    for who in ("police", "client"):
        yield Call(who, 401, world.key(who))


def of_programs(world, route):
    less = [scope for scope in SCOPES if scope not in (route.scope, route.or_scope)]
    yield Call("client without the scope", 403, world.key("client", less))
    yield Call("access token without the scope", 403, world.access_token(less))
    own, other = (route.own, route.other) if route.clients else (route.programs or 403,) * 2
    yield Call("client", own, world.key("client"), sees=True)
    yield Call("access token", own, world.access_token(SCOPES), sees=True)
    yield Call("client of another", other, world.key("client of another"))


def of_staff(world, route):
    yield Call("provider", 401, NOTIFY)
    less = [scope for scope in SCOPES if scope not in (route.scope, route.or_scope)]
    if route.scope is not None:
        yield Call(f"{route.owner} without the scope", 403, world.key(route.owner, less))
    yield Call(route.owner, route.own, world.key(route.owner), sees=True)
    yield Call("control", route.granted, world.key("control"), sees=True)
    yield Call("operator", route.other, world.key("operator"))


def calls(world, route):
    if route.public is not None:
        return of_a_public_route(world, route)
    if route.passenger is not None:
        return of_the_passenger_s(world, route)
    if route.provider is not None:
        return of_a_provider_s(world, route)
    return (
        call
        for group in (of_those_who_are_nobody, of_programs, of_staff)
        for call in group(world, route)
    )


def answer_to(world, name, route, call):
    """One call, undone again: what is wrong with its answer."""
    method, path = name.split(" ")
    path = path.replace("{alert_id}", "{hub_alert_id}") if route.owner == "hub_host" else path
    with world.desk.database._conn.transaction(force_rollback=True):
        route.before(world)
        answer = world.call(method, path + route.query, call.secret, route.body, scheme=call.scheme)
    what = f"{name} for {call.who}"
    if answer.status_code != call.status:
        yield f"{what}: {answer.status_code} and not {call.status}: {answer.text[:200]}"
    if not call.sees and route.public is None:
        asked = set(re.findall(r"[a-z]+_[0-9a-z]{26}", path.format_map(world.ids)))
        told = [one for one in world.secret_ids - asked if one in answer.text]
        if call.scheme == "Receipt":  # whom a city has for what is no secret to passengers
            told = [one for one in told if not one.startswith("organisation_")]
        if told:
            yield f"{what}: tells {sorted(told)}"


def test_every_route_is_in_the_table(app):
    there = set()
    for rule in app.url_map.iter_rules():
        path = "".join(f"{{{part}}}" if dynamic else part for dynamic, part in rule._trace)
        methods = rule.methods - {"HEAD", "OPTIONS"}
        there |= {f"{method} {path.removeprefix('|')}" for method in methods}
    assert there == set(TABLE)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_endpoint_answers_every_kind_of_caller_as_the_table_has_it(world, part):
    wrong = [
        fault
        for name in sorted(TABLE)[part::PARTS]
        for call in calls(world, TABLE[name])
        if call.status is not None
        for fault in answer_to(world, name, TABLE[name], call)
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_only_providers_are_taken_for_providers(world):
    for name, route in TABLE.items():
        if route.provider is None:
            continue
        method, path = name.split(" ")
        if "notify" in path:
            answer = world.call(method, path, NOTIFY, route.body)
        else:
            form = {
                "MessageSid": "SM1",
                "MessageStatus": "sent",
                "From": "+447400123456",
                "Body": "x",
            }
            base = world.desk.settings.base_url.rstrip("/")
            signature = twilio_signature("twilio-auth-token", base + path, form.items())
            headers = {"X-Twilio-Signature": signature}
            answer = world.call(method, path, None, None, form=form, **headers)
            forged = world.call(method, path, None, None, form=form | {"Body": "y"}, **headers)
            assert forged.status_code == 401
        assert answer.status_code == route.provider, answer.text
