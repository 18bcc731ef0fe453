import re

import orjson
import pytest

import waylight
from api.app import create_app
from api.root import LINKS
from api.wire.auth import require
from api.wire.blueprint import Blueprint
from waylight.domain.principals import Kind

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def test_a_program_learns_where_to_begin(client):
    answer = client.get("/")
    assert answer.json["name"] == "Waylight"
    assert answer.json["version"] == waylight.__version__
    assert answer.json["links"]["hubs"] == "/v1/hubs"


def test_a_person_with_a_browser_gets_a_page_with_the_same_links(client):
    links = client.get("/").json["links"]
    answer = client.get("/", headers={"Accept": BROWSER})
    assert answer.mimetype == "text/html"
    assert re.findall(r'href="([^"]+)"', answer.text) == list(links.values())
    assert answer.headers["Content-Language"] == "en"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("text/*", "text/html"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("image/png", "application/json"),
    ],
)
def test_the_root_has_two_forms_and_refuses_nobody(client, accept, media_type):
    answer = client.get("/", headers={"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (200, media_type)
    assert "Accept" in answer.headers["Vary"].split(", ")


def test_the_two_forms_are_kept_apart_by_caches(client):
    page = client.get("/", headers={"Accept": BROWSER})
    document = client.get("/", headers={"If-None-Match": page.headers["ETag"]})
    assert (document.status_code, document.mimetype) == (200, "application/json")


def test_no_link_leads_nowhere(client, london):
    for path in client.get("/").json["links"].values():
        # 503: there is no worker here to be ready.
        assert client.get(path).status_code in (200, 308, 503), path


def links_of(client):
    return orjson.loads(client.get("/").data)["links"]


def test_what_is_there_is_linked_also_for_programs(settings):
    app = create_app(settings)
    missing = set(LINKS) - set(links_of(app.test_client()))
    blueprint = Blueprint("more", __name__)
    for name in missing:
        blueprint.add_url_rule(LINKS[name], name, require(Kind.NOBODY)(lambda: ""))
    app = create_app(settings)
    app.extensions["waylight.api"].register_blueprint(blueprint)
    answer = app.test_client().get("/")
    assert links_of(app.test_client()) == LINKS
    assert answer.headers.getlist("Link") == [
        '</docs>; rel="service-doc"; type="text/html"',
        '</openapi.json>; rel="service-desc"; type="application/json"',
        '</readyz>; rel="status"',
    ]
