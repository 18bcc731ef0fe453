"""The API described by itself: the OpenAPI document, and a page to read and try it.

All of it comes from this server; the page asks nothing of anybody else, and its policy lets it not.
"""

from flask import Response, current_app

from api.reference.content import PARTS, Content, document, document_file, page, part
from api.wire.auth import require
from api.wire.blueprint import Blueprint, public
from api.wire.context import waylight
from waylight import texts
from waylight.domain.principals import Kind

blueprint = Blueprint("reference", __name__, description="This document, and a page to read it.")

JSON, YAML, HTML = "application/json", "application/yaml", "text/html"
"""RFC 8259; RFC 9512; both before the media types of their own that OpenAPI has asked for."""

POLICY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""No script but our files, no address but our own: what is typed into the page stays with us."""

TEXT = {"type": "string"}


@blueprint.route("/openapi.json")
@require(Kind.NOBODY)
@public(max_age_s=3600)
@blueprint.response(200, {"type": "object"}, content_type=JSON)
def openapi_json() -> Response:
    """This document as JSON.

    The same as `/openapi.yaml`, made once by each process.
    """
    return _answer(document(current_app), JSON)


@blueprint.route("/openapi.yaml")
@require(Kind.NOBODY)
@public(max_age_s=3600)
@blueprint.response(200, {"type": "object"}, content_type=YAML)
def openapi_yaml() -> Response:
    """This document as YAML.

    Also in the source, as `openapi.yaml`.
    """
    return _answer(document_file(), YAML)


@blueprint.route("/docs")
@require(Kind.NOBODY)
@public(max_age_s=300)
@blueprint.response(200, TEXT, content_type=HTML)
def docs() -> Response:
    """This document as a page, to read and to try calls from.

    Where real people are told of reports (the profile `production`), only calls that read can be
    tried: an example that is sent is a report.
    """
    response = _answer(page(waylight().settings.profile), f"{HTML}; charset=utf-8")
    response.headers.update(POLICY)
    return response


@blueprint.route(f"/docs/<any({', '.join(map(repr, PARTS))}):name>")
@require(Kind.NOBODY)
@public(max_age_s=3600)
@blueprint.response(200, TEXT, content_type="text/javascript")
@blueprint.alt_response(200, schema=TEXT, content_type="text/css", success=True)
def docs_part(name: str) -> Response:
    """A script or style sheet of that page."""
    found = part(name)
    return _answer(found, found.media_type)


def _answer(content: Content, media_type: str) -> Response:
    """The content as it is or packed, whichever the caller takes. It is in English."""
    response = content.answer(media_type)
    response.headers["Content-Language"] = texts.DEFAULT
    return response
