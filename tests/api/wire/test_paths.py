import pytest
from werkzeug.routing import Map, Rule
from werkzeug.test import Client
from werkzeug.wrappers import Response

from api.wire.paths import OneAddress


def ask(client, path, **more):
    """Sends the path as it is: the client itself would take `//host` for an address."""
    return client.open("/", environ_overrides={"PATH_INFO": path}, **more)


@pytest.mark.parametrize(
    "path",
    ["/v1/categories/", "//v1/categories", "/v1//categories", "///v1///categories///"],
)
def test_slashes_too_many_lead_to_the_same_thing(client, path):
    straight = client.get("/v1/categories")
    found = ask(client, path)
    assert (found.status_code, found.data) == (200, straight.data)


@pytest.mark.parametrize("path", ["/v1/reports/", "//v1/reports", "/v1//reports//"])
def test_a_report_is_taken_however_its_slashes_were_typed(client, london, path):
    answer = ask(client, path, method="POST", json={"categories": ["being_followed"]})
    assert answer.status_code == 201
    assert answer.headers["Location"].startswith("/v1/reports/report_")


@pytest.mark.parametrize("path", ["/v1/reports/", "//v1/reports"])
def test_a_report_is_never_limited_however_its_slashes_were_typed(client, path):
    answer = ask(client, path, method="POST", json={})
    assert answer.status_code == 422
    assert "RateLimit" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["//evil.example/", "//evil.example/..", "/%2f/evil.example", "/\\evil.example/", "///"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_path_leads_to_another_host(client, path, method):
    answer = ask(client, path, method=method)
    assert answer.status_code in (200, 404, 405)
    assert "Location" not in answer.headers


def test_a_link_to_the_next_page_has_one_address(client, london):
    query = {"limit": 1, "bbox": "-1,51,1,52"}
    link = ask(client, "//v1//hubs/", query_string=query).headers["Link"]
    assert link.startswith("</v1/hubs?limit=1&bbox=-1%2C51%2C1%2C52&cursor=")


def seen_by_the_app(path, *rules):
    routes = Map([Rule(rule) for rule in rules])
    app = OneAddress(lambda environ, start: Response(environ["PATH_INFO"])(environ, start), routes)
    return Client(app).open("/", environ_overrides={"PATH_INFO": path}).text


def test_a_route_that_ends_in_a_slash_keeps_it():
    assert seen_by_the_app("/docs/", "/docs/") == "/docs/"
    assert seen_by_the_app("//docs//", "/docs/") == "/docs/"
    assert seen_by_the_app("/docs/", "/docs") == "/docs"
    assert seen_by_the_app("/docs", "/docs/") == "/docs"
    assert seen_by_the_app("/", "/") == "/"


def test_a_question_about_the_whole_server_is_about_its_root():
    assert seen_by_the_app("*", "/") == "/"


@pytest.mark.parametrize("host", ["a b", "<script>", "a/b", "a@b"])
def test_an_invalid_host_is_refused(client, host):
    answer = client.get("/v1/categories", headers={"Host": host})
    assert (answer.status_code, answer.json["code"]) == (400, "bad_request")


def test_an_invalid_host_costs_nobody_their_report(client):
    answer = client.post("/v1/reports", json={}, headers={"Host": "a b"})
    assert answer.json["code"] == "nothing_to_act_on"
