"""Reading a city pack: what can be loaded, what cannot and why, and when nothing can."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from waylight import texts
from waylight.domain.categories import GROUPS
from waylight.domain.errors import PackRejected, Problem
from waylight.domain.geo import Bounds, Point
from waylight.domain.names import looks
from waylight.services.packs import losses, shapes
from waylight.services.packs.areas import Misplaced, position_in, read_areas
from waylight.services.packs.files import (
    BadFile,
    BadRow,
    Row,
    collect,
    csv_rows,
    numbered,
    read_yaml,
    yaml_rows,
)
from waylight.services.packs.rows import (
    read_city,
    read_contact,
    read_date,
    read_hours,
    read_line,
    read_organisation,
    read_ways,
    refer,
    short,
)
from waylight.services.packs.shapes import (
    AreaRow,
    CityRow,
    CoverageRow,
    HubRow,
    LineRow,
    LineStopRow,
    OrganisationRow,
    Pack,
    PlaceRow,
    Rejected,
    TeamRow,
)

FILES = (
    "city.yaml",
    "areas.geojson",
    "lines.csv",
    "places.csv",
    "line_stops.csv",
    "organisations.yaml",
    "teams.yaml",
    "hubs.yaml",
    "jurisdiction.yaml",
    "contacts.yaml",
)
"""All that is read of a pack; whatever else lies in its folder is for people."""

PLACE_COLUMNS = (
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
)

T = TypeVar("T")
by_key: Callable[[Any], object] = attrgetter("key")


def digest_of(folder: Path) -> str:
    """A digest of all files that are read, and of how they are read."""
    digest = sha256(b"waylight pack reader 1\0")
    for name in FILES:
        path = folder / name
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def read_slug(folder: Path) -> str:
    """Which city the pack is of. Raises PackRejected with all that is wrong with city.yaml."""
    problems: list[Problem] = []
    city = read_city(folder, problems)
    if city is None:
        raise refusal(folder, problems)
    return city.slug


def read_pack(folder: Path) -> Pack:
    """The whole pack. Raises PackRejected, with all problems, when there is no city to load.

    A row with a fault is left out and listed; a row that refers to one that was left out is left
    out too.
    """
    reader = _Reader(folder)
    pack = reader.read()
    if pack is None or reader.problems:
        # Rows that fell in bulk are often why an essential one is missing.
        bulk = losses.rejected_in_bulk(
            reader.rejected, sizes=reader.sizes, swapped=reader.swapped()
        )
        raise refusal(folder, [*reader.problems, *bulk])
    return pack


def refusal(folder: Path, problems: Sequence[Problem], *, advice: str = "") -> PackRejected:
    """What to raise when a pack is not loaded, its detail ending with the advice."""
    listed = "".join(f"\n  {problem.pointer}: {problem.detail}" for problem in problems)
    return PackRejected(
        f"The pack in {folder.name} was not loaded, and nothing was changed:{listed}"
        + (f"\n{advice}" if advice else ""),
        problems=problems,
    )


class _Reader:
    """One reading of one pack: what was found so far, and what was wrong with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[Problem] = []
        self.rejected: list[Rejected] = []
        self.sizes: Counter[str] = Counter()
        self.misplaced: Counter[tuple[str, bool]] = Counter()
        self.bounds = Bounds(west=-180, south=-90, east=180, north=90)
        self.areas: dict[str, AreaRow] = {}
        self.lines: dict[str, LineRow] = {}
        self.places: dict[str, PlaceRow] = {}
        self.organisations: dict[str, OrganisationRow] = {}

    def read(self) -> Pack | None:
        """The pack; None, with `problems`, when it has no readable city.yaml."""
        city = read_city(self.folder, self.problems)
        self.areas = {area.code: area for area in self._areas()}
        if city is not None and city.service_area in self.areas:
            self.bounds = self.areas[city.service_area].bounds
        self.lines = {row.key: row for row in self._lines()}
        self.places = {row.key: row for row in self._places()}
        line_stops = self._line_stops()
        self.organisations = {
            row.key: row
            for row in self._entries("organisations.yaml", read_organisation, key=by_key)
        }
        teams = self._entries("teams.yaml", self._team, key=by_key)
        hubs = self._entries("hubs.yaml", self._hub, key=by_key)
        rules = self._entries("jurisdiction.yaml", self._rule, under="rules")
        contacts, verified_at = self._contacts()
        if city is None:
            return None
        self._check_essentials(city, teams)
        self._check_rules(rules)
        if not contacts.get("emergency"):
            self._lacks("contacts.yaml", "no_emergency_contact", "there is no emergency contact")
        if verified_at is None:
            self._lacks("contacts.yaml", "not_verified", "verified_at is not a date")
        return Pack(
            city=city,
            bounds=self.bounds,
            areas=tuple(self.areas.values()),
            places=tuple(self.places.values()),
            lines=tuple(self.lines.values()),
            line_stops=tuple(line_stops),
            organisations=tuple(self.organisations.values()),
            teams=tuple(teams),
            hubs=tuple(hubs),
            jurisdiction=tuple(rules),
            contacts=contacts,
            contacts_verified_at=verified_at,
            rejected=tuple(self.rejected),
            sizes=dict(self.sizes),
            swapped=self.swapped(),
            notes=tuple(self._notes(rules, contacts)),
        )

    def swapped(self) -> frozenset[str]:
        """The files whose rejected positions mostly fit when lon and lat change places."""
        found = self.misplaced
        return frozenset(file for file in FILES if found[file, True] > found[file, False])

    # --- Files

    def _take(self, file: str, read: Callable[[], tuple[list[T], list[Rejected]]]) -> list[T]:
        try:
            made, rejected = read()
        except BadFile as error:
            self.problems.append(error.problem)
            return []
        self.rejected += rejected
        self.sizes[file] += len(made) + len(rejected)
        return made

    def _areas(self) -> list[AreaRow]:
        return self._take("areas.geojson", lambda: read_areas(self.folder))

    def _entries(
        self,
        file: str,
        make: Callable[[Row], T],
        *,
        under: str | None = None,
        key: Callable[[T], object] | None = None,
    ) -> list[T]:
        return self._take(
            file, lambda: collect(yaml_rows(self.folder, file, under=under), make, key=key)
        )

    def _lines(self) -> list[LineRow]:
        file = "lines.csv"
        rows = csv_rows(self.folder, file, columns=("line_id", "name", "mode"))
        return self._take(file, lambda: collect(rows, read_line, key=by_key))

    def _places(self) -> list[PlaceRow]:
        file = "places.csv"
        rows = csv_rows(self.folder, file, columns=PLACE_COLUMNS)
        return self._take(file, lambda: collect(rows, self._place, key=by_key))

    def _line_stops(self) -> list[LineStopRow]:
        file = "line_stops.csv"
        rows = csv_rows(self.folder, file, columns=("line_id", "sequence", "place_key"))
        return self._take(
            file,
            lambda: collect(rows, self._line_stop, key=lambda stop: (stop.line, stop.sequence)),
        )

    def _contacts(self) -> tuple[Mapping[str, Any], date | None]:
        file = "contacts.yaml"
        try:
            document = read_yaml(self.folder, file)
        except BadFile as error:
            self.problems.append(error.problem)
            return {}, None
        if not isinstance(document, Mapping):
            return {}, None
        parts = [name for name, value in document.items() if isinstance(value, list)]
        contacts = {str(part): self._entries(file, read_contact, under=part) for part in parts}
        try:
            return contacts, read_date(document.get("verified_at"))
        except ValueError:
            return contacts, None

    # --- Rows that refer to others

    def _place(self, row: Row) -> PlaceRow:
        area = row.maybe("area")
        if area is not None:
            refer("area", area, self.areas)
        name = row.text("name")
        source_name = row.values.get("source_name") or row.values["name"]
        if "\0" in source_name:
            raise BadRow("source_name holds a character that cannot be stored")
        return PlaceRow(
            key=row.text("key"),
            stop_id=row.maybe("stop_id"),
            name=name,
            source_name=source_name,
            kind=row.one_of("kind", shapes.PLACE_KINDS),
            point=self._position(row),
            modes=row.words("modes", shapes.MODES),
            lines=tuple(refer("line", line, self.lines) for line in row.words("lines")),
            codes=row.words("codes"),
            area=area,
            heading=row.whole("heading"),
            demo=row.flag("demo"),
        )

    def _line_stop(self, row: Row) -> LineStopRow:
        sequence = row.whole("sequence")
        if sequence is None:
            raise BadRow("sequence is missing")
        return LineStopRow(
            line=refer("line", row.text("line_id"), self.lines),
            sequence=sequence,
            place=refer("place", row.text("place_key"), self.places),
        )

    def _team(self, row: Row) -> TeamRow:
        base = row.values.get("base")
        if isinstance(base, Mapping):
            point = self._position(row.inner("base"))
        else:
            point = self.places[refer("place", row.text("base"), self.places)].point
        return TeamRow(
            key=row.text("key"),
            organisation=refer("organisation", row.text("organisation"), self.organisations),
            name=short(row.text("name")),
            kind=row.one_of("kind", shapes.TEAM_KINDS),
            base=point,
            capabilities=row.words("capabilities", shapes.CAPABILITIES),
            shifts=read_hours(row, "shifts"),
            demo=row.flag("demo"),
            coverages=self._coverages(row),
        )

    def _coverages(self, team: Row) -> tuple[CoverageRow, ...]:
        """The coverages of a team; one with a fault is left out and the team stays."""
        entries = team.values.get("coverages") or []
        if not isinstance(entries, list):
            raise BadRow("coverages must be a list")
        made, rejected = collect(numbered(team.file, entries), self._coverage)
        self.rejected += [
            Rejected(team.file, team.number, f"coverage {fault.row}: {fault.reason}")
            for fault in rejected
        ]
        return tuple(dict.fromkeys(coverage for group in made for coverage in group))

    def _coverage(self, row: Row) -> list[CoverageRow]:
        schedule = row.values.get("schedule")
        areas = row.words("areas")
        if not areas:
            raise BadRow("areas is missing")
        return [
            CoverageRow(
                area=refer("area", area, self.areas),
                modes=row.maybe_words("modes", shapes.MODES),
                routes=row.maybe_words("routes"),
                category_groups=row.maybe_words("category_groups", GROUPS),
                schedule=None if schedule is None else read_hours(row, "schedule"),
            )
            for area in areas
        ]

    def _hub(self, row: Row) -> HubRow:
        place = row.maybe("place")
        if place is not None:
            point = self.places[refer("place", place, self.places)].point
        else:
            point = self._position(row)
        return HubRow(
            key=row.text("key"),
            organisation=refer("organisation", row.text("organisation"), self.organisations),
            name=short(row.text("name")),
            kind=row.one_of("kind", shapes.HUB_KINDS),
            mobile=row.flag("mobile"),
            point=point,
            address=row.text("address"),
            opening_hours=read_hours(row, "opening_hours"),
            services=row.words("services", shapes.SERVICES),
            access=row.words("access", shapes.ACCESS),
            languages=row.words("languages"),
            phone=row.maybe("phone"),
            demo=row.flag("demo"),
        )

    def _rule(self, row: Row) -> Mapping[str, Any]:
        """A rule of jurisdiction as the database keeps it: by name, whoever it names.

        A `body` is nobody whom the pack knows, such as the police of wherever that may be.
        """
        body = row.maybe("body")
        if body is None:
            key = refer("organisation", row.text("organisation"), self.organisations)
            body = self.organisations[key].name
        elif row.maybe("organisation") is not None:
            raise BadRow("name an organisation or a body, not both")
        elif looks(body) in {looks(one.name) for one in self.organisations.values()}:
            raise BadRow(f"body {body!r} is an organisation: name its key")
        areas = row.maybe_words("areas")
        for area in areas or ():
            refer("area", area, self.areas)
        return {
            "modes": row.maybe_words("modes", shapes.MODES),
            "areas": areas,
            "organisation": body,
            "code": row.text("code"),
            "contact": read_ways(row, "contact"),
            "also": read_ways(row, "also"),
        }

    def _position(self, row: Row) -> Point:
        try:
            return position_in(row, self.bounds)
        except Misplaced as fault:
            self.misplaced[row.file, fault.fits_swapped] += 1
            raise

    # --- The whole

    def _check_essentials(self, city: CityRow, teams: Iterable[TeamRow]) -> None:
        for name in FILES:
            if not (self.folder / name).is_file():
                self._lacks(name, "missing_file", "there is no such file")
        for field, code in (("outline", city.outline), ("service_area", city.service_area)):
            if code not in self.areas:
                self._lacks("areas.geojson", f"no_{field}", f"there is no area {code!r} ({field})")
        room = next((team for team in teams if team.key == city.control_room), None)
        if room is None:
            self._lacks(
                "teams.yaml", "no_control_room", f"there is no control room {city.control_room!r}"
            )
        elif room.kind != "control_room":
            self._lacks(
                "teams.yaml", "no_control_room", f"{room.key!r} is not of the kind control_room"
            )

    def _check_rules(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Left out, a rule would hand its reports to the next one, which is somebody else's."""
        file = "jurisdiction.yaml"
        if any(fault.file == file for fault in self.rejected):
            self._lacks(file, "bad_rule", "a rule cannot be used")
        elif not rules or rules[-1]["modes"] is not None or rules[-1]["areas"] is not None:
            self._lacks(file, "no_last_rule", "the last rule must match everything")

    def _lacks(self, file: str, code: str, detail: str) -> None:
        faults = [fault for fault in self.rejected if fault.file == file]
        why = "".join(f"; row {fault.row}: {fault.reason}" for fault in faults[:3])
        self.problems.append(Problem(file, code, detail + why))

    def _notes(
        self,
        rules: Sequence[Mapping[str, Any]],
        contacts: Mapping[str, Any],
    ) -> Iterable[str]:
        nameless = sum(place.stop_id is None for place in self.places.values())
        if nameless:
            yield f"places without a stop_id: {nameless}"
        named = [place.stop_id for place in self.places.values() if place.stop_id]
        if len(named) > len(set(named)):
            yield f"places that share the stop_id of another: {len(named) - len(set(named))}"
        entries = [entry for part in contacts.values() for entry in part]
        for section, used in (
            ("reasons", {rule["code"] for rule in rules}),
            ("how", {entry["how"] for entry in entries if entry["how"]}),
            ("needs", {entry["need"] for entry in entries}),
        ):
            for code in sorted(used - set(texts.section(section, texts.DEFAULT))):
                yield f"the code {code!r} has no sentence in data/texts and is shown as it is"
