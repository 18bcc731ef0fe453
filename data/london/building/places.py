"""Places: stations, bus stops, hospitals and the demo stands, venues and alleys.

Every physical row of the sources becomes a place. Nothing is dropped in silence and no public id is
invented: what is odd about a row is counted in `Oddities`, which the build prints.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shapely.geometry import Point

from building.areas import METRES_PER_LAT, METRES_PER_LON, Areas

COLUMNS = (
    "key",
    "stop_id",
    "name",
    "kind",
    "lon",
    "lat",
    "modes",
    "lines",
    "codes",
    "area",
    "heading",
    "demo",
    "source_name",
)

LINES: Mapping[str, tuple[str, str]] = {
    "bakerloo": ("Bakerloo line", "tube"),
    "central": ("Central line", "tube"),
    "circle": ("Circle line", "tube"),
    "district": ("District line", "tube"),
    "hammersmith-city": ("Hammersmith & City line", "tube"),
    "jubilee": ("Jubilee line", "tube"),
    "metropolitan": ("Metropolitan line", "tube"),
    "northern": ("Northern line", "tube"),
    "piccadilly": ("Piccadilly line", "tube"),
    "victoria": ("Victoria line", "tube"),
    "waterloo-city": ("Waterloo & City line", "tube"),
    "dlr": ("DLR", "dlr"),
    "elizabeth": ("Elizabeth line", "elizabeth"),
    "liberty": ("Liberty line", "overground"),
    "lioness": ("Lioness line", "overground"),
    "mildmay": ("Mildmay line", "overground"),
    "suffragette": ("Suffragette line", "overground"),
    "weaver": ("Weaver line", "overground"),
    "windrush": ("Windrush line", "overground"),
    "tram": ("London Trams", "tram"),
}
"""Every line of the stations file: name and mode."""

MODE_OF_KIND = {"taxi_rank": "taxi", "venue": "street", "alley": "street", "hospital": "street"}
PUBLIC_ID = re.compile(r"490[0-9]{6}[A-Z0-9]{0,3}")
SMS_CODE = re.compile(r"[0-9]{5}")
MARKERS = re.compile(r"<>|#|>[A-Z]+<")
UPPER = {"DLR", "ZSL", "BRL", "IKEA", "II", "O2", "B6"}
SMALL = {"and", "at", "by", "for", "in", "of", "on", "the", "to", "under", "upon", "with"}


@dataclass(frozen=True)
class Place:
    """One row of places.csv."""

    key: str
    stop_id: str
    name: str
    kind: str
    point: Point
    modes: tuple[str, ...]
    source_name: str
    lines: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    area: str = ""
    heading: str = ""
    demo: bool = False


@dataclass
class Oddities:
    """What a careful reader would trip over in the sources, counted while reading."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, what: str, which: str) -> None:
        """Count one case and keep the first few."""
        self.counts[what] += 1
        self.examples.setdefault(what, [])
        if len(self.examples[what]) < 6:
            self.examples[what].append(which)


def rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV file with a header, line breaks inside fields kept."""
    with path.open(encoding="utf-8", newline="") as source:
        yield from csv.DictReader(source)


def station_points(raw: Path) -> dict[str, Point]:
    """Where each station is, by its name; a name that two stations share is left out."""
    stations = list(rows(raw / "london_stations_tfl.csv"))
    named = Counter(row["name"] for row in stations)
    return {
        row["name"]: Point(float(row["lon"]), float(row["lat"]))
        for row in stations
        if named[row["name"]] == 1
    }


def read_stations(raw: Path, *, areas: Areas, oddities: Oddities) -> list[Place]:
    """All 457 stations; the id is the public stop id. Unknown lines raise KeyError."""
    places = []
    for row in rows(raw / "london_stations_tfl.csv"):
        lines = tuple(row["line_ids"].split("|"))
        point = Point(float(row["lon"]), float(row["lat"]))
        area = areas.borough_of(point)
        if not area:
            oddities.note("stations outside Greater London", row["name"])
        _compare(row, area=area, areas=areas, oddities=oddities)
        codes = [c for c in (*row["atco_codes"].split("|"), row["ics_code"]) if c != row["id"]]
        places.append(
            Place(
                key=row["id"],
                stop_id=row["id"],
                name=row["name"],
                kind="station",
                point=point,
                modes=tuple(dict.fromkeys(LINES[line][1] for line in lines)),
                lines=lines,
                codes=tuple(dict.fromkeys(codes)),
                area=area,
                source_name=row["name"],
            )
        )
    return places


def read_bus_stops(raw: Path, *, areas: Areas, oddities: Oddities) -> list[Place]:
    """All physical bus stops, keyed by their LBSL code, with the public id only where there is one.

    Line breaks and spaces round a public id are removed; nothing else about it is changed.
    """
    places = []
    for row in rows(raw / "london_bus_stops.csv"):
        if row["virtual"] == "1":
            oddities.note("virtual bus stops left out (no physical stop)", row["lbsl_code"])
            continue
        key = f"bus:{row['lbsl_code']}"
        stop_id = row["atco_code"].strip()
        point = Point(float(row["lon"]), float(row["lat"]))
        area = areas.borough_of(point)
        _compare(row, area=area, areas=areas, oddities=oddities)
        _note_ids(row, key=key, stop_id=stop_id, oddities=oddities)
        sms = row["sms_code"].strip()
        codes = (sms if any(c.isdigit() for c in sms) else "", row["lbsl_code"])
        places.append(
            Place(
                key=key,
                stop_id=stop_id,
                name=passenger_name(row["name"]),
                kind="bus_stop",
                point=point,
                modes=("bus",),
                codes=tuple(dict.fromkeys(code for code in codes if code)),
                area=area,
                heading=row["heading"],
                source_name=row["name"],
            )
        )
    shared = Counter(place.stop_id for place in places if place.stop_id)
    for place in places:
        if shared[place.stop_id] > 1:
            oddities.note("bus stops that share their public id", f"{place.key} {place.stop_id}")
    return places


def read_hospitals(raw: Path, *, areas: Areas, oddities: Oddities) -> list[Place]:
    """All hospital sites of the Care Quality Commission, at the middle of their postcode."""
    places = []
    for row in rows(raw / "hospitals_cqc_london.csv"):
        point = Point(float(row["lon"]), float(row["lat"]))
        area = areas.borough_of(point)
        _compare(row, area=area, areas=areas, oddities=oddities)
        name = row["name"].strip()
        places.append(
            Place(
                key=f"cqc:{row['cqc_location_id']}",
                stop_id="",
                name=passenger_name(name) if name.isupper() else name,
                kind="hospital",
                point=point,
                modes=("street",),
                codes=(row["cqc_location_id"],),
                area=area,
                source_name=row["name"],
            )
        )
    spots = Counter((p.point.x, p.point.y) for p in places)
    for place in places:
        if spots[place.point.x, place.point.y] > 1:
            oddities.note("hospital rows that share a position (one postcode)", place.name)
    return places


def read_demo_places(path: Path, *, stations: Mapping[str, Point], areas: Areas) -> list[Place]:
    """Invented stands, venues and alleys, each set off by some metres from a real station."""
    places = []
    for row in rows(path):
        near = stations[row["station"]]
        point = Point(
            round(near.x + float(row["metres_east"]) / METRES_PER_LON, 6),
            round(near.y + float(row["metres_north"]) / METRES_PER_LAT, 6),
        )
        places.append(
            Place(
                key=f"demo:{row['key']}",
                stop_id="",
                name=row["name"],
                kind=row["kind"],
                point=point,
                modes=(MODE_OF_KIND[row["kind"]],),
                area=areas.borough_of(point),
                demo=True,
                source_name=row["name"],
            )
        )
    return places


def write_places(places: Iterable[Place], path: Path) -> None:
    """Write places.csv."""
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        for p in places:
            position = (f"{p.point.x:.6f}", f"{p.point.y:.6f}")
            lists = ("|".join(p.modes), "|".join(p.lines), "|".join(p.codes))
            row = (p.key, p.stop_id, p.name, p.kind, *position, *lists, p.area, p.heading)
            writer.writerow((*row, "true" if p.demo else "false", p.source_name))


def write_lines(path: Path) -> None:
    """Write lines.csv."""
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("line_id", "name", "mode"))
        writer.writerows((line, name, mode) for line, (name, mode) in LINES.items())


def write_line_stops(raw: Path, path: Path, *, stations: Mapping[str, Place]) -> int:
    """Write line_stops.csv; returns its rows. Raises ValueError when a stop is not on its line."""
    written = 0
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("line_id", "sequence", "place_key"))
        for row in rows(raw / "london_line_sequences.csv"):
            station = stations.get(row["station_id"])
            if station is None or row["line_id"] not in station.lines:
                msg = f"{row['line_id']} {row['sequence']}: {row['station_id']} is not on the line"
                raise ValueError(msg)
            writer.writerow((row["line_id"], row["sequence"], station.key))
            written += 1
    return written


def passenger_name(name: str) -> str:
    """A name for display from an upper-case source name: markers away, words in sentence case.

    >>> passenger_name("WESTMINSTER STN <> / PARLIAMENT SQUARE")
    'Westminster Stn / Parliament Square'
    >>> passenger_name("GREENWICH STATION # [DLR]")
    'Greenwich Station (DLR)'
    >>> passenger_name("ST JOHN'S-ON-THE-HILL / GUY, EARL OF WARWICK")
    "St John's-on-the-Hill / Guy, Earl of Warwick"
    """
    plain = re.sub(r"\[([A-Z]+)\]", r" (\1) ", MARKERS.sub(" ", name))
    parts = [" ".join(part.split()) for part in plain.split("/")]
    return " / ".join(_part_name(part) for part in parts if part)


def _part_name(part: str) -> str:
    words = part.split(" ")
    return " ".join(_word(word, first=i == 0) for i, word in enumerate(words))


def _word(word: str, *, first: bool) -> str:
    if "-" in word:
        head, *rest = word.split("-")
        return "-".join([_word(head, first=True), *(_word(w, first=False) for w in rest)])
    if word.strip("()") in UPPER:
        return word
    if word.lower() in SMALL and not first:
        return word.lower()
    if re.fullmatch(r"[0-9]+(ST|ND|RD|TH)", word):
        return word.lower()
    capital = re.sub(
        r"(^|[.(&])([A-Z])", lambda m: m[1] + m[2].upper(), word.lower(), flags=re.IGNORECASE
    )
    return re.sub(r"^Mc([a-z])", lambda m: "Mc" + m[1].upper(), capital)


def _note_ids(row: Mapping[str, str], *, key: str, stop_id: str, oddities: Oddities) -> None:
    if not stop_id:
        oddities.note("bus stops without a public id (found by sms or LBSL code)", key)
    elif row["atco_code"] != stop_id:
        oddities.note("public ids with a line break or space at an end (removed)", key)
    if stop_id and not PUBLIC_ID.fullmatch(stop_id):
        oddities.note("public ids that do not look like 490 + six digits (kept)", stop_id)
    sms = row["sms_code"].strip()
    if not sms:
        oddities.note("bus stops without an sms code", key)
    elif not any(c.isdigit() for c in sms):
        oddities.note("sms codes that are words (left out)", f"{key} {sms}")
    elif not SMS_CODE.fullmatch(sms):
        oddities.note("sms codes that are not five digits (kept)", f"{key} {sms}")
    if not row["heading"]:
        oddities.note("bus stops without a heading", key)


def _compare(row: Mapping[str, str], *, area: str, areas: Areas, oddities: Oddities) -> None:
    if areas.boroughs.get(row["borough"], "") != area:
        name = areas.by_code[area].name if area else "outside"
        oddities.note(
            "places whose borough differs from the source's own column",
            f"{row['name']}: {row['borough'] or 'outside'} -> {name}",
        )
