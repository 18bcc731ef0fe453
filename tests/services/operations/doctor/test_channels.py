"""Teams that no channel reaches, and messages that nobody takes."""

from dataclasses import replace

import pytest

from tests.services.operations.doctor.deployment import NOW, change, findings, ill, problem

pytestmark = pytest.mark.commits


def using(database, *channels):
    """The settings of a deployment with these channels in use."""
    return replace(database._settings, channels=channels)


def address(database, team, channel, **columns):
    """Gives a team an address on a channel."""
    columns = {"state": "active", "expires_at": None} | columns
    change(
        database,
        "insert into addresses (organisation_id, team_id, channel, name, key_version, wrapped_key,"
        " address, fingerprint, created_at, state, expires_at)"
        " select organisation_id, id, %s, 'On call', 1, null, '', uuid_send(uuid_v7()), %s, %s, %s"
        " from teams where name = %s",
        channel,
        NOW,
        columns["state"],
        columns["expires_at"],
        team,
    )


def test_teams_that_no_channel_in_use_reaches_are_named(well):
    with well.owner() as conn:
        names = [row[0] for row in conn.execute("select name from teams where not retired")]
    pushing = ("console", "web_push", "sms")
    told, fix = problem(well, "addresses", settings=using(well, *pushing))
    assert told.startswith(f"{len(names)} teams")
    assert "WAYLIGHT_CHANNELS" in fix
    reached, *others = names
    address(well, reached, "web_push")
    for other in others:
        address(well, other, "sms")
    assert findings(well, settings=using(well, *pushing))["addresses"].problem is None
    told, _ = problem(well, "addresses", settings=using(well, "console", "web_push"))
    assert reached not in told
    assert all(name in told for name in others[:3])


@pytest.mark.parametrize("columns", [{"state": "gone"}, {"expires_at": NOW}])
def test_address_that_leads_nowhere_any_more_reaches_nobody(well, columns):
    with well.owner() as conn:
        names = [row[0] for row in conn.execute("select name from teams where not retired")]
    for name in names:
        address(well, name, "web_push", **columns)
    told, _ = problem(well, "addresses", settings=using(well, "web_push"))
    assert told.startswith(f"{len(names)} teams")


def test_where_only_the_console_is_in_use_no_address_is_missed(well):
    assert ill(well, settings=using(well, "console")) == set()


def test_signature_that_push_services_refuse_is_told_with_its_fix(well):
    for detail in ("vapid_refused_403", "vapid_key_missing", "push_service_500"):
        change(
            well,
            "insert into delivery_attempts (delivery_id, attempt, at, duration_ms, worker_id,"
            " outcome, detail) values (uuid_v7(), 1, %s, 5, 'w', 'failed', %s)",
            NOW,
            detail,
        )
    told, fix = problem(well, "web push")
    assert told.startswith("2 messages")
    assert "WAYLIGHT_VAPID_KEYS" in fix
