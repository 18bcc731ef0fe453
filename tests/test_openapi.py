import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # published without types

from api.openapi import openapi_document, openapi_yaml
from api.wire.errors import MEDIA_TYPE, TABLE
from tests.api.checked_client import absolute, registry_of

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = openapi_document()
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
}

SIGNS_IN = {"POST /v1/sessions", "POST /v1/sessions/openid", "POST /v1/oauth/token"}
"""Needs no key, and says 401 to whoever is wrong."""

OAUTH = "POST /v1/oauth/token"
"""Answers what is wrong as RFC 6749 has it (section 5.2): 400 or 401, in its own JSON."""

NEVER_LIMITED = {"POST /v1/reports", "GET /healthz", "GET /readyz"}


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = DOCUMENT
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in references(value)]
    return [ref for item in node for ref in references(item)] if isinstance(node, list) else []


def faults(example: object, schema: dict[str, Any]) -> list[str]:
    validator = Draft202012Validator(absolute(schema), registry=registry_of(DOCUMENT))
    return [f"{error.json_path}: {error.message[:100]}" for error in validator.iter_errors(example)]


def test_the_committed_file_is_what_the_code_says():
    committed = (ROOT / "openapi.yaml").read_text(encoding="utf-8")
    assert committed == openapi_yaml(), "run bin/openapi"


def test_the_same_code_says_the_same_in_every_process():
    script = "import sys; from api.openapi import openapi_yaml; sys.stdout.write(openapi_yaml())"
    for seed in ("0", "1"):
        told = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        )
        assert told.stdout.decode() == openapi_yaml()


def test_it_is_openapi_3_1_and_survives_yaml():
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert yaml.safe_load(openapi_yaml()) == DOCUMENT


def test_every_reference_leads_somewhere():
    for reference in set(references(DOCUMENT)):
        assert resolved({"$ref": reference})


def test_every_component_is_used():
    used = set(references(DOCUMENT))
    for section, components in DOCUMENT["components"].items():
        if section != "securitySchemes":
            for name in components:
                assert f"#/components/{section}/{name}" in used


def test_every_schema_is_a_schema():
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_example_of_a_schema_fits_it(name):
    schema = SCHEMAS[name]
    for example in schema.get("examples", ()):
        assert faults(example, schema) == []
    for field, inner in schema.get("properties", {}).items():
        for example in inner.get("examples", ()):
            assert faults(example, inner) == [], field


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_example_of_an_operation_fits_it(name):
    operation = OPERATIONS[name]
    contents = [
        *operation.get("requestBody", {}).get("content", {}).values(),
        *(
            content
            for response in operation["responses"].values()
            for content in resolved(response).get("content", {}).values()
        ),
        *map(resolved, operation.get("parameters", ())),
    ]
    for content in contents:
        if "example" in content:
            assert faults(content["example"], content["schema"]) == []
        for example in content["schema"].get("examples", ()):
            assert faults(example, content["schema"]) == []


def test_every_operation_has_a_name_a_summary_a_tag_and_says_who_may_call():
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(names) == len(set(names))
    for name, operation in OPERATIONS.items():
        assert re.fullmatch(r"[a-z]+_[a-z_]+", operation["operationId"]), name
        assert operation["summary"].endswith((".", "?")), name
        assert operation["tags"], name
        for scheme in operation["security"]:
            assert set(scheme) <= set(DOCUMENT["components"]["securitySchemes"]), name


def test_every_operation_documents_how_it_fails():
    for name, operation in OPERATIONS.items():
        statuses = set(operation["responses"])
        assert {"500", "503"} <= statuses, name
        needs_key = {} not in operation["security"]
        assert ("401" in statuses) == (needs_key or name in SIGNS_IN), name
        assert ("429" in statuses) == (name not in NEVER_LIMITED), name
        if "{" in name:
            assert "404" in statuses, name
        if "requestBody" in operation:
            assert {"400", "413"} <= statuses, name
            assert ("422" in statuses) == (name != OAUTH), name
        for status in statuses:
            if int(status) >= 400:
                content = resolved(operation["responses"][status])["content"]
                own = {"application/json"} if name == OAUTH and status in ("400", "401") else set()
                assert set(content) - own == {MEDIA_TYPE} or set(content) == own, (name, status)


def test_every_code_of_the_error_table_is_explained():
    said = str(DOCUMENT["components"]["responses"])
    statuses = {
        resolved(response)["description"]
        for operation in OPERATIONS.values()
        for status, response in operation["responses"].items()
        if int(status) >= 400
    }
    assert statuses
    for error, kind in TABLE.items():
        if any(str(kind.status) in operation["responses"] for operation in OPERATIONS.values()):
            assert f"`{error.code}`" in said


def test_every_list_has_items_and_a_cursor():
    for name, schema in SCHEMAS.items():
        if name.endswith("List"):
            assert {"items", "next_cursor"} <= set(schema["required"]), name


def test_nothing_of_the_machine_it_was_made_on_is_in_it():
    here = re.escape(f"{ROOT.parent}/")
    assert not re.search(rf"/home/|/root/|{here}|localhost|127\.0\.0\.1", openapi_yaml())
