"""Hiding a part of a report by hand, in one's own name and another's."""

from dataclasses import replace
from datetime import timedelta

from schemas.common import WireId
from tests.api.rights_by_hand.stories import STORY
from tests.by_hand import by_hand, cannot_say, refused
from tests.desk import NOW

HIDE = {"field": "narrative", "ranges": [[0, 2]], "reason": "A bystander."}


def redaction(desk, who, report):
    return (
        (
            "insert into report_redactions (id, report_id, field, organisation_id, staff_id, at,"
            " redacted, reason) values (uuid_v7(), %s, 'narrative', %s, %s, %s, '', '')"
        ),
        report.id,
        who.organisation_id,
        who.staff_id,
        NOW,
    )


def test_whoever_was_only_told_hides_nothing_of_a_report(desk, client, signed_in, step):
    report = desk.report(STORY)
    address = f"/v1/reports/{WireId.of('report', report.id)}/redactions"
    told = client.post(address, json=HIDE, headers=signed_in["Robin"])
    assert (told.status_code, told.json["code"]) == (403, "not_allowed")
    refused(desk, desk.police, *redaction(desk, desk.police, report))
    cannot_say(desk, desk.police, "report.redacted", report_id=report.id)
    assert desk.rows("select from report_redactions") == []

    desk.climb(NOW + timedelta(minutes=5))
    step("Robin", desk.first, "acknowledge")
    for who, status in (("Ali", 403), ("Robin", 201)):
        assert client.post(address, json=HIDE, headers=signed_in[who]).status_code == status, who
    over = {**HIDE, "ranges": [[3, 6]]}
    assert client.post(address, json=over, headers=signed_in["Casey"]).status_code == 201
    refused(desk, desk.operator, *redaction(desk, desk.operator, report))
    assert by_hand(desk, desk.police, *redaction(desk, desk.police, report)) == 1


def test_nobody_hides_a_part_of_a_report_in_the_name_of_another(desk, step):
    report = desk.report(STORY)
    step("Robin", desk.first, "acknowledge")
    for organisation, person in ((desk.control, desk.control), (desk.police, desk.control)):
        forged = replace(organisation, staff_id=person.staff_id)
        refused(desk, desk.police, *redaction(desk, forged, report))
