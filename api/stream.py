"""The live stream: what happens, the moment it happens. And tickets, for pages in a browser."""

from typing import Any

from flask import Response, current_app, g, request
from flask.typing import ResponseReturnValue

from api.wire import limits
from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from api.wire.sse import EventStream, SocketLine, resume_from
from schemas.stream import MEDIA_TYPE, StreamQuery, TicketIn, TicketOut, event_block
from waylight.domain.errors import InvalidRequest, Problem
from waylight.domain.principals import Kind
from waylight.services import stream
from waylight.services.context import Waylight
from waylight.services.operations.health import Readiness

blueprint = Blueprint("stream", __name__, description="What happens, the moment it happens.")

LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The last `id` that you have: what happened since comes first. A browser sends"
    " it by itself when it comes back.",
    "schema": {"type": "string"},
}

TOLD = """\
Server-Sent Events. The `data` of each is one Event in JSON, its `event` is the event's `type` and
its `id` the event's `id`. Beside them: `stream.open` first of all; `stream.reset` when your
`Last-Event-ID` is unknown or too old (read your inbox again, the stream goes on from now);
`stream.place` with nothing but a fresh `id`; `stream.closing` before the server ends it. A comment
comes after 15 seconds without anything else."""


@blueprint.route("/v1/alerts/stream")
@require(Kind.STAFF, scopes=("alerts:read",), tickets=True)
@blueprint.doc(parameters=[LAST_EVENT_ID], responses={404: "Problem404"})
@blueprint.arguments(StreamQuery, location="query")
@blueprint.response(200, {"type": "string"}, content_type=MEDIA_TYPE, description=TOLD)
def follow(query: dict[str, Any]) -> ResponseReturnValue:
    """Be told what happens, the moment it happens (Server-Sent Events).

    Of your organisation's alerts; a control room hears of all that it oversees. No story and no
    place is in it: read the alert. Connect first and read your inbox then, so that nothing falls
    between.
    """
    team_id = _team_of(query)
    stream.see_team(waylight().database, principal(), team_id, now=now())
    body = b"" if request.method == "HEAD" else _follow(query["last_event_id"], team_id)
    response = Response(body, mimetype=MEDIA_TYPE, direct_passthrough=True)
    return _unbuffered(response)


@blueprint.route("/v1/alerts/stream/tickets", methods=["POST"])
@require(Kind.STAFF, scopes=("alerts:read",))
@blueprint.doc(responses={404: "Problem404"})
@blueprint.arguments(TicketIn, required=False, example=TicketIn.example)
@blueprint.response(201, TicketOut, example=TicketOut.example)
def ticket(body: dict[str, Any]) -> ResponseReturnValue:
    """A ticket for an `EventSource`, which can send no key: open its `url` within 30 seconds.

    It is good for one use. When the stream ends, make another one.
    """
    context = waylight()
    made = stream.issue_ticket(
        context.database, context.vault, principal=principal(), team_id=body["team"], now=now()
    )
    url = f"{context.settings.base_url}/v1/alerts/stream?ticket={made.ticket}"
    return {"ticket": made.ticket, "url": url, "expires_at": made.expires_at}, 201


def open_feed(context: Waylight, readiness: Readiness) -> stream.Feed:
    """The feed of one process. Connects to nothing before the first client."""
    base_url = context.settings.base_url
    return stream.Feed(
        context.database,
        encode=lambda event: event_block(event, base_url=base_url),
        is_stopping=lambda: readiness.stopping(),  # noqa: PLW0108 - it is set when the process begins
        most=context.settings.streams,
    )


def _team_of(query: dict[str, Any]) -> Any:  # noqa: ANN401 - an id or none
    """The team that is asked for. Raises InvalidRequest where a ticket has said it already."""
    redeemed: stream.Redeemed | None = g.get("redeemed")
    if redeemed is None:
        return query["team"]
    if query["team"] not in (None, redeemed.team_id):
        problem = Problem("team", "in_the_ticket", "Leave it out: the ticket says which team.")
        raise InvalidRequest(problems=[problem])
    return redeemed.team_id


def _follow(last_event_id: str | None, team_id: Any) -> EventStream:  # noqa: ANN401 - as above
    context = waylight()
    feed: stream.Feed = current_app.extensions["waylight.feed"]
    resume = resume_from(last_event_id, context.vault)
    follower = feed.join(
        principal(),
        line=SocketLine(request.environ.get("gunicorn.socket")),
        team_id=team_id,
        resume=resume,
        most_of_key=None if limits.is_exempt() else context.settings.streams_per_key,
    )
    return EventStream(
        feed,
        follower,
        vault=context.vault,
        resuming=resume is not None,
        inbox=f"{context.settings.base_url}/v1/alerts?status=open",
    )


def _unbuffered(response: Response) -> Response:
    """Says to proxies that nothing of it is to be kept, changed or collected."""
    response.headers["Cache-Control"] = "no-store, no-transform"
    response.headers["X-Accel-Buffering"] = "no"
    return response
