"""Rows lost at once: so many of a file that the file is damaged sooner than meant."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from waylight.domain.errors import Problem
from waylight.services.packs.shapes import Rejected

TABLES = {
    "areas.geojson": "areas",
    "lines.csv": "lines",
    "places.csv": "places",
    "line_stops.csv": "line_stops",
    "organisations.yaml": "organisations",
    "teams.yaml": "teams",
    "hubs.yaml": "hubs",
}

USUAL = 10
FEW = {"teams.yaml": 3, "hubs.yaml": 3}
"""A file may lose so many rows, or a tenth of them if that is more; a city has few helpers."""


def rejected_in_bulk(
    rejected: Iterable[Rejected], *, sizes: Mapping[str, int], swapped: Collection[str]
) -> list[Problem]:
    """The files of which too many rows are rejected.

    `sizes` are rows by file, `swapped` the files whose rejected positions mostly fit the service
    area when lon and lat change places. A team that loses only a coverage counts as well.
    """
    reasons: dict[str, dict[int, str]] = {}
    for fault in rejected:
        reasons.setdefault(fault.file, {}).setdefault(fault.row, fault.reason)
    problems = []
    for file, rows in reasons.items():
        if _too_many(file, len(rows), of=sizes[file]):
            said = "lon and lat look swapped" if file in swapped else _commonest(rows)
            detail = f"{len(rows)} of {sizes[file]} rows are rejected: {said}"
            problems.append(Problem(file, "too_many_rejected", detail))
    return problems


def retired_in_bulk(retired: Mapping[str, int], *, loaded: Mapping[str, int]) -> list[Problem]:
    """The files that lack too many of the rows that are `loaded`; both are counts by table."""
    return [
        Problem(
            file,
            "too_many_retired",
            f"{retired[table]} of the {loaded[table]} rows loaded before would be retired",
        )
        for file, table in TABLES.items()
        if _too_many(file, retired[table], of=loaded[table])
    ]


def _too_many(file: str, lost: int, *, of: int) -> bool:
    return lost > FEW.get(file, USUAL) and lost * 10 > of


def _commonest(reasons: Mapping[int, str]) -> str:
    """One reason to look at: the commonest, with a row that it is said of."""
    reason, _ = Counter(reasons.values()).most_common(1)[0]
    row = next(row for row, said in reasons.items() if said == reason)
    return f"row {row}: {reason}"
