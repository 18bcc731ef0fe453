"""What is asked: the lines that wrk sends, always the same ones.

A report in ten is about the same event as one of the twenty before it (same kind, within 30 m), so
that reports link as they do when two people on a platform send one; the others lie anywhere near
the stops of the city.
"""

import csv
import json
import random
from pathlib import Path
from typing import Any

from waylight.domain.categories import CATEGORIES

SHARE_OF_ONE_EVENT = 0.1
DEGREES_30_M = 0.00027

STORY = (
    "He got on at the last stop and sat down next to me although the carriage was nearly empty. "
    "He kept moving closer, would not stop talking to me, and followed me when I changed seats. "
    "I got off one stop early and he got off as well. I am by the ticket barriers now. "
)
WANTS: tuple[list[str], ...] = ([], ["help"], ["help", "hub"], ["help", "police"])
MODES = ("bus", "tube", "overground")


def positions(city: Path, count: int, seed: int = 1) -> list[tuple[float, float]]:
    """Longitudes and latitudes within some 300 m of the stops of a city pack."""
    rng = random.Random(seed)
    with (city / "places.csv").open(encoding="utf-8") as file:
        stops = [(float(row["lon"]), float(row["lat"])) for row in csv.DictReader(file)]
    return [
        (round(lon + rng.uniform(-0.004, 0.004), 6), round(lat + rng.uniform(-0.0027, 0.0027), 6))
        for lon, lat in rng.choices(stops, k=count)
    ]


def reports(city: Path, count: int) -> list[str]:
    """Bodies for POST /v1/reports, one line each."""
    rng = random.Random(2)
    bodies: list[dict[str, Any]] = []
    for n, (lon, lat) in enumerate(positions(city, count)):
        category = rng.choice(list(CATEGORIES))
        point = [lon, lat]
        if bodies and rng.random() < SHARE_OF_ONE_EVENT:
            same = rng.choice(bodies[-20:])
            category = same["categories"][0]
            point = [
                round(degrees + rng.uniform(-DEGREES_30_M, DEGREES_30_M), 6)
                for degrees in same["location"]["point"]["coordinates"]
            ]
        body: dict[str, Any] = {
            "categories": [category],
            "happening": "now",
            "location": {
                "point": {"type": "Point", "coordinates": point},
                "accuracy_m": rng.randint(5, 40),
                "method": "gnss",
            },
            "in_danger": rng.random() < 0.2,
            "person_nearby": rng.random() < 0.5,
            "narrative": f"{n}: {STORY[: rng.randint(80, len(STORY))]}",
            "language": "en",
        }
        if wants := rng.choice(WANTS):
            body["wants"] = wants
        if rng.random() < 0.3:
            body["journey"] = {"mode": rng.choice(MODES)}
        bodies.append(body)
    return [json.dumps(body, separators=(",", ":")) for body in bodies]


def nearest(city: Path, count: int) -> list[str]:
    """Paths for GET /v1/hubs/nearest, one line each."""
    return [f"/v1/hubs/nearest?lat={lat}&lon={lon}" for lon, lat in positions(city, count, seed=3)]
