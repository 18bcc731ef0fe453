"""What the reference is made of, each read and packed once by a process that is asked for it."""

import gzip
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from string import Template

import orjson
from flask import Flask, Response, request

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

PARTS = {
    "start.js": "text/javascript",
    "page.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
"""The parts of the page and their media types; Swagger UI's are in the package that ships it."""

READ, ALL = "get", "get post put patch delete"

LIVE = """\
<strong>This is a live service.</strong> Only calls that read can be tried here: a report that is
sent alerts real people. Try sending on a demonstration server."""

DEMO = """\
<strong>This is a demonstration.</strong> A report that you send here is stored and told to its
teams. On a live service the same call alerts real people."""


@dataclass(frozen=True)
class Content:
    """Bytes to serve, also packed: the script of the page is 1.7 MB, and 0.4 MB on the way."""

    plain: bytes
    packed: bytes
    media_type: str = ""

    @classmethod
    def of(cls, plain: bytes, media_type: str = "") -> "Content":
        """The content, packed the same in every process, so that its ETag is the same."""
        return cls(plain, gzip.compress(plain, compresslevel=6, mtime=0), media_type)

    def answer(self, media_type: str) -> Response:
        """A response to the present request, packed if the caller takes that."""
        takes = request.accept_encodings["gzip"] > 0
        response = Response(self.packed if takes else self.plain, content_type=media_type)
        if takes:
            response.headers["Content-Encoding"] = "gzip"
        response.vary.add("Accept-Encoding")
        return response


def document(app: Flask) -> Content:
    """The OpenAPI document of an app as JSON, made once."""
    made: Content | None = app.extensions.get("waylight.document")
    if made is None:
        made = Content.of(orjson.dumps(app.extensions["waylight.api"].document()))
        app.extensions["waylight.document"] = made
    return made


@cache
def document_file() -> Content:
    """`openapi.yaml`, which tests hold equal to the document. Writing YAML would take a second."""
    return Content.of((ROOT / "openapi.yaml").read_bytes())


@cache
def page(profile: str) -> Content:
    """The page for a profile; `test` is like `demo`."""
    methods, warning = (READ, LIVE) if profile == "production" else (ALL, DEMO)
    template = Template((HERE / "page.html").read_text(encoding="utf-8"))
    return Content.of(template.substitute(methods=methods, warning=warning).encode())


@cache
def part(name: str) -> Content:
    """A script or style sheet of the page: one of PARTS."""
    folder = _swagger_ui() if name.startswith("swagger-ui") else HERE
    return Content.of((folder / name).read_bytes(), PARTS[name])


def _swagger_ui() -> Path:
    """Its folder, found without importing what it would bring."""
    found = find_spec("flask_swagger_ui")
    if found is None or found.origin is None:
        raise FileNotFoundError("flask-swagger-ui is not installed: see requirements.txt")
    return Path(found.origin).parent / "dist"
