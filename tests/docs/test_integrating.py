"""docs/integrating.md: its outboxes lose nothing on a bad line, and its numbers are the code's."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from api.wire import limits
from tests.databases import ROOT
from tests.docs import blocks
from tests.docs.flaky import flaky
from tests.docs.test_blocks import NODE
from tests.serving import served
from waylight import texts
from waylight.services.keys import SCOPES

PAGE = ROOT / "docs/integrating.md"
OUTBOXES = {b.language: b for b in blocks.blocks_of(PAGE) if "class Outbox" in b.text}

KILLED = """import os
box.add({"in_danger": True})
sent = dict(box.entries[0])
box.send(sent)
print(sent["answer"]["receipt"])
os._exit(9)
"""
"""The report arrives, and the phone dies before it has stored the answer."""


@pytest.mark.slow
@pytest.mark.commits
@pytest.mark.parametrize("language", ["python", "js"])
def test_an_outbox_makes_one_report_of_a_lost_answer_a_503_and_a_retry(language, london, tmp_path):
    if language == "js" and NODE is None:
        pytest.skip("no Node: see test_javascript_examples_can_be_run_here")
    with served(london, tmp_path) as it, flaky(it.url, ["lost", "503"]) as line:
        ((_, printed),) = blocks.run([OUTBOXES[language]], replace(it, url=line.url))
        with london.owner() as conn:
            stored = conn.execute("select count(*) from reports").fetchone()
    assert stored == (1,)
    assert printed.count("receipt ") == 1
    keys = {key for key, _ in line.requests}
    sent = [json.loads(body) for _, body in line.requests]
    assert len(line.requests) == 3
    assert len(keys) == 1
    assert len({one.pop("sent_at") for one in sent}) == 3
    assert sent[0] == sent[1] == sent[2]
    assert sent[0]["recorded_at"]


@pytest.mark.slow
@pytest.mark.commits
def test_an_outbox_that_was_killed_goes_on_with_the_same_key(london, tmp_path):
    receipts = set()
    with served(london, tmp_path) as it:
        script = OUTBOXES["python"].text.replace(blocks.ADDRESS, it.url)
        (tmp_path / "outbox.py").write_text(script)
        for going_on in (KILLED, "box.flush(); print(box.entries[0]['answer']['receipt'])"):
            start = "import outbox; box = outbox.Outbox('box.json')\n"
            done = subprocess.run(
                [sys.executable, "-uc", start + going_on],
                cwd=tmp_path,
                env=dict(it.environment),
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
            receipts.add(done.stdout.strip())
    assert len(receipts) == 1
    assert receipts != {""}


def test_the_limits_are_those_of_the_code():
    page = PAGE.read_text(encoding="utf-8")
    for policy in (
        limits.PUBLIC,
        limits.KEYS,
        limits.FAILED_RECEIPTS,
        limits.FAILED_KEYS,
        limits.FAILED_SIGN_INS,
    ):
        assert f"| `{policy.name}` | {policy.quota} | {policy.window_s} |" in page


def test_the_scopes_and_languages_are_those_of_the_code():
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"`{scope}`" in page for scope in SCOPES)
    assert all(f"`{language}`" in page for language in texts.languages())
