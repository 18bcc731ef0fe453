"""The nearest rows in the exact order of geodesic distance.

PostGIS orders geographies by their distance on a sphere, which an index can answer, and the truth
is the ellipsoid. So more rows are fetched than are wanted, and ranked again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

LEAST_RATIO = 0.994
"""A geodesic on WGS 84 is at least this part of the distance on PostGIS's sphere of 6,371,008.77 m:
the tightest curve is the meridian's at the equator, 6,335,439 m, a ratio of 0.99442."""

EXTRA = 12
WIDER = 4


def rank_exactly(
    fetch: Callable[[int], Sequence[Row]],
    *,
    limit: int,
    keep: Callable[[Row], bool] = lambda _: True,
    rank: Callable[[Row], float] = lambda row: float(row["distance_m"]),
) -> list[Row]:
    """The `limit` nearest rows that `keep` accepts, by `rank`, then `id`.

    `rank` is a row's `distance_m`, or more than that where it may be further away.

    `fetch(n)` returns up to n rows by ascending `sphere_m`; each has `distance_m` as well. It is
    asked again for more until no row outside could be among the nearest.
    """
    count = limit + EXTRA
    while True:
        rows = fetch(count)
        kept = sorted(filter(keep, rows), key=lambda row: (rank(row), row["id"]))
        if len(rows) < count:
            return kept[:limit]
        # Whatever was not fetched is further on the sphere than the last row that was.
        reach = rows[-1]["sphere_m"] * LEAST_RATIO
        if len(kept) >= limit and rank(kept[limit - 1]) < reach:
            return kept[:limit]
        count *= WIDER
