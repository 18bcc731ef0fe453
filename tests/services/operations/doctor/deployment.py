"""A deployment that is well, what is broken in it, and what the doctor finds."""

from datetime import UTC, datetime
from pathlib import Path

from waylight.services.operations import doctor
from waylight.vault import Vault

NOW = datetime.now(UTC)
TINYTOWN = Path(__file__).parents[3] / "data/tinytown"


def findings(database, *, now=NOW, **others):
    vault = Vault(database._settings)
    return {found.what: found for found in doctor.examine(database, vault, now=now, **others)}


def problem(database, what, **others):
    """What is wrong with one thing, and its fix."""
    found = findings(database, **others)[what]
    assert found.problem
    assert found.fix
    return found.problem, found.fix


def ill(database, **when):
    return {what for what, finding in findings(database, **when).items() if finding.problem}


def change(database, statement, *parameters):
    with database.owner() as conn:
        conn.execute(statement, parameters)
