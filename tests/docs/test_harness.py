"""The tests of documents can fail."""

import sys

import pytest

from tests.docs import blocks
from tests.serving import Served

PAGE = """# Title

```sh
echo one
```
```text
one
```

A sentence.

<!-- not run: it never ends -->
```sh
sleep infinity
```

Another.

```json
{"a": 1}
```
"""


@pytest.fixture
def here(tmp_path):
    """No server, but a shell as documents are run in."""
    python = sys.executable.rpartition("/")[0]
    return Served(
        url="http://127.0.0.1:9999",
        environment={"PATH": f"{python}:/usr/bin:/bin"},
        folder=tmp_path,
    )


def written(language, text):
    return blocks.parse(f"```{language}\n{text}\n```\n", "page.md")[0]


def shown(text, output, language="text"):
    return blocks.parse(f"```sh\n{text}\n```\n```{language}\n{output}\n```\n", "page.md")[0]


def test_output_belongs_to_the_block_right_above_it():
    first, output, excused, alone = blocks.parse(PAGE, "page.md")
    assert first.output == output
    assert output.is_output
    assert (first.line, first.not_run) == (3, None)
    assert excused.not_run == "it never ends"
    assert excused.output is None
    assert not alone.is_output


def test_a_marked_block_is_not_run():
    assert [b.text for b in blocks.runnable(blocks.parse(PAGE, "page.md"), {"sh"})] == [
        "echo one\n"
    ]


def test_variables_and_files_carry_over_from_block_to_block(here):
    page = [
        written("sh", "NAME=Ada; echo Ada > name.txt"),
        written("python", "# names.py\nNAMES = open('name.txt').read()"),
        written("python", "import names\nprint(names.NAMES, end='')"),
        written("sh", 'echo "$NAME at http://127.0.0.1:8000"'),
    ]
    assert [printed for _, printed in blocks.run(page, here)] == [
        "",
        "",
        "Ada\n",
        "Ada at http://127.0.0.1:9999\n",
    ]


def test_a_command_that_fails_is_named_by_its_line(here):
    page = [written("sh", "echo fine"), written("sh", "echo half; false; echo never")]
    with pytest.raises(AssertionError, match=r"page\.md:1 ended with 1:\nhalf\n\Z"):
        list(blocks.run(page, here))


def test_a_variable_that_was_never_set_fails(here):
    with pytest.raises(AssertionError, match="unbound"):
        list(blocks.run([written("sh", 'echo "$NOBODY_SET_THIS"')], here))


@pytest.mark.parametrize(
    ("output", "printed"),
    [
        ("told Ada 12 m", "told Bo 7 m\n"),
        ("2026-01-01 x\ntold", "2027-12-30 y\ntold\ntold\n"),
    ],
)
def test_numbers_and_names_may_differ(output, printed):
    assert blocks.differences(shown("x", output), printed) == []


@pytest.mark.parametrize(
    ("output", "printed"),
    [
        ("told Ada", ""),
        ("told Ada", "told Ada\nerror\n"),
        ("told Ada", "Traceback (most recent call last)\n"),
    ],
)
def test_a_line_of_another_kind_is_a_difference(output, printed):
    assert blocks.differences(shown("x", output), printed)


def test_json_that_is_shown_must_be_there_with_its_type():
    block = shown("x", '{"id": "a", "items": [{"n": 1, "who": null}]}', "json")
    same = '{"id": "b", "more": true, "items": [{"n": 2.5, "who": "Ada"}]}'
    assert blocks.differences(block, same) == []
    for other in (
        '{"id": "b"}',
        '{"id": 7, "items": [{"n": 1, "who": null}]}',
        '{"id": "b", "items": []}',
        '{"id": "b", "items": [{"who": null}]}',
    ):
        assert blocks.differences(block, other), other


def test_an_error_that_the_page_does_not_show_is_a_difference():
    problem = '{"type":"urn:waylight:problem:not_found","status":404}'
    assert blocks.differences(written("sh", "curl"), problem)
    assert not blocks.differences(written("sh", "curl"), '{"status":"ok"}')
