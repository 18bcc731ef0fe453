"""Taking reports: understand, look around, decide, write, answer (design, walk 1)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import uuid_utils.compat
from psycopg import Connection
from psycopg.errors import QueryCanceled

from waylight import metrics
from waylight.config import Settings
from waylight.db import consents as db_consents
from waylight.db import reports as db_reports
from waylight.db.session import Database
from waylight.domain import safety
from waylight.domain.cities import City
from waylight.domain.errors import IdempotencyConflict, Unavailable
from waylight.domain.reports import (
    LocationClaim,
    NewReport,
    Reason,
    Recipient,
    ReportReceipt,
    ReportWarning,
    Submission,
)
from waylight.domain.routing import Routing
from waylight.log import get_logger
from waylight.services import audit
from waylight.services.cities import known_cities
from waylight.services.reports.consents import readers_of
from waylight.services.reports.record import Decided, record, structured, usable_key
from waylight.services.routing import (
    Draft,
    Surroundings,
    blind,
    decide,
    default_city,
    draft,
    hubs_for,
    look_around,
)
from waylight.vault import Vault

log = get_logger(__name__)

MAX_WARNINGS = 12
"""Enough to mend a client by; a hostile body cannot push the safety card out of the answer."""


def submit_reports(
    database: Database, vault: Vault, settings: Settings, submissions: Sequence[Submission]
) -> list[ReportReceipt]:
    """Stores every report durably and tells whoever must know: one read, one write.

    On return each report is committed together with its alerts, and whoever calls again with the
    same idempotency key gets the same answer. A fault in looking up or deciding never costs the
    report: it goes to the control room. Raises Unavailable when the database cannot be reached
    (nothing is stored, or a retry with the same key finds it), IdempotencyConflict when an API
    client used a key for another body.
    """
    try:
        written = _write(database, vault, settings, submissions)
    except Unavailable:
        raise
    except Exception:
        # Whatever in it broke us, what the person said must reach somebody.
        log.exception("report_kept_bare", reports=len(submissions))
        _count_degraded("bare", len(submissions))
        written = _write(database, vault, settings, [_bare(one) for one in submissions])
    answers = []
    for one, outcome in written:
        answer = _answer(database, one, outcome, vault=vault)
        _count(one, answer, outcome)
        answers.append(answer)
    return answers


def _write(
    database: Database, vault: Vault, settings: Settings, submissions: Sequence[Submission]
) -> list[tuple[Decided, dict[str, Any]]]:
    """The read, the decision and the write, all before the commit: it may be tried again."""
    cities = known_cities(database)
    drafts = _drafts(submissions, cities)
    surroundings = _look_around(database, drafts, cities, settings=settings)
    fresh = known_cities(database, version=surroundings[0].cities_version)
    if fresh is not cities:
        # A pack was loaded since: its control room and its contacts are the ones that count.
        cities, drafts = fresh, _drafts(submissions, fresh)
        surroundings = _look_around(database, drafts, cities, settings=settings)
    decided = [
        _decide(submission, one, around, cities, settings=settings)
        for submission, one, around in zip(submissions, drafts, surroundings, strict=True)
    ]
    payloads = [record(one, vault=vault, settings=settings) for one in decided]
    shared = any(one.report.consents for one in decided)
    # Consent is rare, and its entry in the audit log one statement more: others go without.
    with database.intake(autocommit=not shared) as conn:
        outcomes = db_reports.submit(conn, payloads)
        written = list(zip(decided, outcomes, strict=True))
        if shared:
            _audit_consents(conn, vault, written)
    return written


def _audit_consents(
    conn: Connection[Any], vault: Vault, written: Sequence[tuple[Decided, Mapping[str, Any]]]
) -> None:
    """What was ticked with the report, as if it was given later; never at the report's cost."""
    fresh = {
        one.answer.id: one.answer.received_at
        for one, outcome in written
        if one.report.consents and not (outcome["replayed"] or outcome["conflict"])
    }
    try:
        with conn.transaction():
            for report_id, organisation_id in db_consents.given_with(conn, list(fresh)):
                audit.write(
                    conn,
                    vault,
                    "consent.given",
                    principal=None,
                    report_ids=[report_id],
                    organisation_id=organisation_id,
                    now=fresh[report_id],
                )
    except Unavailable:
        raise
    except Exception:
        log.exception("consent_not_audited")


def _drafts(submissions: Sequence[Submission], cities: Sequence[City]) -> list[Draft]:
    return [
        draft(_permitted(submission), cities, received_at=submission.received_at)
        for submission in submissions
    ]


def _bare(submission: Submission) -> Submission:
    """The same report with its words and answers only; everything else is kept aside."""
    report = submission.report
    bare = NewReport(
        categories=report.categories,
        happening=report.happening,
        perspective=report.perspective,
        in_danger=report.in_danger,
        hurt_or_unwell=report.hurt_or_unwell,
        weapon_seen=report.weapon_seen,
        person_nearby=report.person_nearby,
        under_18=report.under_18,
        wants=report.wants,
        needs=report.needs,
        exercise=report.exercise,
        location=LocationClaim(description=report.location.description),
        narrative=report.narrative,
        description_of_person=report.description_of_person,
        contact=report.contact,
        rejected={**report.rejected, "": repr(report)},
        fingerprint=report.fingerprint,
    )
    return replace(submission, report=bare)


def _permitted(submission: Submission) -> NewReport:
    """The report with an exercise mark only where the caller may set one (design, 6.8)."""
    report = submission.report
    if report.exercise and not submission.principal.may("exercise"):
        warning = ReportWarning("/exercise", "exercise_ignored")
        return replace(report, exercise=False, warnings=(*report.warnings, warning))
    return report


def _look_around(
    database: Database, drafts: Sequence[Draft], cities: Sequence[City], *, settings: Settings
) -> list[Surroundings]:
    try:
        with database.intake(autocommit=True) as conn:
            found = look_around(conn, drafts, cities)
            return [
                _with_readers(conn, one, around, _city(around, cities, settings))
                for one, around in zip(drafts, found, strict=True)
            ]
    except Unavailable as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        log.warning("lookup_too_slow", reports=len(drafts))
        _count_degraded("lookup_too_slow", len(drafts))
        return [blind(one) for one in drafts]
    except Exception:
        # Whatever is wrong with the looking up, the report itself must still be written.
        log.exception("lookup_failed", reports=len(drafts))
        _count_degraded("lookup_failed", len(drafts))
        return [blind(one) for one in drafts]


def _with_readers(
    conn: Connection[Any], one: Draft, around: Surroundings, city: City | None
) -> Surroundings:
    """With whom a passenger who ticked somebody lets read it: one statement, which others spare."""
    if not one.report.consents:
        return around
    try:
        return replace(around, readers=readers_of(conn, one, around, city))
    except Exception:
        # The report goes its way without: the answer says so, and consent can be given later.
        log.exception("readers_not_found")
        return around


def _city(around: Surroundings, cities: Sequence[City], settings: Settings) -> City | None:
    return around.city or default_city(cities, settings.default_city, point=around.located.point)


def _decide(
    submission: Submission,
    one: Draft,
    around: Surroundings,
    cities: Sequence[City],
    *,
    settings: Settings,
) -> Decided:
    city = _city(around, cities, settings)
    # Who may oversee a child's report is asked of what the control room may do now.
    city = city.at(submission.received_at) if city else None
    try:
        decision = decide(one, around, city)
    except Exception:
        log.exception("decision_failed")
        _count_degraded("decision_failed", 1)
        around = blind(one)
        decision = decide(one, around, city)
    report_id = uuid_utils.compat.uuid7()
    key_warning = _key_warning(submission)
    warnings = (
        *one.report.warnings,
        *one.warnings,
        *around.warnings,
        *key_warning,
        *_share_warnings(one.report, around),
    )
    job = safety.jurisdiction(city, modes=around.modes, area_codes=around.area_codes)
    status, alerting = _standing(one.report, decision, worker_alive=around.worker_alive)
    answer = ReportReceipt(
        id=report_id,
        receipt="",
        status=status,
        received_at=submission.received_at,
        priority=one.priority,
        location=around.located,
        joined=False,
        routed_to=(*decision.told, *decision.next),
        shortfalls=decision.shortfalls,
        alerting=alerting,
        hubs=hubs_for(one, around),
        jurisdiction=job,
        safety_card=safety.safety_card(
            city,
            report=one.report,
            priority=one.priority,
            groups=one.groups,
            modes=around.modes,
            recipients=decision.told,
            shared=around.readers,
            alerting=alerting,
        ),
        warnings=_few(warnings),
        exercise=one.report.exercise,
    )
    return Decided(submission, report_id, one.report, one, around, city, decision, answer)


def decide_blindly(submission: Submission, city: City, *, settings: Settings) -> Decided:
    """A report as decided without looking anything up, for a caller that knows who is told."""
    one = draft(_permitted(submission), (city,), received_at=submission.received_at)
    around = replace(blind(one), city=city)
    return _decide(submission, one, around, (city,), settings=settings)


def _standing(report: NewReport, decision: Routing, *, worker_alive: bool) -> tuple[str, str]:
    """The status of a report and of its alerting. `unrouted` waits for the worker to try again."""
    if report.tells_nobody:
        return "recorded", "none"
    if not decision.told:
        return "unrouted", "delayed"
    return "routed", "live" if worker_alive else "delayed"


def _key_warning(submission: Submission) -> tuple[ReportWarning, ...]:
    if submission.idempotency_key is None or usable_key(submission):
        return ()
    return (ReportWarning("Idempotency-Key", "idempotency_key_ignored"),)


def _share_warnings(report: NewReport, around: Surroundings) -> tuple[ReportWarning, ...]:
    """What was ticked and gives nobody anything."""
    if report.under_18 and report.share_with:
        return (ReportWarning("/share_with", "share_asked_first"),)
    if any(who not in around.readers for who in report.consents):
        return (ReportWarning("/share_with", "share_nobody_there"),)
    return ()


def _few(warnings: Sequence[ReportWarning]) -> tuple[ReportWarning, ...]:
    distinct = list({(w.pointer, w.code): w for w in warnings}.values())
    if len(distinct) <= MAX_WARNINGS:
        return tuple(distinct)
    rest = len(distinct) - MAX_WARNINGS
    return (*distinct[:MAX_WARNINGS], ReportWarning("", "more_warnings", {"count": rest}))


def _answer(
    database: Database, one: Decided, outcome: Mapping[str, Any], *, vault: Vault
) -> ReportReceipt:
    if outcome["conflict"]:
        raise IdempotencyConflict
    answer, receipt_version = one.answer, vault.receipt_version
    if outcome["replayed"]:
        kept = outcome["answer"]
        answer = replace(structured(kept["answer"], ReportReceipt), replayed=True)
        receipt_version = kept["receipt_version"]
    if outcome["linked_report_id"]:
        reused = ReportWarning("Idempotency-Key", "idempotency_key_reused")
        answer = replace(
            answer,
            linked_report_id=UUID(outcome["linked_report_id"]),
            warnings=(*answer.warnings, reused),
        )
    if outcome["joined"] or outcome["fallback"]:
        answer = _as_it_went(database, one, answer, outcome)
    return replace(answer, receipt=vault.receipt_for(answer.id, receipt_version))


def _count(one: Decided, answer: ReportReceipt, outcome: Mapping[str, Any]) -> None:
    if one.report.exercise:
        return
    became = "replayed" if outcome["replayed"] else "joined" if outcome["joined"] else answer.status
    metrics.count(metrics.REPORTS, str(answer.priority.level), became)
    if outcome["fallback"]:
        _count_degraded("fallback", 1)


def _count_degraded(how: str, reports: int) -> None:
    metrics.count(metrics.REPORTS_DEGRADED, how, by=reports)


def _as_it_went(
    database: Database, one: Decided, answer: ReportReceipt, outcome: Mapping[str, Any]
) -> ReportReceipt:
    """The answer when it did not go as planned: an open incident's holders, or the fallback."""
    try:
        told = _really_told(database, answer, outcome)
    except Exception:
        # It is committed: an error now would only make the phone send it again.
        log.exception("report_answered_as_planned")
        return replace(answer, joined=outcome["joined"])
    seen_by = safety.who_sees(one.city, one.report, told, one.around.readers)
    return replace(
        answer,
        joined=outcome["joined"],
        status=answer.status if told else "unrouted",
        alerting=answer.alerting if told else "delayed",
        routed_to=told,
        safety_card=replace(answer.safety_card, who_sees_this=seen_by),
    )


def _really_told(
    database: Database, answer: ReportReceipt, outcome: Mapping[str, Any]
) -> tuple[Recipient, ...]:
    """Who was told when that is not what was planned: the incident's holders, or the fallback."""
    # Only an incident's holders keep the reasons of the plan: the fallback had no plan.
    planned = {r.team_id or r.hub_id: r for r in answer.routed_to if outcome["joined"]}
    with database.intake(autocommit=True) as conn:
        names = db_reports.recipients(conn, [UUID(told["alert_id"]) for told in outcome["told"]])
    code = "routing_failed" if outcome["fallback"] else "joined_incident"
    return tuple(
        Recipient(
            team_id=row["team_id"],
            hub_id=row["hub_id"],
            name=row["name"],
            organisation_id=row["organisation_id"],
            organisation=row["organisation"],
            role=row["role"],
            rank=row["rank"],
            told="now",
            distance_m=match.distance_m if match else None,
            demo=row["demo"],
            reasons=(Reason(code), *(match.reasons if match else ())),
        )
        for row in names.values()
        for match in [planned.get(row["team_id"] or row["hub_id"])]
    )
