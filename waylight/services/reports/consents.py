"""Consent given and taken back, for the passenger who comes back with the receipt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import consents as db
from waylight.db import support as db_support
from waylight.db.session import Database
from waylight.domain import safety
from waylight.domain.cities import City
from waylight.domain.consents import KINDS, Consent, Consents, Period, Reader, unavailable
from waylight.domain.errors import ConsentNotPossible, Problem
from waylight.domain.principals import Principal
from waylight.domain.reports import Reason, ShareWith
from waylight.services import audit
from waylight.services.reports.mine import no_such_report
from waylight.services.routing import Draft, Surroundings
from waylight.vault import Vault

Change = Callable[..., Sequence[tuple[str, UUID]]]
"""Does it: what stands in the audit log, each for an organisation."""

WHY_NOT: Mapping[str, str] = {
    "asked_first": "A report of somebody under 18 is shared only after a person has asked first.",
    "nobody_there": "There is no organisation that this could be given to for certain.",
    "report_withdrawn": "This report was withdrawn: nobody is given it any more.",
}

WORDS = {kind: word for word, kind in KINDS.items()}


def my_consents(database: Database, vault: Vault, receipt: str) -> Consents:
    """Whom the passenger lets read the report, could let read it, and let read it before.

    Right and wrong receipts cost the same hashes and statements. Raises NotFound.
    """
    check = vault.receipt_hashes(receipt)
    with database.intake() as conn:
        row = db.report(conn, check.hashes)
        found = _consents(conn, row or {"id": None, "under_18": None, "withdrawn_at": None})
    if row is None:
        raise no_such_report(check, receipt)
    return replace(found, language=row["language"])


def give_consent(
    database: Database,
    vault: Vault,
    principal: Principal,
    recipient: ShareWith,
    *,
    now: datetime,
    request_id: str | None = None,
) -> Consents:
    """Lets the organisation that a recipient stands for read the report from now on.

    It is told so and nobody is alerted. Given already, nothing changes. Raises NotFound,
    ConsentNotPossible with the reason.
    """
    return _change(database, vault, principal, _give, recipient, now=now, request_id=request_id)


def withdraw_consent(
    database: Database,
    vault: Vault,
    principal: Principal,
    recipient: ShareWith,
    *,
    now: datetime,
    request_id: str | None = None,
) -> Consents:
    """Takes consent back at once.

    What the organisation reads by another grant it goes on reading, for a team on its way must not
    lose the report: `still_reads` says so. Where none was given nothing changes. Raises NotFound.
    """
    return _change(database, vault, principal, _withdraw, recipient, now=now, request_id=request_id)


def readers_of(
    conn: Connection[Any], draft: Draft, around: Surroundings, city: City | None
) -> Mapping[ShareWith, UUID]:
    """Who reads a report that is on its way, of those whom its passenger ticked.

    The same organisations as would be given consent later; nobody where it is not certain which.
    """
    report = draft.report
    job = safety.jurisdiction(city, modes=around.modes, area_codes=around.area_codes)
    rows = db.readers_of_sent(
        conn,
        {
            "city_id": city and city.id,
            "position": around.located.point and around.located.point.ewkt(),
            "mode": report.journey.mode or next(iter(around.modes), None),
            "route_id": report.journey.route_id,
            "category_groups": list(draft.groups),
            "police": job.body,
        },
        [KINDS[who] for who in report.consents],
    )
    return {WORDS[row["kind"]]: row["id"] for row in rows}


def _change(
    database: Database,
    vault: Vault,
    principal: Principal,
    change: Change,
    recipient: ShareWith,
    *,
    now: datetime,
    request_id: str | None,
) -> Consents:
    receipt = principal.receipt or ""
    check = vault.receipt_hashes(receipt)
    with database.intake() as conn:
        row = db.report(conn, check.hashes, lock=True)
        if row is None:
            raise no_such_report(check, receipt)
        for action, organisation_id in change(conn, row, recipient, now=now):
            audit.write(
                conn,
                vault,
                action,
                principal=principal,
                report_ids=[row["id"]],
                organisation_id=organisation_id,
                request_id=request_id,
                now=now,
            )
        return replace(_consents(conn, row), language=row["language"])


def _give(
    conn: Connection[Any], row: Mapping[str, Any], recipient: ShareWith, *, now: datetime
) -> Sequence[tuple[str, UUID]]:
    (consent,) = (one for one in _consents(conn, row).items if one.recipient is recipient)
    if consent.given_at is not None:
        return ()
    if consent.unavailable is not None or consent.reader is None:
        code = consent.unavailable.code if consent.unavailable else "nobody_there"
        raise ConsentNotPossible(problems=[Problem("recipient", code, WHY_NOT[code])])
    db.give(conn, row["id"], consent.reader.id, now=now)
    return [("consent.given", consent.reader.id)]


def _withdraw(
    conn: Connection[Any], row: Mapping[str, Any], recipient: ShareWith, *, now: datetime
) -> Sequence[tuple[str, UUID]]:
    # What ends the consent would destroy the notes as well, and not say whose they were.
    erased = db_support.destroy(conn, row["id"], now=now) if recipient is ShareWith.SUPPORT else ()
    ended = db.withdraw(conn, row["id"], kind=KINDS[recipient], now=now)
    return [
        *(("support.erased", organisation_id) for organisation_id in erased),
        *(("consent.withdrawn", organisation_id) for organisation_id in ended),
    ]


def _consents(conn: Connection[Any], report: Mapping[str, Any]) -> Consents:
    chosen = {
        row["kind"]: Reader(row["id"], row["name"], Reason(row["reason"]))
        for row in db.readers(conn, report["id"], list(KINDS.values()))
    }
    granted = db.granted(conn, report["id"])
    return Consents(
        items=tuple(
            _consent(report, word, chosen.get(kind), granted) for word, kind in KINDS.items()
        ),
        history=tuple(
            Period(
                recipient=WORDS[row["kind"]],
                organisation=row["organisation"],
                given_at=row["created_at"],
                withdrawn_at=row["revoked_at"],
            )
            for row in granted
            if row["cause"] == "consent" and row["kind"] in WORDS
        ),
    )


def _consent(
    report: Mapping[str, Any],
    recipient: ShareWith,
    chosen: Reader | None,
    granted: Sequence[Mapping[str, Any]],
) -> Consent:
    live = [row for row in granted if row["revoked_at"] is None]
    given = [row for row in live if row["cause"] == "consent" and row["kind"] == KINDS[recipient]]
    if given:
        # Whom it was given to, whoever would be chosen today.
        named = (
            Reason("given")
            if chosen is None or chosen.id != given[0]["organisation_id"]
            else (chosen.reason)
        )
        chosen = Reader(given[0]["organisation_id"], given[0]["organisation"], named)
    why_not = unavailable(
        under_18=report["under_18"],
        withdrawn=report["withdrawn_at"] is not None,
        has_reader=chosen is not None,
    )
    return Consent(
        recipient=recipient,
        reader=chosen,
        given_at=given[0]["created_at"] if given else None,
        unavailable=None if given else why_not,
        still_reads=tuple(
            Reason(f"reads_by_{row['cause']}")
            for row in live
            if chosen is not None
            and row["organisation_id"] == chosen.id
            and row["cause"] != "consent"
        ),
    )
