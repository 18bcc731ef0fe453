"""The documents of the repository, and the fenced blocks in them."""

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.databases import ROOT
from tests.serving import Served

PRUNED = {".venv", ".local", "node_modules"}
RUN = {"sh", "python", "js"}
READ = {"json", "yaml", "csv"}
"""Parsed by a test, where they are not the output of the block above."""

SHOWN = {"text", "mermaid"}
"""Pictures, and output."""

ADDRESS = "http://127.0.0.1:8000"
LIMIT_S = 600

_FENCE = re.compile(
    r"^(?P<indent>\s*)```(?P<language>[\w+-]*)[^\n`]*\n(?P<text>.*?)^(?P=indent)```\s*$",
    re.DOTALL | re.MULTILINE,
)
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>[^\n]+?) -->\s*\Z")
_NAMED = re.compile(r"(?:#|//) (?P<name>[a-z][a-z_]*\.(?:py|mjs))\n")


@dataclass(frozen=True)
class Block:
    """One fenced block; `output` is what the document shows as printed by it."""

    document: str
    line: int
    language: str
    text: str
    not_run: str | None
    is_output: bool
    output: "Block | None" = None

    @property
    def where(self) -> str:
        return f"{self.document}:{self.line}"


def documents() -> list[Path]:
    """Every Markdown file of the repository."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in PRUNED and not name.startswith(".")]
        found += [Path(folder) / name for name in names if name.endswith(".md")]
    return sorted(found)


def blocks_of(path: Path) -> list[Block]:
    """The fenced blocks of a document."""
    return parse(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))


def parse(text: str, name: str) -> list[Block]:
    """The fenced blocks of a text. Output stands right under the block that prints it."""
    found: list[Block] = []
    ended = 0
    for match in _FENCE.finditer(text):
        before = text[ended : match.start()]
        excused = _NOT_RUN.search(before)
        language = match["language"]
        block = Block(
            document=name,
            line=text.count("\n", 0, match.start()) + 1,
            language=language,
            text=re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE),
            not_run=excused["reason"] if excused else None,
            is_output=bool(
                found
                and found[-1].language in RUN
                and language in {"text", "json"}
                and not before.strip()
            ),
        )
        if block.is_output:
            found[-1] = Block(**{**vars(found[-1]), "output": block})
        found.append(block)
        ended = match.end()
    return found


def all_blocks() -> list[Block]:
    return [block for path in documents() for block in blocks_of(path)]


def runnable(blocks: Sequence[Block], languages: set[str]) -> list[Block]:
    return [b for b in blocks if b.language in languages and b.not_run is None]


def run(blocks: Sequence[Block], served: Served) -> Iterator[tuple[Block, str]]:
    """Runs the blocks of one document in one shell and yields what each printed.

    The folder looks like a checkout, with a `.local` of its own. A block that begins with
    `# name.py` or `// name.mjs` stays under that name for those that come after it.
    """
    folder = served.folder
    for entry in ROOT.iterdir():
        if entry.name not in {".local", ".git"} and not (folder / entry.name).exists():
            (folder / entry.name).symlink_to(entry)
    script = ["set -euo pipefail"]
    for number, block in enumerate(blocks):
        script += [f"printf '\\n@@@ {number}\\n'", _command(block, number, served), ""]
    code, said = _ran("\n".join([*script, "printf '\\n@@@ end\\n'"]), served)
    printed = re.split(r"\n@@@ (?:\d+|end)\n", said)[1:]
    if code != 0:
        last = blocks[len(printed) - 1].where if printed else "before the first block"
        raise AssertionError(f"{last} ended with {code}:\n{printed[-1] if printed else said}")
    assert len(printed) == len(blocks) + 1, said
    yield from zip(blocks, printed, strict=False)


def _ran(script: str, served: Served) -> tuple[int, str]:
    """How a script ended and what it printed; what it started ends with it."""
    process = subprocess.Popen(
        ["/bin/bash", "-c", script],
        cwd=served.folder,
        env=dict(served.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        said += f"\nstopped after {LIMIT_S} s"
    return process.returncode, said


def _command(block: Block, number: int, served: Served) -> str:
    text = block.text.replace(ADDRESS, served.url)
    if block.language == "sh":
        return text
    named = _NAMED.match(text)
    name = (
        named["name"] if named else f"block{number}.{'py' if block.language == 'python' else 'mjs'}"
    )
    (served.folder / name).write_text(text, encoding="utf-8")
    return f"{'python3' if block.language == 'python' else 'node'} {shlex.quote(name)}"


def differences(block: Block, printed: str) -> list[str]:
    """What a document shows and the block did not print, or the other way round.

    Numbers, ids, times and names vary. Of text, the first word of each line counts; of JSON, that
    everything shown is there, and of the same type.
    """
    if "Traceback (most recent call last)" in printed:
        return [f"a traceback: {printed}"]
    shown = block.output
    if shown is None:
        problem = re.search(r"urn:waylight:problem:\w+", printed)
        return [f"an error nobody announces: {printed}"] if problem else []
    if shown.language == "json":
        return list(_missing(json.loads(shown.text), json.loads(printed), ""))
    here, there = _first_words(shown.text), _first_words(printed)
    return [
        f"only {side}: {words}"
        for side, words in (("shown", here - there), ("printed", there - here))
        if words
    ]


def _first_words(text: str) -> set[str]:
    words = (line.split()[0] for line in text.splitlines() if line.strip())
    return {re.sub(r"\d+", "0", word) for word in words}


def _missing(shown: object, found: object, at: str) -> Iterator[str]:
    if isinstance(shown, Mapping) and isinstance(found, Mapping):
        for key, value in shown.items():
            if key in found:
                yield from _missing(value, found[key], f"{at}/{key}")
            else:
                yield f"{at}/{key} is shown and is not there"
    elif isinstance(shown, list) and isinstance(found, list):
        for value, other in zip(shown, found, strict=False):
            yield from _missing(value, other, f"{at}/*")
        if shown and not found:
            yield f"{at} is shown with items and is empty"
    elif shown is not None and found is not None and _kind(shown) != _kind(found):
        yield f"{at} is shown as {_kind(shown)} and is {_kind(found)}"


def _kind(value: object) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__
