"""A test client that holds every answer of the suite against the OpenAPI document.

Once a reader has found one error in a document, they no longer trust the rest of it.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import orjson
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import (  # type: ignore[import-untyped] # published without types
    Draft202012Validator,
    FormatChecker,
)
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from api.wire.errors import FIELD_SENTENCES, MEDIA_TYPE
from schemas.common import instant
from waylight import texts
from waylight.cli.documents import FIELD_CODES

DOCUMENT = "urn:openapi"
UNDOCUMENTED = {404, 405}
"""What an address or a method that is not in the document may answer."""

EXPLAINED = frozenset(
    {code for code, _ in FIELD_SENTENCES.values()}
    | FIELD_CODES.keys()
    | texts.section("warnings", texts.DEFAULT).keys()
)
"""Every code of `errors` that docs/errors.md explains."""

_formats = FormatChecker(formats=())


@_formats.checks("date-time", raises=ValueError)
def _is_instant(text: object) -> bool:
    return not isinstance(text, str) or bool(instant(text))


class Contract:
    """The document of one app, and whether an answer keeps to it."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    @cached_property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = self._app.extensions["waylight.api"].document()
        return document

    @cached_property
    def _registry(self) -> Registry[Any]:
        return registry_of(self.document)

    def check(self, response: TestResponse) -> None:
        """Fails the test when the document does not say that this may be answered."""
        request = response.request
        what = f"{request.method} {request.path} -> {response.status_code}"
        assert response.status_code != 500, f"{what}: the log says why"
        assert response.headers["X-Request-Id"], f"{what}: no X-Request-Id"
        if request.method == "OPTIONS" and response.status_code == 204:
            return
        method = "get" if request.method == "HEAD" else request.method.lower()
        operation = self._operation(method, request.path)
        if operation is None:
            assert response.status_code in UNDOCUMENTED, f"{what}: no such route is documented"
            documented = self._resolved({"$ref": "#/components/responses/Problem404"})
        else:
            key = str(response.status_code)
            assert key in operation["responses"], f"{what}: the status is not documented"
            documented = self._resolved(operation["responses"][key])
        self._check_headers(response, documented, what)
        if request.method != "HEAD":
            self._check_body(response, documented, what)

    def _operation(self, method: str, url_path: str) -> dict[str, Any] | None:
        adapter = self._app.url_map.bind("localhost")
        url_path = "/" + "/".join(filter(None, url_path.split("/")))  # as `OneAddress` does
        try:
            rule, _ = adapter.match(url_path, method=method.upper(), return_rule=True)
        except (NotFound, MethodNotAllowed):
            return None
        path = self.document["paths"].get(_template(rule), {})
        assert method in path, f"{method} {rule.rule} is not documented"
        operation: dict[str, Any] = path[method]
        return operation

    def _resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in node:
            found: Any = self.document
            for step in node["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            node = found
        return node

    def _check_headers(
        self, response: TestResponse, documented: Mapping[str, Any], what: str
    ) -> None:
        for name, header in documented.get("headers", {}).items():
            if self._resolved(header).get("required"):
                assert name in response.headers, f"{what}: the header {name} is missing"

    def _check_body(self, response: TestResponse, documented: Mapping[str, Any], what: str) -> None:
        content = documented.get("content", {})
        if not content:
            assert response.data == b"", f"{what}: a body that is not documented"
            return
        assert response.mimetype in content, f"{what}: {response.mimetype} is not documented"
        if response.mimetype not in ("application/json", MEDIA_TYPE):
            return
        if response.mimetype == MEDIA_TYPE:
            said = {problem["code"] for problem in orjson.loads(response.data)["errors"]}
            assert said <= EXPLAINED, f"{what}: docs/errors.md lacks {said - EXPLAINED}"
        schema = absolute(content[response.mimetype]["schema"])
        validator = Draft202012Validator(schema, registry=self._registry, format_checker=_formats)
        faults = [
            f"{error.json_path}: {error.message[:200]}"
            for error in validator.iter_errors(orjson.loads(response.data))
        ]
        assert not faults, f"{what}: " + "; ".join(faults[:5])


class CheckedClient(FlaskClient):
    """Flask's test client; each answer is checked before the test sees it."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        contract: Contract = self.application.extensions["contract"]
        contract.check(response)
        return response


def check_every_answer(app: Flask) -> None:
    """Makes every test client of the app a checked one."""
    app.extensions["contract"] = Contract(app)
    app.test_client_class = CheckedClient


def registry_of(document: dict[str, Any]) -> Registry[Any]:
    """Where references into an OpenAPI document are looked up."""
    resource = Resource.from_contents(document, default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource(DOCUMENT, resource)
    return registry


def absolute(schema: Any) -> Any:
    """The schema with references that lead into the document from anywhere."""
    if isinstance(schema, dict):
        return {
            name: f"{DOCUMENT}{value}" if name == "$ref" else absolute(value)
            for name, value in schema.items()
        }
    return [absolute(item) for item in schema] if isinstance(schema, list) else schema


def _template(rule: Rule) -> str:
    return "".join(
        f"{{{text}}}" if dynamic else text for dynamic, text in rule._trace
    ).removeprefix("|")
