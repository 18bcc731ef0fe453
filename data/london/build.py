"""Build the London city pack from open data.

    python data/london/build.py RAW

RAW is the folder of raw files that README.md lists. The same input gives the same bytes. Written:
places.csv, areas.geojson, lines.csv, line_stops.csv, teams.yaml, hubs.yaml. Read as they stand:
city.yaml, organisations.yaml, jurisdiction.yaml, contacts.yaml and the tables under demo/.
Ends with status 1 and the reasons when the pack does not hold together.
"""

# ruff: noqa: INP001 - a script

import sys
from collections import Counter
from pathlib import Path

from building.areas import build_areas, read_patrols, write_areas
from building.check import Pack, read_pack
from building.demo import Places, build_hubs, build_teams, write_yaml
from building.places import (
    Oddities,
    read_bus_stops,
    read_demo_places,
    read_hospitals,
    read_stations,
    station_points,
    write_line_stops,
    write_lines,
    write_places,
)
from building.proof import prove_cover

HERE = Path(__file__).resolve().parent
DEMO = HERE / "demo"


def build(raw: Path, out: Path) -> list[str]:
    """Write every generated file of the pack to `out`; returns what a reader should know."""
    oddities = Oddities()
    named = station_points(raw)
    areas = build_areas(raw, stations=named, patrols=read_patrols(DEMO / "patrol_areas.csv"))
    stations = read_stations(raw, areas=areas, oddities=oddities)
    everything = [
        *stations,
        *read_bus_stops(raw, areas=areas, oddities=oddities),
        *read_hospitals(raw, areas=areas, oddities=oddities),
        *read_demo_places(DEMO / "places.csv", stations=named, areas=areas),
    ]
    places = Places(
        by_key={place.key: place for place in everything},
        by_name={place.name: place for place in stations if place.name in named},
    )
    write_areas(areas, out / "areas.geojson")
    write_places(everything, out / "places.csv")
    write_lines(out / "lines.csv")
    write_line_stops(raw, out / "line_stops.csv", stations=places.by_key)
    write_yaml(build_teams(DEMO / "teams.yaml", areas=areas, places=places), out / "teams.yaml")
    write_yaml(build_hubs(DEMO / "hubs.yaml", areas=areas, places=places), out / "hubs.yaml")
    kinds = Counter(place.kind for place in everything)
    return [
        "Places",
        *(f"{count:7} {kind}" for kind, count in kinds.items()),
        "",
        "Oddities of the sources",
        *(
            f"{count:7} {what}: {', '.join(oddities.examples[what])}"
            for what, count in sorted(oddities.counts.items())
        ),
    ]


def describe(pack: Pack) -> list[str]:
    """How many rows of each kind the pack holds, and whose the teams and hubs are."""
    lines = ["", "Rows of the pack"]
    lines += [f"{count:7} {name}" for name, count in pack.counts().items()]
    for name, rows in (("teams", pack.teams), ("hubs", pack.hubs)):
        owners = Counter(row["organisation"] for row in rows.values()).most_common()
        lines.append(f"{'':7} {name}: " + ", ".join(f"{owner} {count}" for owner, count in owners))
    return lines


def main(arguments: list[str]) -> int:
    """Build, check, prove; the exit status."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        sys.stderr.write(f"{__doc__}\n")
        return 2
    lines = build(Path(arguments[0]), HERE)
    pack = read_pack(HERE)
    said, failed = prove_cover(pack)
    problems = [*pack.problems, *failed]
    lines += [*describe(pack), "", "Cover", *(f"  {sentence}" for sentence in said), ""]
    lines += (
        ["Problems", *(f"  {problem}" for problem in problems)] if problems else ["No problems."]
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
