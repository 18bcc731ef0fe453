"""Webhooks that were given up, and those that cannot be opened."""

import re
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from psycopg import sql

from schemas.common import WireId
from tests.services.operations.doctor.deployment import NOW, findings, problem
from waylight.vault import Vault

pytestmark = pytest.mark.commits


def webhook(database, vault, **columns):
    """Gives the first organisation a webhook; returns the organisation's name."""
    webhook_id = uuid4()
    sealed = vault.seal(
        webhook_id, {"url": "https://partner.example/hook?token=s3cret", "secret": "whsec_x"}
    )
    columns = {
        "id": webhook_id,
        "key_version": sealed.key_version,
        "wrapped_key": sealed.wrapped_key,
        **sealed.ciphertexts,
        "state": "active",
        "disabled_reason": None,
        "failing_since": None,
    } | columns
    with database.owner() as conn:
        row = conn.execute("select id, name from organisations order by id limit 1").fetchone()
        assert row is not None
        values = columns | {"organisation_id": row[0], "created_at": NOW, "updated_at": NOW}
        values |= {"event_types": ["*"], "description": "", "starts_after": 0}
        conn.execute(
            sql.SQL("insert into webhooks ({}) values ({})").format(
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(map(sql.Placeholder, values)),
            ),
            values,
        )
    return row[1], WireId.of("webhook", webhook_id)


def test_webhooks_that_were_given_up_are_named_without_their_url_as_a_warning(well):
    vault = Vault(well._settings)
    webhook(well, vault)
    webhook(well, vault, failing_since=NOW - timedelta(hours=23))
    assert findings(well)["webhooks"].problem is None
    owner, gone = webhook(well, vault, state="disabled", disabled_reason="gone")
    _, dead = webhook(well, vault, state="disabled", disabled_reason="failing")
    _, late = webhook(well, vault, failing_since=NOW - timedelta(days=2))
    told, fix = problem(well, "webhooks")
    assert told.startswith("2 are disabled, 1 have failed for more than a day: ")
    for id, why in ((gone, "gone"), (dead, "failing"), (late, "failing")):
        assert f"{owner}'s {id} ({why})" in told
    assert "enable" in fix
    assert findings(well)["webhooks"].warning
    assert not re.search("s3cret|partner|whsec", told + fix)


def test_webhook_that_cannot_be_opened_is_told_with_the_key_that_is_lost(well):
    lost = Vault(replace(well._settings, vault_keys={2: b"z" * 32}))
    owner, id = webhook(well, lost)
    webhook(well, Vault(well._settings))
    told, fix = problem(well, "webhooks")
    assert told == f"1 cannot be opened (key 2): {owner}'s {id} (unreadable)"
    assert "version 2 back into WAYLIGHT_VAULT_KEYS" in fix
    assert not findings(well)["webhooks"].warning
