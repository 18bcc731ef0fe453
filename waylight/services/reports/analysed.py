"""Reports to be counted, for analysts: rounded, coarse, without a word of anybody."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from waylight.db import analysed_reports as db
from waylight.db import events
from waylight.db.session import Database
from waylight.domain.analysed_reports import AnalysedReport
from waylight.domain.geo import Point
from waylight.domain.principals import Principal
from waylight.domain.reports import PlaceRef
from waylight.services import audit
from waylight.services.staff import organisation_of
from waylight.vault import Vault

PURPOSE = "analysed report"
HALF = 64


def list_analysed(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Sequence[str] | None = None,
    limit: int = 50,
    now: datetime,
    request_id: str | None = None,
) -> list[AnalysedReport]:
    """Up to `limit` reports that the caller's organisation may see, the newest hour first.

    And one more where there are more, which is not shown: nobody is told that it was counted.
    Within an hour in no order that tells anything. Those whose hour is over, no drills, none that
    was withdrawn. The transaction reads as an analyst: the database itself shows it no position, no
    story and no name. Every report shown is audited, and its passenger told of the first time by
    each role. `after` is `position_in_list` of the last one before.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id, reads_as="analyst") as conn:
        rows = db.page(
            conn,
            organisation_id,
            since=since,
            until=until,
            after=_opened(vault, after) if after else None,
            salt=vault.keyed_hash("analysed order", organisation_id.bytes),
            limit=limit + 1,
        )
        ids = [row["id"] for row in rows[:limit]]
        audit.write(
            conn,
            vault,
            "report.analysed",
            principal=principal,
            report_ids=ids,
            request_id=request_id,
            now=now,
        )
        told = db.told_of(conn, ids, role=principal.role)
        events.write(
            conn,
            *(
                events.Event(
                    "report.analysed",
                    now,
                    organisation_id=organisation_id,
                    report_id=id,
                    staff_id=principal.staff_id,
                    data={"role": principal.role},
                )
                for id in ids
                if id not in told
            ),
        )
    return [_analysed(row, vault, organisation_id) for row in rows]


def _analysed(row: Mapping[str, Any], vault: Vault, organisation_id: UUID) -> AnalysedReport:
    place = None
    if row["place_ref"] is not None:
        place = PlaceRef(id=row["place_ref"], name=row["place_name"], demo=row["place_demo"])
    # A report's own id says to the millisecond when it came.
    stands_for = vault.keyed_hash(PURPOSE, organisation_id.bytes + row["id"].bytes)
    return AnalysedReport(
        id=UUID(bytes=stands_for[:16]),
        received_hour=row["received_hour"],
        categories=tuple(row["categories"]),
        happening=row["happening"],
        mode=row["mode"],
        priority=row["priority"],
        position=Point(*row["position"]) if row["position"] else None,
        place=place,
        position_in_list=_sealed(vault, row["id"]),
    )


def _sealed(vault: Vault, report_id: UUID) -> tuple[str, str]:
    high, low = divmod(report_id.int, 1 << HALF)
    return vault.seal_number(PURPOSE, high), vault.seal_number(PURPOSE, low)


def _opened(vault: Vault, position: Sequence[str]) -> UUID:
    high, low = (vault.open_number(PURPOSE, half) for half in position)
    return UUID(int=(high << HALF) + low)
