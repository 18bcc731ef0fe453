"""docs/access.md, config.md, errors.md and metrics.md say what the code says."""

import ast
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

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
    assert len(codes) > 80
    assert {"https_only", "not_here", "at_work", "too_far", "wrong_kind", "too_wide"} <= codes
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


ROOMS = ("api", "schemas", "waylight/services", "waylight/domain")
AT_A_TERMINAL = {"packs", "operations"}
"""Folders of the rooms whose problems are told to people at a terminal."""

MAKERS = {"Problem": 1, "_refuse": 0, "_NotStrict": 0, "refuse": 1}
"""What is given the code of a problem, and at which place."""


def _codes_of_problems():
    """Every literal code of a problem that a caller of the API may see.

    Those given to a maker by name, and all that stand right before their own sentence: in pairs,
    in calls, and in the tables WHY_NOT.
    """
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if AT_A_TERMINAL.isdisjoint(path.parts) or path.name == "health.py":
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                    yield from _codes_in(node)


def _codes_in(node):
    pairs: list[tuple[Any, Any]]
    if isinstance(node, ast.Call):
        place = MAKERS.get(ast.unparse(node.func).rpartition(".")[2])
        if place is not None and len(node.args) > place:
            yield from _texts(node.args[place])
    if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "WHY_NOT":
        table = node.value
        assert isinstance(table, ast.Dict)
        pairs = list(zip(table.keys, table.values, strict=True))
    elif isinstance(node, ast.Tuple | ast.Call):
        them = node.elts if isinstance(node, ast.Tuple) else node.args
        pairs = list(pairwise(them))
    else:
        return
    for first, second in pairs:
        if re.search(r"^['\"]?[A-Z].* .*[.:]['\"]?$", _words(second), re.DOTALL):
            yield from (text for text in _texts(first) if re.fullmatch(r"[a-z][a-z0-9_]+", text))


def _texts(node):
    """The texts that a node may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def _words(node):
    """A text with all that is put into it as one X."""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(one.value) if isinstance(one, ast.Constant) else "X" for one in node.values
        )
    if isinstance(node, ast.BinOp):
        return _words(node.left) + _words(node.right)
    return str(node.value) if isinstance(node, ast.Constant) else ""
