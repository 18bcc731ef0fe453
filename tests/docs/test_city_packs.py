"""The examples of docs/city-packs.md are those of the pack that the tests load."""

import yaml

from tests.databases import ROOT
from tests.docs import blocks

PAGE = ROOT / "docs/city-packs.md"
PACK = ROOT / "tests/data/tinytown"


def test_every_yaml_example_with_a_file_name_stands_in_tinytown():
    examples = [
        block
        for block in blocks.blocks_of(PAGE)
        if block.language == "yaml" and block.text.startswith("# ")
    ]
    assert len(examples) == 3
    for block in examples:
        shown = yaml.safe_load(block.text)
        real = yaml.safe_load((PACK / block.text.splitlines()[0].removeprefix("# ")).read_text())
        for one in shown if isinstance(shown, list) else [shown]:
            assert one in (real if isinstance(real, list) else [real]), block.where


def test_every_row_of_the_csv_example_stands_in_tinytown():
    (example,) = [block for block in blocks.blocks_of(PAGE) if block.language == "csv"]
    rows = (PACK / "places.csv").read_text(encoding="utf-8").splitlines()
    assert [row for row in example.text.splitlines() if row not in rows] == []
