"""What one organisation tries to read and write of another: over the wire, and by SQL in its role.

The service and row-level security are two locks on one door (design, D11): each holds by itself.
"""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from schemas.common import WireId
from tests.api.rights_by_hand.stories import STORY, WEST, incident_of
from tests.desk import SCOPES, headers_for
from waylight.domain.reports import Want

MANAGING = SCOPES | {
    "incidents:manage",
    "reports:redact",
    "reports:original",
    "organisation:manage",
}


@pytest.fixture
def signed_in(desk):
    """Each person with every scope there is: what they may see is then their organisation's."""
    return headers_for(desk, MANAGING)


@pytest.fixture
def step(desk, client, signed_in):
    """A person's step on a recipient's newest alert, over the wire."""

    def step(who: str, recipient: UUID, name: str, body: Any = None):
        address = f"/v1/alerts/{WireId.of('alert', desk.alert_of(recipient))}/{name}"
        answer = client.post(address, json=body, headers=signed_in[who])
        assert answer.status_code == 200, answer.text
        return answer

    return step


@pytest.fixture
def note(desk, client, signed_in):
    """The status that a person gets who writes a note in the incident of a report."""

    def note(who: str, report, text: str) -> int:
        address = f"/v1/incidents/{WireId.of('incident', incident_of(desk, report))}/notes"
        status: int = client.post(address, json={"text": text}, headers=signed_in[who]).status_code
        return status

    return note


@pytest.fixture
def timeline(desk, client, signed_in):
    """What a person reads of the incident of a report."""

    def timeline(who: str, report):
        address = f"/v1/incidents/{WireId.of('incident', incident_of(desk, report))}/timeline"
        answer = client.get(f"{address}?limit=200", headers=signed_in[who])
        assert answer.status_code == 200, answer.text
        return answer.json["items"]

    return timeline


@pytest.fixture
def elsewhere(desk):
    """A report that the operator alone was told of, by climbing: its incident and its alert."""
    report = desk.report(replace(STORY, wants=(Want.HELP,)), at=WEST)
    (alert,) = desk.rows(
        "select id from alerts where team_id = %s and report_id = %s", desk.second, report.id
    )
    assert not desk.rows(
        "select from alerts where report_id = %s and organisation_id = %s",
        report.id,
        desk.police.organisation_id,
    )
    return {"report": report.id, "incident": incident_of(desk, report), "alert": alert["id"]}
