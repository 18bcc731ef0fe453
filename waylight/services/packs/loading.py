"""Loading a city pack: one transaction, the same result however often it is done."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import packs as db_packs
from waylight.db.session import Database
from waylight.services import schedules
from waylight.services.packs.losses import rejected_in_bulk, retired_in_bulk
from waylight.services.packs.reading import digest_of, read_pack, read_slug, refusal
from waylight.services.packs.shapes import Pack, Rejected


@dataclass(frozen=True)
class Counts:
    """What became of one table. `retired` counts teams and hubs retired, other rows removed."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    retired: int = 0


@dataclass(frozen=True)
class LoadReport:
    """What a load did. `changed` is False when the pack was the one already loaded."""

    slug: str
    version: int
    changed: bool
    tables: Mapping[str, Counts]
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The report for a person at a terminal: counts, notes and every rejected row."""
        if not self.changed:
            return [f"{self.slug}: this pack is loaded already (version {self.version})"]
        said = [f"{self.slug}: version {self.version}"]
        for name, counts in self.tables.items():
            words = [f"{number} {word}" for word, number in asdict(counts).items() if number]
            said.append(f"  {name}: {', '.join(words) or 'none'}")
        said += [f"  note: {note}" for note in self.notes]
        said += [f"  rejected: {row}" for row in self.rejected]
        return said


def load_pack(
    database: Database,
    path: Path,
    *,
    now: datetime,
    progress: Callable[[str], None],
    allow_retire: bool = False,
) -> LoadReport:
    """Brings a city into line with the pack in a folder, and says what that took.

    The city, its places, bodies, teams, hubs and rules are then those of the pack, with hours
    expanded from `now`; ids stay, and so does what staff set by hand. A row with a fault is left
    out and reported. Teams and hubs that left the pack are retired; other rows are removed where
    nothing refers to them. The same pack again changes nothing, and says so quickly. Every line of
    the report goes to `progress`. Raises PackRejected, with all problems and nothing changed, when
    there is no city to load, and unless `allow_retire` when a file would retire or rejects so many
    of its rows that it is damaged sooner than meant (docs/city-packs.md has the numbers);
    Unavailable.
    """
    folder = Path(path)
    slug = read_slug(folder)
    digest = digest_of(folder)
    with database.owner() as conn:
        db_packs.take_turn(conn, slug)
        before = db_packs.loaded(conn, slug)
        if before is not None and before["pack_digest"] == digest:
            report = LoadReport(
                slug=slug,
                version=before["version"],
                changed=False,
                tables={
                    name: Counts(unchanged=number)
                    for name, number in db_packs.counts(conn, before["id"]).items()
                },
            )
        else:
            progress(f"{slug}: reading {folder.name}")
            pack = read_pack(folder)
            progress(f"{slug}: writing {len(pack.places)} places and all else")
            loaded = db_packs.counts(conn, before["id"]) if before is not None else {}
            report = _load(conn, pack, digest=digest, now=now)
            if not allow_retire:
                # Only the writing tells what nothing refers to; the refusal takes it all back.
                _refuse_losses(folder, pack, report, loaded=loaded)
    for line in report.lines():
        progress(line)
    return report


def _refuse_losses(
    folder: Path, pack: Pack, report: LoadReport, *, loaded: Mapping[str, int]
) -> None:
    problems = rejected_in_bulk(pack.rejected, sizes=pack.sizes, swapped=pack.swapped)
    if loaded:
        retired = {name: counts.retired for name, counts in report.tables.items()}
        problems += retired_in_bulk(retired, loaded=loaded)
    if problems:
        raise refusal(
            folder,
            problems,
            advice="Is a file damaged? If all this is meant, load it with --allow-retire.",
        )


def _load(conn: Connection[Any], pack: Pack, *, digest: str, now: datetime) -> LoadReport:
    city_id = db_packs.keep_city(conn, _city(pack, digest=digest, now=now))
    tables: dict[str, Counts] = {}

    merged, repaired = db_packs.synchronise_areas(
        conn,
        city_id,
        ((area.code, area.name, area.kind, area.demo, area.geojson) for area in pack.areas),
    )
    area_ids = db_packs.ids(conn, db_packs.AREAS, city_id)
    places = db_packs.synchronise(conn, db_packs.PLACES, city_id, _places(pack, area_ids))
    lines = db_packs.synchronise(
        conn, db_packs.LINES, city_id, ((line.key, line.name, line.mode) for line in pack.lines)
    )
    place_ids = db_packs.ids(conn, db_packs.PLACES, city_id)
    tables["line_stops"] = Counts(
        *db_packs.replace_line_stops(
            conn,
            city_id,
            ((stop.line, stop.sequence, place_ids[stop.place]) for stop in pack.line_stops),
        )
    )
    organisations, edited_organisations = db_packs.synchronise_edited(
        conn,
        db_packs.ORGANISATIONS,
        city_id,
        ((row.key, row.name, row.kind, dict(row.contact), row.demo) for row in pack.organisations),
    )
    organisation_ids = db_packs.ids(conn, db_packs.ORGANISATIONS, city_id)
    teams, edited_teams = db_packs.synchronise_edited(
        conn, db_packs.TEAMS, city_id, _teams(pack, organisation_ids)
    )
    tables["teams"] = Counts(*teams, db_packs.retire_vanished(conn, db_packs.TEAMS, city_id))
    team_ids = db_packs.ids(conn, db_packs.TEAMS, city_id)
    added, unchanged, removed = db_packs.replace_coverages(
        conn, city_id, _coverages(pack, team_ids, area_ids)
    )
    tables["coverages"] = Counts(added=added, unchanged=unchanged, retired=removed)
    hubs, edited = db_packs.synchronise_hubs(conn, city_id, _hubs(pack, organisation_ids))
    tables["hubs"] = Counts(*hubs, db_packs.retire_vanished(conn, db_packs.HUBS, city_id))
    db_packs.set_control_room(conn, city_id, pack.city.control_room)

    # In this order: a place may be the last to refer to an area.
    kept: list[str] = []
    for table, counted in (
        (db_packs.LINES, lines),
        (db_packs.PLACES, places),
        (db_packs.AREAS, merged),
        (db_packs.ORGANISATIONS, organisations),
    ):
        tables[table.name] = Counts(*counted, db_packs.remove_vanished(conn, table, city_id))
        left = db_packs.count_vanished(conn, table, city_id)
        if left:
            kept.append(f"{table.name} that left the pack but are referred to, and stay: {left}")

    db_packs.refresh_statistics(conn)
    schedules.expand_city(conn, city_id, now=now)
    after = db_packs.loaded(conn, pack.city.slug)
    return LoadReport(
        slug=pack.city.slug,
        version=after["version"] if after else 0,
        changed=True,
        tables={name: tables[name] for name in db_packs.COUNTED},
        rejected=pack.rejected,
        notes=(
            *pack.notes,
            *(f"area {code} was repaired: {fault}" for code, fault in repaired),
            *(
                f"{noun} {key}: what its staff set stays: {', '.join(names)}"
                for noun, found in (
                    ("organisation", edited_organisations),
                    ("team", edited_teams),
                    ("hub", edited),
                )
                for key, names in found
            ),
            *kept,
            *_left_to_staff(conn, city_id),
        ),
    )


def _left_to_staff(conn: Connection[Any], city_id: UUID) -> list[str]:
    """What the pack says in vain: its words count again when the staff take theirs back."""
    shifts, capabilities, coverages = db_packs.set_by_staff(conn, city_id)
    return [
        f"teams whose {what} were set by staff, so that the pack's do not count: {number}"
        for what, number in (
            ("shifts", shifts),
            ("capabilities", capabilities),
            ("coverages", coverages),
        )
        if number
    ]


def _city(pack: Pack, *, digest: str, now: datetime) -> dict[str, Any]:
    city, bounds = pack.city, pack.bounds
    return {
        "slug": city.slug,
        "name": city.name,
        "country": city.country,
        "time_zone": city.time_zone,
        "holidays": dict(city.holidays),
        "languages": list(city.languages),
        "outline_code": city.outline,
        "service_area_code": city.service_area,
        "attribution": list(city.attribution),
        "jurisdiction": list(pack.jurisdiction),
        "contacts": dict(pack.contacts),
        "contacts_verified_at": pack.contacts_verified_at,
        "bounds": [bounds.west, bounds.south, bounds.east, bounds.north],
        "pack_digest": digest,
        "loaded_at": now,
    }


Values = tuple[Any, ...]


def _places(pack: Pack, area_ids: Mapping[str, UUID]) -> list[Values]:
    return [
        (
            place.key,
            place.stop_id,
            place.name,
            place.source_name,
            place.kind,
            place.point.ewkt(),
            place.modes,
            place.lines,
            place.codes,
            area_ids[place.area] if place.area else None,
            place.heading,
            place.demo,
        )
        for place in pack.places
    ]


def _teams(pack: Pack, organisation_ids: Mapping[str, UUID]) -> list[Values]:
    return [
        (
            team.key,
            organisation_ids[team.organisation],
            team.name,
            team.kind,
            team.base.ewkt(),
            team.capabilities,
            team.shifts,
            team.demo,
            False,
        )
        for team in pack.teams
    ]


def _coverages(
    pack: Pack, team_ids: Mapping[str, UUID], area_ids: Mapping[str, UUID]
) -> list[Values]:
    return [
        (
            team_ids[team.key],
            area_ids[coverage.area],
            coverage.modes,
            coverage.routes,
            coverage.category_groups,
            coverage.schedule,
        )
        for team in pack.teams
        for coverage in team.coverages
    ]


def _hubs(pack: Pack, organisation_ids: Mapping[str, UUID]) -> list[Values]:
    return [
        (
            hub.key,
            organisation_ids[hub.organisation],
            hub.name,
            hub.kind,
            hub.mobile,
            hub.point.ewkt(),
            hub.address,
            hub.opening_hours,
            hub.services,
            hub.access,
            hub.languages,
            hub.phone,
            hub.demo,
            False,
        )
        for hub in pack.hubs
    ]
