"""Reports whose rows others try to read and write."""

from dataclasses import replace

from tests.desk import P2, SPOT
from waylight.domain.geo import Point
from waylight.domain.reports import Want

STORY = replace(P2, narrative="He got on at King's Cross.")
WANTS_HUB = replace(STORY, wants=(Want.HELP, Want.POLICE, Want.HUB))
WEST = Point(SPOT.lon - 0.05, SPOT.lat)


def incident_of(desk, report):
    (row,) = desk.rows("select incident_id from reports where id = %s", report.id)
    return row["incident_id"]
