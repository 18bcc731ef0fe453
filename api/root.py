"""Where a newcomer arrives: what is here, and where it is described."""

from html import escape

from flask import Response, current_app, json, make_response
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

import waylight
from api.wire.auth import require
from api.wire.blueprint import Blueprint, public
from api.wire.negotiation import HTML, JSON, best_of
from schemas.root import RootOut
from waylight.domain.principals import Kind

blueprint = Blueprint("root", __name__, description="The way in.")

LINKS = {
    "documentation": "/docs",
    "specification": "/openapi.json",
    "specification_yaml": "/openapi.yaml",
    "health": "/healthz",
    "readiness": "/readyz",
    "categories": "/v1/categories",
    "places": "/v1/places",
    "hubs": "/v1/hubs",
}
"""What a newcomer may open with a plain GET, the description first."""

RELATIONS = {
    "documentation": f'rel="service-doc"; type="{HTML}"',
    "specification": f'rel="service-desc"; type="{JSON}"',
    "readiness": 'rel="status"',
}
"""The links that programs look for (RFC 8631)."""

PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Waylight</title>
<h1>Waylight</h1>
<p>Takes a report of harassment, following or spiking on the way, tells the transport safety team
that must know, and tells the passenger where the nearest open safe-travel hub is.</p>
<ul>
{links}
</ul>
<p>This page is for people; programs get JSON.</p>
</html>
"""


@blueprint.route("/")
@require(Kind.NOBODY)
@public(max_age_s=300)
@blueprint.response(200, RootOut, example=RootOut.example)
@blueprint.alt_response(200, schema={"type": "string"}, content_type=HTML, success=True)
def root() -> ResponseReturnValue:
    """What is here: the description of this API and where to begin."""
    response = _page() if best_of((JSON, HTML)) == HTML else _document()
    response.vary.add("Accept")
    links = _links()
    for name in filter(links.get, RELATIONS):
        response.headers.add("Link", f"<{links[name]}>; {RELATIONS[name]}")
    return response


def _document() -> Response:
    about = {"name": "Waylight", "version": waylight.__version__, "links": _links()}
    return json.jsonify(RootOut().dump(about))


def _page() -> Response:
    items = (
        f'<li><a href="{escape(path)}">{escape(name.replace("_", " "))}</a></li>'
        for name, path in _links().items()
    )
    response = make_response(PAGE.format(links="\n".join(items)))
    response.headers["Content-Language"] = "en"
    return response


def _links() -> dict[str, str]:
    """Those that lead somewhere."""
    return {name: path for name, path in LINKS.items() if _leads_somewhere(path)}


def _leads_somewhere(path: str) -> bool:
    try:
        current_app.url_map.bind("localhost").match(path, method="GET")
    except HTTPException as error:
        return error.code == 308  # to the same with a slash
    return True
