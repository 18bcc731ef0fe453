import io
from types import SimpleNamespace

import pytest
from marshmallow import fields

from api.app import create_app
from api.wire import errors
from api.wire.auth import require
from api.wire.blueprint import Blueprint
from api.wire.errors import TABLE, kind_of, problems
from schemas.common import Body, Flag, Number, Position, Timestamp, WireId
from tests.api.checked_client import check_every_answer
from waylight.domain.errors import InvalidRequest, NotFound, PackRejected, Problem, Unavailable
from waylight.domain.principals import Kind

STORY = "he followed me from the bar"


class ThingIn(Body):
    count = fields.Integer(strict=True)
    share = Number()
    sure = Flag()
    at = Timestamp()
    where = Position()
    hub = WireId("hub")
    name = fields.String(required=True)
    tags = fields.List(fields.String())


class Odd(Exception):
    pass


class NewError(InvalidRequest):
    """A kind of invalid request that nobody has put into the table."""

    code = "new_kind"


@pytest.fixture
def raising(settings):
    """The app with routes that take a thing and raise whatever the test has put on it."""
    app = create_app(settings)
    blueprint = Blueprint("raising", __name__)
    app.extensions["raised"] = None

    @blueprint.route("/things", methods=["POST"])
    @require(Kind.NOBODY)
    @blueprint.arguments(ThingIn)
    @blueprint.response(200, ThingIn)
    def take(thing):
        return thing

    @blueprint.route("/raise")
    @require(Kind.NOBODY)
    @blueprint.response(204)
    def raise_it():
        raise app.extensions["raised"]

    app.extensions["waylight.api"].register_blueprint(blueprint)
    return app


@pytest.fixture
def client(raising):
    return raising.test_client()


def post(client, **kwargs):
    check_every_answer(client.application)
    return client.application.test_client().post("/things", **kwargs)


@pytest.mark.parametrize("error", TABLE, ids=lambda error: error.__name__)
def test_every_error_of_the_table_is_a_problem_with_its_status(client, error):
    client.application.extensions["raised"] = error(
        **({} if error.__init__ is not InvalidRequest.__init__ else {"problems": ()})
    )
    answer = client.get("/raise")
    assert answer.status_code == TABLE[error].status == answer.json["status"]
    assert answer.mimetype == "application/problem+json"
    assert answer.json["type"] == f"urn:waylight:problem:{error.code}"
    assert answer.json["title"] == TABLE[error].title
    assert answer.json["code"] == error.code
    assert answer.json["detail"]
    assert answer.json["errors"] == []
    assert answer.headers["Cache-Control"] == "no-store"


def test_every_code_has_one_meaning():
    codes = [error.code for error in TABLE]
    assert len(codes) == len(set(codes))
    assert all(error.__doc__ for error in TABLE)


def test_a_problem_carries_each_thing_that_is_wrong(client):
    client.application.extensions["raised"] = InvalidRequest(
        problems=[Problem("/where", "outside", "That is at sea.")]
    )
    answer = client.get("/raise")
    assert answer.json["errors"] == [
        {"pointer": "/where", "code": "outside", "detail": "That is at sea."}
    ]


def test_a_new_kind_of_a_known_error_is_answered_like_it(client):
    client.application.extensions["raised"] = NewError()
    answer = client.get("/raise")
    assert (answer.status_code, answer.json["code"]) == (422, "new_kind")


def test_an_unavailable_database_says_when_to_come_back(client):
    client.application.extensions["raised"] = Unavailable()
    answer = client.get("/raise")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("error", [Odd(STORY), ValueError(STORY), PackRejected(STORY), KeyError()])
def test_what_nobody_foresaw_is_a_500_that_says_nothing_of_it(client, monkeypatch, error):
    logged = []
    monkeypatch.setattr(
        errors, "log", SimpleNamespace(error=lambda event, **said: logged.append((event, said)))
    )
    client.application.extensions["raised"] = error
    answer = client.get("/raise")
    assert answer.status_code == 500
    assert answer.json["code"] == "internal"
    assert STORY not in answer.text
    assert "Traceback" not in answer.text
    assert "test_errors" not in answer.text
    assert logged == [("request_failed", {"exc_info": error})]


def test_an_error_that_is_not_in_the_table_has_no_row():
    with pytest.raises(LookupError):
        kind_of(PackRejected())


def test_no_route_and_no_such_thing_look_the_same(client):
    client.application.extensions["raised"] = NotFound()
    missing, hidden = client.get("/v1/nothing"), client.get("/raise")
    assert missing.json == hidden.json
    assert missing.status_code == hidden.status_code == 404


def test_a_wrong_method_says_which_are_right(client):
    answer = client.post("/v1/categories")
    assert answer.status_code == 405
    assert answer.json["code"] == "method_not_allowed"
    assert {"GET", "HEAD"} <= set(answer.headers["Allow"].split(", "))


@pytest.mark.parametrize(
    ("thing", "pointer", "code"),
    [
        ({}, "/name", "required"),
        ({"name": None}, "/name", "null"),
        ({"name": 5}, "/name", "not_a_string"),
        ({"name": "x", "more": 1}, "/more", "unknown"),
        ({"name": "x", "count": "5"}, "/count", "invalid"),
        ({"name": "x", "count": 5.5}, "/count", "invalid"),
        ({"name": "x", "count": True}, "/count", "invalid"),
        ({"name": "x", "share": "51.5"}, "/share", "invalid"),
        ({"name": "x", "share": True}, "/share", "invalid"),
        ({"name": "x", "sure": 1}, "/sure", "invalid"),
        ({"name": "x", "sure": "true"}, "/sure", "invalid"),
        ({"name": "x", "at": "2026-11-21"}, "/at", "invalid"),
        ({"name": "x", "at": "2026-11-21T10:00:00"}, "/at", "invalid"),
        ({"name": "x", "at": 5}, "/at", "invalid"),
        ({"name": "x", "where": [0, 51]}, "/where", "invalid"),
        ({"name": "x", "where": {"type": "Point"}}, "/where", "invalid"),
        ({"name": "x", "where": {"type": "Point", "coordinates": 5}}, "/where", "invalid"),
        ({"name": "x", "where": {"type": "Point", "coordinates": [0]}}, "/where", "invalid"),
        ({"name": "x", "where": {"type": "Point", "coordinates": [0, 91]}}, "/where", "invalid"),
        ({"name": "x", "where": {"type": "Point", "coordinates": ["0", 5]}}, "/where", "invalid"),
        ({"name": "x", "hub": "team_01jdw2s4x0e6qv3t8k5n7b9c1d"}, "/hub", "invalid"),
        ({"name": "x", "hub": 7}, "/hub", "invalid"),
        ({"name": "x", "tags": "a"}, "/tags", "not_a_list"),
        ({"name": "x", "tags": ["a", 5]}, "/tags/1", "not_a_string"),
        ([], "", "not_an_object"),
        ("text", "", "not_an_object"),
        (5, "", "not_an_object"),
    ],
)
def test_each_wrong_field_is_pointed_at(raising, thing, pointer, code):
    answer = post(raising.test_client(), json=thing)
    assert answer.status_code == 422
    (error,) = answer.json["errors"]
    assert (error["pointer"], error["code"]) == (pointer, code)


def test_a_right_thing_comes_back_as_it_was(raising):
    thing = {
        "name": "x",
        "count": 5,
        "share": 0.5,
        "sure": True,
        "at": "2026-11-21T23:00:00.25+01:00",
        "where": {"type": "Point", "coordinates": [-0.14261234, 51]},
        "hub": "hub_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "tags": [],
    }
    answer = post(raising.test_client(), json=thing)
    assert answer.status_code == 200
    assert answer.json == thing | {
        "at": "2026-11-21T22:00:00.250Z",
        "where": {"type": "Point", "coordinates": [-0.1426123, 51.0]},
    }


def test_nothing_of_the_body_is_repeated(raising):
    strange = "x" * 80
    thing = {"name": {"story": STORY}, strange: STORY, "he followed me": 1, "at": STORY}
    answer = post(raising.test_client(), json=thing)
    assert answer.status_code == 422
    assert "followed" not in answer.text
    assert strange not in answer.text
    assert len(answer.json["errors"]) == 4


def test_a_thousand_mistakes_do_not_fill_the_answer(raising):
    answer = post(raising.test_client(), json={f"field{n}": n for n in range(1000)})
    assert answer.status_code == 422
    assert 1 <= len(answer.json["errors"]) <= 50


@pytest.mark.parametrize(
    ("body", "media_type", "status", "code"),
    [
        (b'{"name": "x", "share": NaN}', "application/json", 400, "malformed_json"),
        (b'{"name": "x"', "application/json", 400, "malformed_json"),
        (b"\xff\xfe", "application/json", 400, "malformed_json"),
        (b"[" * 5000, "application/json", 400, "malformed_json"),
        (b'{"name": "x", "name": "y"}', "application/json", 400, "malformed_json"),
        (b'{"name": "x"}', "text/plain", 415, "unsupported_media_type"),
        (b"name=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"", "application/json", 422, "invalid_request"),
        (b"null", "application/json", 422, "invalid_request"),
        (b'{"name": "x"}', "application/merge-patch+json", 200, None),
        (b'{"name": "x"}', "application/json; charset=utf-8", 200, None),
    ],
)
def test_what_is_not_strict_json_stops_at_the_door(raising, body, media_type, status, code):
    answer = post(raising.test_client(), data=body, content_type=media_type)
    assert answer.status_code == status
    assert answer.json.get("code") == code


def test_a_body_over_the_limit_is_refused_also_when_its_length_is_not_told(raising, settings):
    big = b'{"name": "' + b"x" * settings.report_size_limit + b'"}'
    told = post(raising.test_client(), data=big, content_type="application/json")
    untold = post(
        raising.test_client(),
        input_stream=io.BytesIO(big),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True},
    )
    for answer in (told, untold):
        assert answer.status_code == 413
        assert answer.json["code"] == "body_too_large"


def test_marshmallow_messages_of_several_places_become_pointers():
    tree = {
        "json": {"a": {0: ["Not a valid string."], "_schema": ["Invalid."]}},
        "query": {"q": ["No."]},
    }
    assert [(p.pointer, p.code) for p in problems(tree)] == [
        ("/a/0", "not_a_string"),
        ("/a", "invalid"),
        ("q", "invalid"),
    ]


@pytest.mark.parametrize(
    "given", ["abcdefgh", "A.b-C_9" * 9, "550e8400-e29b-41d4-a716-446655440000"]
)
def test_a_sane_request_id_is_kept(client, given):
    assert client.get("/nope", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "a b c d e f", "<script>1", "id=1;drop"])
def test_a_strange_request_id_is_replaced(client, given):
    kept = client.get("/nope", headers={"X-Request-Id": given}).headers["X-Request-Id"]
    assert kept != given
    assert len(kept) == 32


def test_answers_tell_browsers_to_keep_quiet(client):
    headers = client.get("/nope").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
