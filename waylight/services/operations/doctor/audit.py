"""What the doctor asks of the audit log: is it sealed, and are its newest seals ours."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import psycopg

from waylight.db import audit as db
from waylight.db.session import Connection
from waylight.services.audit.verifying import verify_newest
from waylight.services.operations.doctor.finding import Finding, first_line
from waylight.vault import Vault

BEHIND = timedelta(minutes=10)
MOST = 10_000
RUNBOOK = "see `When the chain is broken` in docs/audit.md"


def look(conn: Connection, vault: Vault, *, now: datetime) -> Iterator[Finding]:
    """Whether entries wait for their seal, and whether the newest part of the chain is whole."""
    try:
        state = db.state(conn, since=now - db.A_WHILE, most=MOST, now=now)
        broken = verify_newest(conn, vault, now=now).broken
    except psycopg.Error as error:
        yield Finding(
            "audit log",
            f"cannot be looked at: {first_line(error)}",
            "mend what is told above; then ask again",
        )
        return
    if state["oldest_s"] > BEHIND.total_seconds():
        yield Finding(
            "sealing of the audit log",
            f"{state['unsealed']} entries wait for their seal, the oldest for"
            f" {state['oldest_s'] / 60:.0f} minutes",
            "run `waylight worker`; if one runs, its log says why (`chore_failed`), and"
            " `waylight audit verify` whether the chain is broken",
        )
    else:
        yield Finding("sealing of the audit log")
    if broken is not None:
        where = f" at seal {broken.seal}" if broken.seal else ""
        yield Finding(
            "chain of the audit log",
            f"it is broken{where}: {broken.detail}",
            f"run `waylight audit verify`, change nothing, and {RUNBOOK}",
        )
    else:
        yield Finding("chain of the audit log")
