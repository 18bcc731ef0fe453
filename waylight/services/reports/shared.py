"""Reports that passengers let an organisation read, for its staff.

Each look is audited in the transaction that reads, and the passenger told of the first by each
role.
"""

from datetime import datetime
from uuid import UUID

from waylight.db.alerts import inbox as db
from waylight.db.session import Database
from waylight.domain.alerts import GrantedReport
from waylight.domain.consents import SharedSummary
from waylight.domain.errors import NotFound
from waylight.domain.principals import Principal
from waylight.services import audit
from waylight.services.alerts.inbox import as_granted, tell_who_has_read
from waylight.services.staff import organisation_of
from waylight.vault import Vault


def list_shared(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    after: UUID | None = None,
    limit: int = 50,
    now: datetime,
    request_id: str | None = None,
) -> list[SharedSummary]:
    """Up to `limit` reports that the caller's organisation reads by consent, the newest first.

    And one more where there are more, which is not shown: no entry is written about it. What kind
    of report it is, is audited the first time a person is shown it.
    """
    with database.staff(organisation_of(principal)) as conn:
        rows = db.shared_reports(conn, organisation_of(principal), after=after, limit=limit + 1)
        audit.write_first_looks(
            conn,
            vault,
            [row | {"id": None} for row in rows[:limit]],
            principal=principal,
            request_id=request_id,
            now=now,
        )
    return [
        SharedSummary(
            id=row["id"],
            given_at=row["given_at"],
            received_at=row["received_at"],
            categories=tuple(row["categories"]),
            mode=row["mode"],
            priority=row["priority"],
            exercise=row["exercise"],
        )
        for row in rows
    ]


def read_shared(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    report_id: UUID,
    now: datetime,
    request_id: str | None = None,
) -> GrantedReport:
    """A report that its passenger lets the caller's organisation read.

    Raises NotFound for every other, also for one whose consent was taken back, whatever else the
    organisation reads it by: that is read where it was told.
    """
    with database.staff(organisation_of(principal)) as conn:
        row = db.shared_report(conn, report_id, organisation_of(principal))
        if row is None:
            raise NotFound
        audit.write(
            conn,
            vault,
            "report.read",
            principal=principal,
            report_ids=[report_id],
            incident_id=row["incident_id"],
            request_id=request_id,
            now=now,
        )
        tell_who_has_read(
            conn,
            [(report_id, row["exercise"])],
            incident_id=None,
            principal=principal,
            now=now,
        )
    return as_granted(row, vault)
