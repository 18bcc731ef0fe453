import gzip
import re
from pathlib import Path

import orjson
import pytest
from flask.testing import FlaskClient

from api.openapi import openapi_document, openapi_yaml
from api.reference.content import PARTS, page

ROOT = Path(__file__).resolve().parent.parent.parent
REFERENCE = ["/openapi.json", "/openapi.yaml", "/docs", *(f"/docs/{name}" for name in PARTS)]
OURS = ("page.html", "start.js", "page.css")
ADDRESS = re.compile(r"(?:src|href|action)=\"([^\"]*)\"")


def test_the_json_is_the_document_of_the_code(client):
    answer = client.get("/openapi.json")
    assert answer.content_type == "application/json"
    assert orjson.loads(answer.data) == openapi_document()


def test_the_yaml_is_the_committed_file(client):
    answer = client.get("/openapi.yaml")
    assert answer.content_type == "application/yaml"
    assert answer.text == openapi_yaml()


@pytest.mark.parametrize("path", REFERENCE)
def test_all_of_it_may_be_kept_and_asked_for_again_cheaply(client, path):
    first = client.get(path)
    assert re.fullmatch(r"public, max-age=\d+", first.headers["Cache-Control"])
    again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("path", REFERENCE)
def test_it_is_packed_for_those_who_take_that(app, path):
    client = FlaskClient(app, app.response_class)  # the checked one reads what is not packed
    plain = client.get(path)
    packed = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert packed.headers["ETag"] != plain.headers["ETag"]
    for answer in (plain, packed):
        assert "Accept-Encoding" in answer.headers["Vary"]
    refused = client.get(path, headers={"Accept-Encoding": "gzip;q=0, identity"})
    assert refused.data == plain.data


@pytest.mark.parametrize("path", REFERENCE)
def test_it_is_in_english_and_says_so(client, path):
    answer = client.get(path, headers={"Accept-Language": "ar"})
    assert answer.headers["Content-Language"] == "en"


def test_the_page_has_a_language_a_title_and_parts_that_are_all_served_here(client):
    html = client.get("/docs").text
    assert '<html lang="en"' in html
    assert "<title>Waylight API reference</title>" in html
    assert 'name="viewport"' in html
    asked = [address for address in ADDRESS.findall(html) if not address.startswith(("#", "data:"))]
    assert {f"/docs/{name}" for name in PARTS} <= set(asked)
    for address in asked:
        assert client.get(address).status_code == 200, address


def test_the_page_leads_to_the_first_report(client):
    link = re.search(r'href="#/(\w+)/(\w+)"', client.get("/docs").text)
    assert link is not None
    submit = openapi_document()["paths"]["/v1/reports"]["post"]
    assert link.groups() == (submit["tags"][0], submit["operationId"])


def test_no_part_of_ours_names_another_server():
    for name in OURS:
        text = (ROOT / "api" / "reference" / name).read_text(encoding="utf-8")
        assert not re.search(r"//[\w.-]+\.\w|https?:|@import", text), name


def test_the_style_of_swagger_ui_loads_nothing(client):
    style = client.get("/docs/swagger-ui.css").text
    found = re.findall(r"url\(\s*[\"']?(\w+:?)", style)
    assert found
    assert set(found) == {"data:"}
    assert "@import" not in style


def test_the_policy_of_the_page_lets_nothing_in_and_nothing_out(client):
    headers = client.get("/docs").headers
    policy = dict(
        rule.strip().split(" ", 1) for rule in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert not re.search(r"unsafe|\*|https?:|\w\.\w", headers["Content-Security-Policy"])
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_holds_no_script_and_no_style_that_the_policy_would_stop(client):
    html = client.get("/docs").text
    assert re.findall(r"<script[^>]*>([^<]*)</script>", html) == ["", ""]
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)


def test_on_a_live_service_only_reading_can_be_tried_and_the_page_says_why():
    html = page("production").plain.decode()
    assert 'data-methods="get"' in html
    assert "alerts real people" in html


@pytest.mark.parametrize("profile", ["demo", "test"])
def test_elsewhere_a_report_can_be_tried_and_the_page_says_what_that_does(profile):
    html = page(profile).plain.decode()
    assert 'data-methods="get post put patch delete"' in html
    assert "On a live service the same call alerts real people." in html


def test_keys_and_receipts_are_kept_nowhere_and_the_document_is_validated_nowhere():
    script = (ROOT / "api" / "reference" / "start.js").read_text(encoding="utf-8")
    assert "persistAuthorization: false" in script
    assert "validatorUrl: null" in script
    assert not re.search(r"localStorage|sessionStorage|document\.cookie|queryConfigEnabled", script)


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "..%2Fstart.js",
        "../content.py",
        "%2e%2e/content.py",
        "__init__.py",
        "a" * 999,
    ],
)
def test_nothing_else_is_served_beside_the_page(client, name):
    assert client.get(f"/docs/{name}").status_code == 404


def test_no_example_of_a_key_is_published_for_strangers_to_share():
    """The page fills in examples: two who tried it would be one caller, with one receipt."""
    submit = openapi_document()["paths"]["/v1/reports"]["post"]
    key = next(p for p in submit["parameters"] if p["name"] == "Idempotency-Key")
    assert not {"example", "examples"} & {*key, *key["schema"]}
