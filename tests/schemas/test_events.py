import re
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from schemas.events import EVENT_EXAMPLE, EventDataOut, EventOut, envelope
from waylight.domain.alerts import Named
from waylight.domain.events import EXERCISE, TYPES, PublicEvent

KEY = UUID("01939a2c-9010-0cdb-cd5c-d8accf55b2ad")
EVENT = PublicEvent(
    id=KEY,
    sequence=41,
    type="alert.created",
    at=datetime(2026, 11, 21, 23, 52, 41, 120_000, tzinfo=UTC),
    audience=frozenset({KEY}),
    organisation_id=KEY,
    alert_id=KEY,
    incident_id=KEY,
    team=Named(KEY, "Camden rail response"),
    status="pending",
    priority=1,
    category_groups=("pursuit",),
)
BASE = "https://waylight.example"


def test_the_envelope_is_what_the_schema_says():
    sent = envelope(EVENT, base_url=BASE)
    assert EventOut().validate({**sent, "data": {**sent["data"], "team": None}}) == {}
    assert list(sent) == list(EVENT_EXAMPLE) == list(EventOut().fields)
    assert list(sent["data"]) == list(EVENT_EXAMPLE["data"]) == list(EventDataOut().fields)
    assert sent["at"] == "2026-11-21T23:52:41.120Z"
    assert sent["data"]["link"] == f"{BASE}/v1/alerts/{sent['data']['alert_id']}"


def test_neither_the_number_nor_the_audience_is_told():
    """The number would tell every organisation how much the whole city reports."""
    sent = envelope(replace(EVENT, sequence=987_654_321), base_url=BASE)
    assert "987654321" not in str(sent)
    assert not {"audience", "sequence"} & {*sent, *sent["data"]}


def test_an_event_about_a_hub_links_to_it_and_one_about_an_incident_to_nothing():
    hub = replace(EVENT, type="hub.updated", alert_id=None, team=None, hub=Named(KEY, "Camden"))
    assert envelope(hub, base_url=BASE)["data"]["link"].startswith(f"{BASE}/v1/hubs/hub_")
    incident = replace(EVENT, type="incident.updated", alert_id=None, team=None)
    assert envelope(incident, base_url=BASE)["data"]["link"] is None


def test_every_type_fits_the_documented_pattern():
    pattern = EventOut().fields["type"].metadata["pattern"]
    for name in TYPES:
        assert re.fullmatch(pattern, name)
        assert re.fullmatch(pattern, EXERCISE + name)
