import re

from tests.databases import ROOT

FOLDER = ROOT / "docs/adr"
INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_every_decision_is_in_the_index_with_its_title_and_status():
    files = sorted(FOLDER.glob("[0-9]*.md"))
    assert files
    rows = []
    for number, path in enumerate(files, start=1):
        text = path.read_text(encoding="utf-8")
        heading = re.match(r"# (\d+)\. (.+)\n\nStatus: (.+)\n", text)
        assert heading, path.name
        assert path.name.startswith(f"{number:04}-")
        assert int(heading[1]) == number
        rows.append(f"| [{number}]({path.name}) | {heading[2]} | {heading[3]} |")
    assert re.findall(r"^\| \[.+$", INDEX, re.MULTILINE) == rows


def test_every_decision_has_the_same_parts():
    for path in FOLDER.glob("[0-9]*.md"):
        parts = re.findall(r"^## (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequences"], path.name
