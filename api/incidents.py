"""Incidents: the dispatcher's list, everything that happened, and what is done to one as a whole.

Every answer is personal: nothing is kept.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import g
from flask.typing import ResponseReturnValue

from api.wire import paging, versions
from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from api.wire.retries import OF_A_NOTE, idempotency_key
from schemas.incidents import (
    EntryOut,
    IncidentDetailOut,
    IncidentList,
    IncidentsQuery,
    MergeIn,
    NoteIn,
    ReopenIn,
    SplitIn,
    Timeline,
    TimelineQuery,
)
from waylight.domain.incidents import Entry, IncidentDetail
from waylight.domain.principals import Kind
from waylight.services import incidents

blueprint = Blueprint(
    "incidents", __name__, description="One event with all its reports, alerts and notes."
)


@blueprint.route("/v1/incidents")
@require(Kind.STAFF, scopes=("alerts:read",))
@blueprint.arguments(IncidentsQuery, location="query")
@blueprint.response(200, IncidentList, headers=paging.LINK)
def list_incidents(query: dict[str, Any]) -> ResponseReturnValue:
    """The incidents that your teams were told of or that you oversee, newest first."""
    caller, limit, states, urgent = principal(), query["limit"], query["status"], query["priority"]
    scope = paging.scope("incidents", caller.organisation_id, states, urgent)
    after = paging.after(query["cursor"], of=scope)
    rows = incidents.list_incidents(
        waylight().database,
        waylight().vault,
        caller,
        states=states,
        priorities=urgent,
        after=UUID(after[0]) if after else None,
        limit=limit,
        now=now(),
        request_id=g.request_id,
    )
    return paging.page(rows, limit=limit, of=scope, values=lambda incident: [incident.id])


@blueprint.route('/v1/incidents/<wire_id("incident"):incident_id>')
@require(Kind.STAFF, scopes=("alerts:read",))
@blueprint.response(200, IncidentDetailOut, headers=versions.HEADERS)
def one(incident_id: UUID) -> ResponseReturnValue:
    """One incident: who was told, who has it, and the reports that you were granted."""
    found = incidents.read_incident(**_looking(incident_id))
    return _answer(found)


@blueprint.route('/v1/incidents/<wire_id("incident"):incident_id>/timeline')
@require(Kind.STAFF, scopes=("alerts:read",))
@blueprint.arguments(TimelineQuery, location="query")
@blueprint.response(200, Timeline, headers=paging.LINK)
def timeline(query: dict[str, Any], incident_id: UUID) -> ResponseReturnValue:
    """Everything that happened, oldest first, as far as you were granted it."""
    limit = query["limit"]
    scope = paging.scope("timeline", principal().organisation_id, incident_id)
    after = paging.after(query["cursor"], of=scope)
    rows = incidents.read_timeline(
        **_looking(incident_id), after=_position(after) if after else None, limit=limit
    )
    return paging.page(rows, limit=limit, of=scope, values=_values)


@blueprint.route('/v1/incidents/<wire_id("incident"):incident_id>/notes', methods=["POST"])
@require(Kind.STAFF, scopes=("alerts:act",))
@blueprint.doc(parameters=[OF_A_NOTE], responses={404: "Problem404"})
@blueprint.arguments(NoteIn, example=NoteIn.example)
@blueprint.response(201, EntryOut)
def add_note(body: dict[str, Any], incident_id: UUID) -> Entry:
    """Write a note for everybody at work on the incident. The passenger never sees it.

    It is never changed: a correction is a new note. Teams that declined or were stood down neither
    write nor read any.
    """
    context = waylight()
    return incidents.add_note(
        context.database,
        context.vault,
        principal=principal(),
        incident_id=incident_id,
        text=body["text"],
        idempotency_key=idempotency_key(),
        now=now(),
    )


@blueprint.route('/v1/incidents/<wire_id("incident"):incident_id>/reopen', methods=["POST"])
@require(Kind.STAFF, scopes=("alerts:act",))
@versions.versioned(404, 409)
@blueprint.arguments(ReopenIn, example=ReopenIn.example)
@blueprint.response(200, IncidentDetailOut, headers=versions.HEADERS)
def reopen(body: dict[str, Any], incident_id: UUID) -> ResponseReturnValue:
    """It is not over: the incident is open again and a team is told at once, by a new alert."""
    return _answer(incidents.reopen(**_doing(incident_id), reason=body["reason"]))


@blueprint.route('/v1/incidents/<wire_id("incident"):incident_id>/merge', methods=["POST"])
@require(Kind.STAFF, scopes=("incidents:manage",))
@versions.versioned(404, 409)
@blueprint.arguments(MergeIn, example=MergeIn.example)
@blueprint.response(200, IncidentDetailOut, headers=versions.HEADERS)
def merge(body: dict[str, Any], incident_id: UUID) -> ResponseReturnValue:
    """They are one event: the reports and whoever is at work on them go to the other incident.

    The answer is that other incident. `If-Match` is about this one.
    """
    return _answer(incidents.merge(**_doing(incident_id), **body))


@blueprint.route('/v1/incidents/<wire_id("incident"):incident_id>/split', methods=["POST"])
@require(Kind.STAFF, scopes=("incidents:manage",))
@versions.versioned(404, 409)
@blueprint.arguments(SplitIn, example=SplitIn.example)
@blueprint.response(201, IncidentDetailOut, headers=versions.HEADERS)
def split(body: dict[str, Any], incident_id: UUID) -> ResponseReturnValue:
    """These reports are about something else: they get an incident and a ladder of their own."""
    done = incidents.split(**_doing(incident_id), report_ids=body["reports"], reason=body["reason"])
    return done, 201, versions.etag(done.incident.version)  # type: ignore[return-value] # as below


def _looking(incident_id: UUID) -> dict[str, Any]:
    """What everything that reads is called with."""
    context = waylight()
    return {
        "database": context.database,
        "vault": context.vault,
        "principal": principal(),
        "incident_id": incident_id,
        "now": now(),
        "request_id": g.request_id,
    }


def _doing(incident_id: UUID) -> dict[str, Any]:
    """What everything that changes an incident is called with."""
    return {
        **_looking(incident_id),
        "if_match": versions.if_match(),
        "channels": waylight().settings.channels,
    }


def _values(entry: Entry) -> list[Any]:
    return [entry.at.isoformat(), entry.rank, entry.id]


def _position(after: list[Any]) -> tuple[datetime, int, UUID]:
    return datetime.fromisoformat(after[0]), after[1], UUID(after[2])


def _answer(found: IncidentDetail) -> ResponseReturnValue:
    return found, 200, versions.etag(found.incident.version)  # type: ignore[return-value] # dumped by the response decorator
