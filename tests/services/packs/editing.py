"""How the tests of packs change a pack, load it, and look at what was loaded."""

import json
from datetime import UTC, datetime
from pathlib import Path

import yaml
from psycopg.rows import dict_row

from waylight.services.packs import load_pack

ROOT = Path(__file__).parents[3]
TINYTOWN = ROOT / "tests" / "data" / "tinytown"
LONDON = ROOT / "data" / "london"
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def load(database, path, *, now=NOW, said=None, allow_retire=False):
    progress = (said if said is not None else []).append
    return load_pack(database, path, now=now, progress=progress, allow_retire=allow_retire)


def edit(path, file, change):
    """Reads a YAML file of a pack, lets `change` change it, and writes it back."""
    document = yaml.safe_load((path / file).read_text(encoding="utf-8"))
    change(document)
    (path / file).write_text(yaml.safe_dump(document), encoding="utf-8")


def edit_areas(path, change):
    document = json.loads((path / "areas.geojson").read_text(encoding="utf-8"))
    change(document["features"])
    (path / "areas.geojson").write_text(json.dumps(document), encoding="utf-8")


def replace(path, file, old, new):
    text = (path / file).read_text(encoding="utf-8")
    assert old in text
    (path / file).write_text(text.replace(old, new, 1), encoding="utf-8")


def append(path, file, line):
    with (path / file).open("a", encoding="utf-8") as end:
        end.write(line + "\n")


def rows(database, query, *values):
    with database.owner() as conn, conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchall()


def one(database, query, *values):
    (row,) = rows(database, query, *values)
    return row


def everything(database):
    """Every row that a pack makes, but for what a load itself counts up."""
    found = {}
    for table in ("areas", "places", "lines", "organisations", "teams", "coverages", "hubs"):
        found[table] = rows(database, f"select * from {table} order by 1, 2")  # noqa: S608 - listed
    found["parts"] = rows(database, "select * from area_parts order by 1, 2")
    found["stops"] = rows(database, "select * from line_stops order by 1, 2, 3")
    found["cities"] = rows(database, "select * from cities order by id")
    return found
