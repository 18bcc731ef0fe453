"""What became of a report, for the passenger who comes back with its receipt."""

from collections.abc import Mapping, Sequence
from typing import Any

from waylight.db import reports as db_reports
from waylight.db.session import Database
from waylight.domain.alerts import DeclineCause
from waylight.domain.errors import NotFound, Problem
from waylight.domain.reports import (
    HeldBy,
    MyReport,
    Recipient,
    TimelineEntry,
)
from waylight.domain.roles import WORDS
from waylight.services.reports.stored import located, priority, reasons
from waylight.vault import ReceiptCheck, Vault

STORY: Mapping[str, str] = {
    "report.received": "received",
    "alert.created": "told",
    "alert.updated": "told",
    "alert.escalated": "told_next",
    "delivery.sent": "sent",
    "delivery.delivered": "delivered",
    "delivery.failed": "not_delivered",
    "alert.seen": "seen",
    "report.read": "read",
    "report.analysed": "analysed",
    "alert.acknowledged": "acknowledged",
    "alert.declined": "declined",
    "alert.en_route": "en_route",
    "alert.on_scene": "on_scene",
    "alert.closed": "closed",
    "alert.withdrawn": "withdrawn",
    "alert.hand_over_asked": "handing_over",
    "alert.handed_over": "handed_over",
    "incident.unanswered": "unanswered",
    "incident.reopened": "reopened",
    "incident.merged": "joined",
    "report.moved": "joined",
    "report.redacted": "redacted",
    "grant.created": "consent_given",
    "support.note_added": "support_noted",
    "support.erased": "support_erased",
    "grant.revoked": "consent_withdrawn",
    "routing.failed": "rerouted",
    "alert.hub_closing": "hub_closing",
    "alert.hub_moved": "hub_moved",
    "alert.redirected": "hub_instead",
    "alert.not_redirected": "no_hub_instead",
    "alert.arrived": "arrived_at_hub",
    "alert.did_not_arrive": "did_not_arrive",
    "alert.left_safely": "left_hub_safely",
    "alert.handed_to_police": "handed_to_police",
    "alert.handed_to_ambulance": "handed_to_ambulance",
}
"""The events a passenger is shown, and the word for each; all others stay with the staff."""

READING = ("alert.seen", "report.read", "report.analysed")
"""The events that say who has read: by organisation and role, never which person."""

OF_A_HUB: Mapping[str, str] = {
    "alert.acknowledged": "expecting",
    "alert.en_route": "expecting",
    "alert.on_scene": "expecting",
    "alert.declined": "hub_declined",
    "alert.closed": "hub_closed_it",
    "alert.withdrawn": "hub_stood_down",
}
"""The words for what a hub did: it comes to nobody, and another team is no help to it."""


def my_report(database: Database, vault: Vault, receipt: str) -> MyReport:
    """The report behind a receipt, as its passenger may see it.

    Raises NotFound for every receipt that opens nothing. Right, wrong and mistyped receipts cost
    the same hashes and the same statements, so that neither the answer nor the work says which.
    """
    check = vault.receipt_hashes(receipt)
    with database.intake() as conn:
        row = db_reports.find_by_receipt(conn, check.hashes)
        report_id = row["id"] if row else None
        events = db_reports.timeline(conn, report_id)
        told = db_reports.told(conn, report_id)
        holder = db_reports.holder(conn, report_id)
    if row is None:
        raise no_such_report(check, receipt)
    return MyReport(
        id=row["id"],
        status=row["status"],
        received_at=row["received_at"],
        priority=priority(row),
        location=located(row),
        categories=tuple(row["categories"]),
        happening=row["happening"],
        exercise=row["exercise"],
        joined=row["joined"],
        language=row["language"],
        timeline=tuple(_story(events)),
        told=tuple(_told(one) for one in told),
        held_by=HeldBy(**holder) if holder else None,
    )


def no_such_report(check: ReceiptCheck, receipt: str) -> NotFound:
    """What every receipt that opens nothing gets; one whose own check fails is told that."""
    typo = Problem(
        "Authorization",
        "receipt_mistyped",
        "The last four characters do not fit the rest: one character is probably mistyped.",
    )
    return NotFound(problems=() if check.well_formed or not receipt.strip() else (typo,))


def _told(row: Mapping[str, Any]) -> Recipient:
    return Recipient(
        team_id=row["team_id"],
        hub_id=row["hub_id"],
        name=row["name"],
        organisation_id=row["organisation_id"],
        organisation=row["organisation"],
        role=row["role"],
        rank=row["rank"],
        told="now",
        distance_m=row["distance_m"],
        demo=row["demo"],
        reasons=reasons(row["reasons"]),
    )


def _story(events: Sequence[Mapping[str, Any]]) -> list[TimelineEntry]:
    # A later rung is told by two events: "nobody had answered" says more than "told", but after a
    # decline it would be untrue.
    declined = {event["at"] for event in events if event["kind"] == "alert.declined"}
    escalated = [event for event in events if event["kind"] == "alert.escalated"]
    later = {event["alert_id"] for event in escalated if event["at"] not in declined}
    # A report that came with others is told so once, by its own move.
    moved = {event["at"] for event in events if event["kind"] == "report.moved"}

    # Two who read at the same moment may both have written that they were the first.
    readers = set[tuple[str, str, str | None]]()

    def is_said(event: Mapping[str, Any]) -> bool:
        if event["kind"] in ("report.read", "report.analysed"):
            reader = (event["kind"], event["organisation"], _role(event))
            is_new = reader not in readers
            readers.add(reader)
            return is_new
        if event["kind"] == "alert.created":
            return event["alert_id"] not in later
        if event["kind"] == "alert.escalated":
            return event["alert_id"] in later
        if event["kind"] == "incident.merged":
            return event["at"] not in moved
        if event["kind"] == "grant.revoked" and event["data"].get("reason") != "consent":
            # Whoever reads it by another grant reads it still; one that had two lost both at once.
            ended = ("ended", event["organisation"], str(event["at"]))
            is_new = ended not in readers and not event["data"].get("still_reads")
            readers.add(ended)
            return is_new
        return event["kind"] in STORY

    return [
        TimelineEntry(
            at=event["at"],
            code=_code(event),
            params={
                name: value
                for name, value in (
                    ("name", event["name"]),
                    ("organisation", event["organisation"]),
                    ("role", _role(event)),
                    ("to", event["data"].get("to")),
                )
                if value is not None
            },
        )
        for event in events
        if is_said(event)
    ]


def _role(event: Mapping[str, Any]) -> str | None:
    """Whose act it was: the word for the person then, else what the alert was for."""
    said: str | None = event["data"].get("role")
    if said in WORDS:
        return said
    # No word of an organisation's own reaches a passenger.
    return None if event["kind"] in READING else event["role"]


def _code(event: Mapping[str, Any]) -> str:
    if event["kind"] == "alert.declined" and event["data"].get("outcome") == DeclineCause.NOT_OURS:
        return "not_ours"
    if event["kind"] == "report.moved" and event["data"].get("because") == "split":
        return "parted"
    if event["kind"] == "grant.revoked":
        return _revoked(event["data"])
    if event["role"] == "hub" and event["kind"] in OF_A_HUB:
        return OF_A_HUB[event["kind"]]
    return STORY[event["kind"]]


def _revoked(data: Mapping[str, Any]) -> str:
    """Whether consent ended or something else, and whether they read the report all the same."""
    if data.get("reason") != "consent":
        return "grant_ended"
    return "consent_withdrawn_still_reads" if data.get("still_reads") else "consent_withdrawn"
