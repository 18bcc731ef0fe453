"""Links lead somewhere, and what a document names is there."""

import importlib
import re
from urllib.parse import unquote

import pytest

from tests.databases import ROOT
from tests.docs.blocks import documents
from waylight.cli import cli
from waylight.cli.documents import COMPOSE_SETTINGS, SCRIPT_SETTINGS
from waylight.config import declared

NAMES = [str(path.relative_to(ROOT)) for path in documents()]
SETTING = re.compile(r"WAYLIGHT_[A-Z]+(?:_[A-Z]+)*")
INNER = {"channels", "db", "domain", "services"}
FENCE = re.compile(r"^\s*```.*?^\s*```\s*$", re.DOTALL | re.MULTILINE)


def prose(name):
    return FENCE.sub("", (ROOT / name).read_text(encoding="utf-8"))


def anchors(path):
    """The anchors of a document's headings, as GitHub makes them."""
    found = set()
    text = path.read_text(encoding="utf-8")
    for heading in re.findall(r"^#{1,6} +(.+?)\s*$", FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = 0
        while (anchor := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(anchor)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_leads_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(name)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = unquote(target).partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        assert path.exists(), f"{name} links to {target}"
        if anchor:
            assert anchor in anchors(path), f"{name} links to {target}"


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_a_document_names_is_there(name):
    tops = {entry.name for entry in ROOT.iterdir() if not entry.name.startswith(".")}
    for word in re.findall(r"`([\w./*-]+)`", prose(name)):
        path = word.removeprefix("./").rstrip("/")
        first, slash, _ = path.partition("/")
        if not slash or first not in tops | INNER:
            continue
        assert _matches(path) or _is_a_name(path), f"{name} names {word}"


def _matches(path):
    return list(ROOT.glob(path)) or list((ROOT / "waylight").glob(path))


def _is_a_name(path):
    """Whether `services/reports.submit_reports` is something in that module."""
    module, *names = path.replace("/", ".", path.count("/")).rsplit(".", 1)
    inside = module if module.split(".")[0] not in INNER else f"waylight.{module}"
    try:
        return all(hasattr(importlib.import_module(inside), one) for one in names)
    except ImportError:
        return False


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_and_command_that_a_document_names_is_there(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    settings = set(SETTING.findall(text))
    assert settings <= {*declared(), *SCRIPT_SETTINGS, *COMPOSE_SETTINGS}
    for command in re.findall(r"`(?:bin/)?waylight ([a-z]+)", text):
        assert command in cli.commands, f"{name} names waylight {command}"
