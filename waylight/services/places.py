"""Finding stops, stations, stands and venues."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from waylight.db import places as db_places
from waylight.db.nearest import Row, rank_exactly
from waylight.db.places import Wanted
from waylight.db.session import Database
from waylight.domain.geo import Point
from waylight.domain.places import Place

MOST_WORDS = 8
"""Words of a query that are looked for; nobody types more of a stop's name."""

_APOSTROPHES = re.compile("['\u2018\u2019`]")
_SAME_WORDS = ({"and", "&"}, {"st", "saint", "street"}, {"rd", "road"})
"""Spellings that people and timetables use for one another."""


def find_places(
    database: Database,
    *,
    q: str | None = None,
    near: Point | None = None,
    kind: str | None = None,
    stop_id: str | None = None,
    after: Sequence[Any] | None = None,
    limit: int,
) -> list[Place]:
    """Places that fit every condition given: by distance from `near`, else the best fit first.

    `q` is words of the name in any order, or a public id or code. `after` is what `order_of` says
    of the last place seen. Raises Unavailable.
    """
    wanted = _wanted(q, kind=kind, stop_id=stop_id)
    with database.intake(autocommit=True) as conn:
        if near is None:
            rows: Sequence[Row] = db_places.in_order(conn, wanted, after=after, limit=limit)
        else:
            from_here = partial(db_places.nearest, conn, wanted, near, after=after)
            rows = rank_exactly(lambda count: from_here(limit=count), limit=limit)
    return [_place(row) for row in rows]


def order_of(place: Place) -> list[Any]:
    """What a list of places is ordered by: metres and id near a point, else the fit first."""
    if place.distance_m is not None:
        return [place.distance_m, place.id]
    return [place.rank, place.kind, place.name, place.id]


def _wanted(q: str | None, *, kind: str | None, stop_id: str | None) -> Wanted:
    said = " ".join((q or "").split())
    return Wanted(
        q=said or None,
        words=[_spellings(word) for word in said.lower().split()[:MOST_WORDS]],
        ids=list(dict.fromkeys((said, said.upper(), said.replace(" ", "").upper()))),
        kind=kind,
        stop_id=stop_id,
    )


def _spellings(word: str) -> list[str]:
    """LIKE patterns for a word. "kings" finds "King's", and "St" finds "St." and "Saint"."""
    plain = word.strip(".,;:()") or word
    spelled = next((same for same in _SAME_WORDS if plain in same), {plain})
    patterns = {_literal(one) for one in spelled} | {_literal(_APOSTROPHES.sub("", plain))}
    if plain.endswith("s") and len(plain) > 2:
        patterns.add(f"{_literal(plain[:-1])}_s")
    return sorted(f"%{pattern}%" for pattern in patterns)


def _literal(word: str) -> str:
    escaped = re.sub(r"([\\%_])", r"\\\1", word)
    return _APOSTROPHES.sub("_", escaped)


def _place(row: Mapping[str, Any]) -> Place:
    return Place(
        id=row["id"],
        stop_id=row["stop_id"],
        name=row["name"],
        kind=row["kind"],
        point=Point(row["lon"], row["lat"]),
        modes=tuple(row["modes"]),
        lines=tuple(row["lines"]),
        codes=tuple(row["codes"]),
        area=row["area"],
        heading=row["heading"],
        demo=row["demo"],
        distance_m=row["distance_m"],
        rank=row["rank"],
    )
