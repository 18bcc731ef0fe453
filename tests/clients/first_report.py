"""The README's first report by the client that openapi-python-client makes, with all its types."""

import json
import sys

from waylight_client import AuthenticatedClient, Client  # type: ignore[import-not-found]
from waylight_client.api.hubs import hubs_nearest  # type: ignore[import-not-found]
from waylight_client.api.reports import (  # type: ignore[import-not-found]
    reports_mine,
    reports_submit,
)
from waylight_client.models import LocationIn, ReportIn  # type: ignore[import-not-found]

base_url = sys.argv[1]
report = ReportIn(in_danger=True, location=LocationIn(stop_id="940GZZLUCTN"))

with Client(base_url=base_url, raise_on_unexpected_status=True) as client:
    answer = reports_submit.sync(client=client, body=report)
    lon, lat = answer.location.point.coordinates
    nearest = hubs_nearest.sync(client=client, lat=lat, lon=lon, open_now=False, limit=3)

with AuthenticatedClient(base_url=base_url, token=answer.receipt, prefix="Receipt") as passenger:
    mine = reports_mine.sync(client=passenger)

print(  # noqa: T201 -- the test reads it
    json.dumps(
        {
            "sent": report.to_dict(),
            "status": answer.status.value,
            "told": [chosen.role.value for chosen in answer.routed_to],
            "same_report": mine.id == answer.id,
            "timeline": [entry.code for entry in mine.timeline],
            "nearest": [hub.id for hub in nearest.items],
        }
    )
)
