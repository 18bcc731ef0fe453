"""Whatever a document tells a person to type is typed, and prints what the document shows."""

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest
import yaml

from tests.databases import ROOT
from tests.docs import blocks
from tests.ports import free_port
from tests.serving import served

DOCUMENTS = {str(path.relative_to(ROOT)): blocks.blocks_of(path) for path in blocks.documents()}
NODE = shutil.which("node")
LANGUAGES = blocks.RUN if NODE else blocks.RUN - {"js"}
WALKS = {
    name: found for name, them in DOCUMENTS.items() if (found := blocks.runnable(them, LANGUAGES))
}
SETTINGS = {
    "docs/webhooks.md": {
        "WAYLIGHT_CHANNELS": "console,webhook",
        "WAYLIGHT_ALLOWED_LOOPBACK_PORTS": "47011,47012",
    }
}
"""What a document tells its reader to start the demo with."""

PORTS = ("47011", "47012")
"""Where its reader listens: here others may, or the system has given them to somebody."""


@pytest.mark.slow
@pytest.mark.commits
@pytest.mark.parametrize("name", WALKS)
def test_what_a_document_tells_a_person_to_type_works(name, london, tmp_path):
    ports = {documented: str(free_port()) for documented in PORTS}

    def here(text):
        return re.sub("|".join(ports), lambda found: ports[found[0]], text)

    settings = {key: here(value) for key, value in SETTINGS.get(name, {}).items()}
    walk = [replace(block, text=here(block.text)) for block in WALKS[name]]
    with served(london, tmp_path, **settings) as it:
        for block, printed in blocks.run(walk, it):
            assert blocks.differences(block, printed) == [], f"{block.where} printed:\n{printed}"


@pytest.mark.skipif(
    NODE is None and "CI" not in os.environ, reason="no Node: JavaScript examples are not run"
)
def test_javascript_examples_can_be_run_here():
    assert NODE, "CI needs Node, since documents have examples in JavaScript"


def test_every_block_is_run_or_read_or_says_why_not():
    known = blocks.RUN | blocks.READ | blocks.SHOWN
    for block in blocks.all_blocks():
        assert block.language, f"{block.where}: name the language of the block"
        assert block.language in known or block.not_run, (
            f"{block.where}: no test runs {block.language}. Put above it: <!-- not run: REASON -->"
        )


def test_no_block_hides_in_an_indent():
    for path in blocks.documents():
        outside = re.sub(
            r"^\s*```.*?^\s*```", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE
        )
        hidden = re.findall(r"(?<=\n\n)(?: {4}|\t)\S.*", outside)
        assert hidden == [], f"{path.name}: put a fence round it and name its language"


def test_few_blocks_are_not_run():
    excused = [
        block for block in blocks.all_blocks() if block.not_run and block.language in blocks.RUN
    ]
    runs = blocks.runnable(blocks.all_blocks(), blocks.RUN)
    assert len(excused) < len(runs), [block.where for block in excused]


def test_a_marker_stands_above_a_block():
    for path in blocks.documents():
        markers = re.findall(r"^\s*<!-- not run: ", path.read_text("utf-8"), re.MULTILINE)
        marked = [block for block in blocks.blocks_of(path) if block.not_run]
        assert len(markers) == len(marked), f"{path.name}: a marker without a block"


def test_blocks_that_are_read_can_be_read():
    readers: dict[str, Callable[[str], object]] = {
        "json": json.loads,
        "yaml": yaml.safe_load,
        "csv": lambda text: list(csv.reader(text.splitlines(), strict=True)),
    }
    for block in blocks.all_blocks():
        if block.language in readers and not block.not_run:
            assert readers[block.language](block.text), block.where
