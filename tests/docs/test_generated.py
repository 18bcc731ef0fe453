"""docs/access.md, config.md, errors.md and metrics.md say what the code says."""

import ast
from pathlib import Path

import pytest

from api.wire.errors import TABLE
from waylight import texts
from waylight.cli import document_access, documents
from waylight.cli.document_metrics import ALERTS
from waylight.config import declared
from waylight.metrics import REGISTRY

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["access", "config", "errors", "metrics"])
def test_the_committed_document_is_what_the_code_says(name):
    committed = (ROOT / f"docs/{name}.md").read_text(encoding="utf-8")
    assert committed == getattr(documents, name)(), "run bin/docs"


def test_every_setting_is_explained():
    text = documents.config()
    for variable, setting in declared().items():
        assert f"| `{variable}` | {setting.meaning}. " in text


def test_every_error_has_an_anchor_and_says_what_to_do():
    text = documents.errors()
    for error in TABLE:
        assert f"\n### {error.code}\n" in text
        assert error.meaning()
        assert error.advice(), f"the docstring of {error.__name__} needs a second paragraph"


def test_every_code_of_a_problem_is_explained():
    explained = documents.errors()
    codes = set(_codes_of_problems())
    assert len(codes) > 10
    assert [code for code in sorted(codes) if f"\n| `{code}` |" not in explained] == []


def test_table_of_access_has_every_route_with_who_may_call_it():
    text = documents.access()
    for row in document_access.rows():
        assert f"| `{row.method} {row.path}` |" in text
        assert row.kinds, row
    assert len(text.splitlines()) > 80


def test_route_about_something_that_nobody_says_whose_it_is_has_no_row():
    strange = document_access.Row("GET", "/v1/secrets/{secret_id}", ("staff",), (), tickets=False)
    with pytest.raises(LookupError):
        document_access.whose(strange)


def test_every_warning_is_explained():
    text = documents.errors()
    for code in texts.section("warnings", "en"):
        assert f"\n| `{code}` |" in text


def test_every_metric_is_explained_and_every_rule_names_one():
    text = documents.metrics()
    for family in REGISTRY.collect():
        assert f"| `{family.name}" in text
        assert f"| {family.documentation} |" in text
    for name, (expression, _, meaning) in ALERTS.items():
        assert f"| `{name}" in text, name
        assert name in expression
        assert meaning


def _codes_of_problems():
    """Every literal code that is given to a `Problem` which a caller of the API may see."""
    for folder in ("api", "schemas", "waylight/services"):
        for path in (ROOT / folder).rglob("*.py"):
            if "packs" in path.parts or path.name == "keys.py":
                continue  # told to people at a terminal
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                    continue
                place = {"Problem": 1, "_refuse": 0}.get(call.func.id)
                code = call.args[place] if place is not None else None
                if isinstance(code, ast.Constant):
                    yield code.value
