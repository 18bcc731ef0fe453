"""What the passenger asked for is a hard limit."""

import pytest

from schemas.common import WireId
from tests.api.reports.sending import codes, count, read_back, report, submit


@pytest.mark.parametrize("want", ["record_only", "support_only"])
def test_asking_for_silence_is_kept_and_said(client, london, want):
    body = submit(client, report(wants=[want])).json
    assert (body["status"], body["alerting"], body["routed_to"]) == ("recorded", "none", [])
    assert codes(body["safety_card"]["who_sees_this"]) == ["nobody"]
    for table in ("alerts", "deliveries", "incidents", "grants"):
        assert count(london, table) == 0
    back = read_back(client, body["receipt"]).json
    assert back["status"] == "recorded"


def test_without_police_in_a_stated_list_no_police_is_told(client, london):
    body = submit(client, report(wants=["help"])).json
    with london.owner() as conn:
        kinds = conn.execute(
            "select distinct o.kind from alerts a join organisations o on o.id = a.organisation_id"
        ).fetchall()
    assert body["routed_to"]
    assert ("police",) not in kinds


def test_a_child_goes_to_a_safeguarding_team(client, london):
    body = submit(client, report(under_18=True)).json
    teams = [WireId.read("team", r["team"]["id"]) for r in body["routed_to"] if r.get("team")]
    with london.owner() as conn:
        capable = conn.execute(
            "select bool_and('safeguarding' = any (capabilities)) from teams where id = any (%s)",
            [teams],
        ).fetchone()
    assert capable == (True,)
