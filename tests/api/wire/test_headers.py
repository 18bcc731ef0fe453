import pytest
from flask import Response

from api.app import create_app
from api.wire.auth import require
from api.wire.blueprint import Blueprint
from tests.databases import settings_for
from tests.desk import keys_for, open_desk
from waylight.domain.principals import Kind

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
WANTED = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/v1/categories", 200),
        ("OPTIONS", "/v1/reports", 204),
        ("GET", "/v1/alerts", 401),
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/reports", 405),
        ("POST", "/v1/reports", 422),
    ],
)
def test_every_answer_tells_browsers_to_keep_quiet(client, method, path, status):
    answer = client.open(path, method=method)
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in WANTED} == WANTED
    assert "Strict-Transport-Security" not in answer.headers
    assert len(answer.headers.getlist("Vary")) <= 1


def test_a_page_may_say_what_it_needs_itself(settings):
    app = create_app(settings)
    blueprint = Blueprint("page", __name__)
    own = dict.fromkeys([*WANTED, "Cross-Origin-Resource-Policy", "Content-Language"], "own")

    @require(Kind.NOBODY)
    def page():
        return Response("", headers={**own, "Cache-Control": "private, max-age=5"})

    blueprint.add_url_rule("/page", view_func=page)
    app.extensions["waylight.api"].register_blueprint(blueprint)
    headers = app.test_client().get("/page").headers
    assert {name: headers[name] for name in own} == own
    assert headers["Cache-Control"] == "private, max-age=5"


def test_https_is_promised_only_where_it_is_spoken():
    behind = create_app(settings_for(NOWHERE, WAYLIGHT_TRUSTED_PROXIES="1")).test_client()
    alone = create_app(settings_for(NOWHERE)).test_client()
    said = {"X-Forwarded-Proto": "https"}
    assert "max-age=" in behind.get("/", headers=said).headers["Strict-Transport-Security"]
    assert "Strict-Transport-Security" not in behind.get("/").headers
    assert "Strict-Transport-Security" not in alone.get("/", headers=said).headers


@pytest.mark.parametrize(
    ("path", "varies"),
    [
        ("/v1/categories", {"Accept-Language", "Accept-Encoding"}),
        ("/v1/hubs", {"Accept-Encoding"}),
        ("/v1/hubs/nearest?lat=51.5&lon=-0.1", {"Accept-Encoding"}),
        ("/v1/places?q=camden", {"Accept-Encoding"}),
        ("/", {"Accept", "Accept-Encoding"}),
    ],
)
def test_a_kept_answer_says_by_what_it_varies_and_by_no_more(client, database, path, varies):
    answer = client.get(path)
    assert {name.strip() for name in answer.headers["Vary"].split(",")} == varies
    spanish = client.get(path, headers={"Accept-Language": "es"})
    assert (spanish.data != answer.data) == ("Accept-Language" in varies)
    same = spanish.headers.get("Content-Language") == answer.headers.get("Content-Language")
    assert same == ("Accept-Language" not in varies)


def test_a_problem_says_the_language_that_it_is_in(client):
    answer = client.get("/v1/nothing", headers={"Accept-Language": "es"})
    assert answer.headers["Content-Language"] == "en"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", "GET, HEAD, OPTIONS"),
        ("/v1/categories", "GET, HEAD, OPTIONS"),
        ("/v1/reports", "OPTIONS, POST"),
        ("/v1/reports/mine", "GET, HEAD, OPTIONS"),
        ("/v1/teams/team_01jdw2s4x0e6qv3t8k5n7b9c1d/duty", "OPTIONS, PUT"),
    ],
)
def test_options_and_405_name_the_same_methods(client, path, allowed):
    options = client.options(path)
    assert (options.status_code, options.data) == (204, b"")
    assert options.headers["Allow"] == allowed
    assert "Content-Type" not in options.headers
    for method in ("DELETE", "PATCH", "TRACE", "BREW"):
        wrong = client.open(path, method=method)
        assert (wrong.status_code, wrong.json["code"]) == (405, "method_not_allowed")
        assert wrong.headers["Allow"] == allowed


def test_head_of_what_takes_only_posts_is_a_405_without_a_body(client):
    answer = client.head("/v1/reports")
    assert (answer.status_code, answer.data) == (405, b"")
    assert answer.headers["Allow"] == "OPTIONS, POST"


OTHERS = {"name": "page.css", "recipient": "police"}
"""Parts of addresses that are no ids."""


def test_every_route_answers_options_with_its_methods(client):
    rules = list(client.application.url_map.iter_rules())
    for rule in rules:
        path = rule.rule
        for argument in rule.arguments:
            part = next(part for part in path.split("/") if argument in part)
            wire_id = f"{argument.removesuffix('_id')}_01jdw2s4x0e6qv3t8k5n7b9c1d"
            path = path.replace(part, wire_id if argument.endswith("_id") else OTHERS[argument])
        answer = client.options(path)
        assert answer.status_code == 204
        assert rule.methods <= set(answer.headers["Allow"].split(", "))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "BREW"])
@pytest.mark.parametrize("path", ["/v1/nothing", "/nothing", "/v1/hubs/nowhere/at/all"])
def test_what_is_not_there_is_a_problem_for_every_method(client, method, path):
    answer = client.open(path, method=method)
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["/v1/categories", "/v1/places?kind=station", "/v1/hubs"])
@pytest.mark.parametrize("version", ["*", '"1"', 'W/"1"', "nonsense"])
def test_if_match_guards_changes_and_no_look_at_what_is_public(client, london, path, version):
    answer = client.get(path, headers={"If-Match": version})
    assert answer.status_code == 200
    etag = answer.headers["ETag"]
    again = client.get(path, headers={"If-Match": version, "If-None-Match": etag})
    assert again.status_code == 304


def test_a_condition_on_a_post_changes_nothing(client, london):
    for name in ("If-None-Match", "If-Modified-Since"):
        answer = client.post("/v1/reports", json={"in_danger": True}, headers={name: "*"})
        assert answer.status_code == 201


def test_a_version_is_a_strong_etag_in_every_coding_and_opens_if_match(
    client, database, vault, settings
):
    desk = open_desk(database, vault, settings)
    token = keys_for(desk, (desk.police,))[desk.police]
    headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip, br, zstd"}
    team = client.get("/v1/teams", headers=headers).json["items"][0]["id"]
    etag = client.get(f"/v1/teams/{team}", headers=headers).headers["ETag"]
    assert etag.startswith('"')
    changed = client.put(
        f"/v1/teams/{team}/duty", json={"status": "busy"}, headers={**headers, "If-Match": etag}
    )
    assert changed.status_code == 200
