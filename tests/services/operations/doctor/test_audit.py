"""An audit log that is not sealed, or whose chain is broken."""

from datetime import timedelta

import pytest

from tests.services.operations.doctor.deployment import NOW, change, ill, problem
from waylight.services import audit
from waylight.vault import Vault

pytestmark = pytest.mark.commits


def look_at_something(database, *, now):
    with database.intake() as conn:
        audit.write(conn, Vault(database._settings), "report.read", principal=None, now=now)


def test_entries_that_wait_for_their_seal_are_found_and_sealed_by_a_worker(well):
    look_at_something(well, now=NOW)
    assert ill(well) == set()
    later = NOW + timedelta(minutes=11)
    said, fix = problem(well, "sealing of the audit log", now=later)
    assert "1 entries wait for their seal, the oldest for 11 minutes" in said
    assert "waylight worker" in fix
    audit.seal(well, Vault(well._settings), now=later)
    assert "sealing of the audit log" not in ill(well, now=later)


def test_a_broken_chain_is_found(well):
    look_at_something(well, now=NOW)
    audit.seal(well, Vault(well._settings), now=NOW)
    assert ill(well) == set()
    change(well, "alter table audit_entries disable trigger all")
    change(well, "update audit_entries set action = 'report.listed'")
    said, fix = problem(well, "chain of the audit log")
    assert "broken at seal 1" in said
    assert "docs/audit.md" in fix
