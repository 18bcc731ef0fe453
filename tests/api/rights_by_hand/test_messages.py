"""Messages and addresses by hand."""

from datetime import timedelta
from uuid import uuid4

from tests.api.rights_by_hand.stories import STORY
from tests.by_hand import by_hand, refused
from tests.desk import NOW


def message(desk, alert, report, *, message="alert.withdrawn", channel="sms", target=None):
    return (
        (
            "insert into deliveries (alert_id, report_id, channel, target_id, message, priority,"
            " exercise, created_at) values (%s, %s, %s, %s, %s, 2, false, %s)"
        ),
        alert,
        report,
        channel,
        target,
        message,
        NOW,
    )


def test_message_goes_to_no_address_that_was_not_told_of_the_alert(desk, step):
    theirs = uuid4()
    desk.do(
        "insert into addresses (id, organisation_id, team_id, channel, name, key_version, address,"
        " fingerprint, created_at) values (%s, %s, %s, 'sms', '', 1, '', '', %s)",
        theirs,
        desk.operator.organisation_id,
        desk.second,
        NOW,
    )
    report = desk.report(STORY)
    desk.climb(NOW + timedelta(minutes=5))
    step("Robin", desk.first, "acknowledge")
    mine, over = desk.alert_of(desk.first), desk.alert_of(desk.second)
    for row in (
        message(desk, mine, report.id, target=theirs),
        message(desk, over, report.id, target=theirs),
        message(desk, over, report.id, target=uuid4()),
        message(desk, over, report.id, channel="console", message="alert.created"),
        message(desk, over, uuid4(), channel="console"),
        message(desk, mine, report.id, channel="console"),  # it is at work, and not stood down
    ):
        refused(desk, desk.police, *row)
    assert by_hand(desk, desk.police, *message(desk, over, report.id, channel="console")) == 1


def test_endpoint_of_an_organisation_carries_no_alert_by_hand(desk):
    report = desk.report(STORY)
    webhook = uuid4()
    desk.do(
        "insert into webhooks (id, organisation_id, key_version, wrapped_key, url, secret,"
        " event_types, description, starts_after, created_at, updated_at)"
        " values (%s, %s, 1, '', '', '', '{}', '', 0, %s, %s)",
        webhook,
        desk.operator.organisation_id,
        NOW,
        NOW,
    )
    alert = desk.alert_of(desk.first)
    to_it = {"channel": "webhook", "target": webhook, "message": "ping"}
    refused(desk, desk.operator, *message(desk, alert, report.id, **to_it))
    refused(desk, desk.police, *message(desk, None, None, **to_it))
    assert by_hand(desk, desk.operator, *message(desk, None, None, **to_it)) == 1


def test_address_is_that_of_nobody_in_another_organisation(desk):
    def address(person):
        return (
            (
                "insert into addresses (id, organisation_id, team_id, staff_id, channel, name,"
                " key_version, address, fingerprint, created_at)"
                " values (uuid_v7(), %s, %s, %s, 'sms', '', 1, '', '', %s)"
            ),
            desk.police.organisation_id,
            desk.first,
            person.staff_id,
            NOW,
        )

    refused(desk, desk.police, *address(desk.operator))
    assert by_hand(desk, desk.police, *address(desk.police)) == 1
