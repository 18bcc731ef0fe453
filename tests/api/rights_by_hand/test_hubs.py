"""What happens at hubs: who reads it, and who says that it did."""

from schemas.common import WireId
from tests.api.rights_by_hand.stories import STORY, WANTS_HUB, WEST, incident_of
from tests.by_hand import by_hand, cannot_say, refused
from tests.desk import NOW

AT_THE_HUB = "select from events where kind in ('alert.arrived', 'alert.acknowledged')"


def test_hub_s_doings_are_hidden_from_whoever_was_not_granted_its_passenger_s_report(
    desk, client, signed_in, step, timeline
):
    report = desk.report(WANTS_HUB)
    step("Jo", desk.hub, "acknowledge")
    step("Jo", desk.hub, "arrival", {"status": "arrived"})
    step("Robin", desk.first, "acknowledge")
    address = f"/v1/incidents/{WireId.of('incident', incident_of(desk, report))}"
    hub, done = WireId.of("hub", desk.hub), ["alert.acknowledged", "alert.arrived"]

    def hubs(who):
        shown = client.get(address, headers=signed_in[who]).json
        return [one["hub"]["id"] for one in shown["rungs"] if one["hub"] is not None]

    def doings(who):
        told = [e for e in timeline(who, report) if e["told"] and e["told"]["hub"]]
        return [e["kind"] for e in told if e["kind"] in done]

    assert (hubs("Robin"), doings("Robin")) == ([hub], done)
    assert len(by_hand(desk, desk.police, AT_THE_HUB)) == 3
    desk.do(
        "update grants set revoked_at = now() where organisation_id = %s",
        desk.police.organisation_id,
    )
    assert (hubs("Robin"), doings("Robin")) == ([], [])
    assert "alert.acknowledged" in [e["kind"] for e in timeline("Robin", report)]  # its own
    assert len(by_hand(desk, desk.police, AT_THE_HUB)) == 1
    assert by_hand(desk, desk.police, "select from alerts where hub_id is not null") == []
    assert (hubs("Casey"), doings("Casey")) == ([hub], done)


def test_hub_reads_nowhere_where_its_incident_is(desk):
    desk.report(WANTS_HUB)
    assert len(by_hand(desk, desk.hub_host, "select id from incidents")) == 1
    for column in ("position", "vehicle", "*"):
        for who in (desk.hub_host, desk.police):
            refused(desk, who, f"select {column} from incidents")  # noqa: S608 - names of this file


def arrival(desk, report_id, *, person=None):
    return (
        (
            "insert into hub_arrivals (alert_id, report_id, hub_id, organisation_id, status, at,"
            " logged_at, logged_by) values (%s, %s, %s, %s, 'arrived', %s, %s, %s)"
        ),
        desk.alert_of(desk.hub),
        report_id,
        desk.hub,
        desk.hub_host.organisation_id,
        NOW,
        NOW,
        (person or desk.hub_host).staff_id,
    )


def test_hub_logs_nobody_whom_it_was_not_told_to_expect(desk):
    expected, other = desk.report(WANTS_HUB), desk.report(STORY, at=WEST)
    refused(desk, desk.hub_host, *arrival(desk, other.id))
    refused(desk, desk.hub_host, *arrival(desk, expected.id, person=desk.police))
    # Nor does it say itself whom it was told to expect.
    for kind in ("alert.created", "alert.updated"):
        cannot_say(
            desk, desk.hub_host, kind, alert_id=desk.alert_of(desk.hub), report_id=expected.id
        )
    assert by_hand(desk, desk.hub_host, *arrival(desk, expected.id)) == 1


def test_override_is_set_by_nobody_of_another_organisation(desk):
    def override(person):
        return (
            (
                "insert into hub_overrides (hub_id, organisation_id, status, starts_at, ends_at,"
                " reason, set_by) values (%s, %s, 'closed', %s, %s, '', %s)"
            ),
            desk.hub,
            desk.hub_host.organisation_id,
            NOW,
            NOW,
            person.staff_id,
        )

    refused(desk, desk.hub_host, *override(desk.police))
    refused(desk, desk.police, *override(desk.police))
    assert by_hand(desk, desk.hub_host, *override(desk.hub_host)) == 1
