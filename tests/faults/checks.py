"""What must hold after anything: each property is one function that names what breaks it.

A function returns a sentence for each offender, with its id; no sentence means that it holds.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.faults.town import LEASE_S, Town
from waylight.domain.alerts import LIVE, State, Step, after
from waylight.domain.errors import StateConflict

Check = Callable[[Town, Mapping[str, Any], Collection[str]], list[str]]

LATE = timedelta(seconds=LEASE_S * 3)
"""A message that has been due for so long, with workers alive, is stuck."""

STEPS = {
    "alert.acknowledged": Step.ACKNOWLEDGE,
    "alert.declined": Step.DECLINE,
    "alert.en_route": Step.EN_ROUTE,
    "alert.on_scene": Step.ON_SCENE,
    "alert.closed": Step.CLOSE,
    "alert.withdrawn": Step.WITHDRAW,
}


def every_201_has_its_report(
    town: Town, answers: Mapping[str, Any], _taken: Collection[str]
) -> list[str]:
    stored = {str(row["id"]) for row in town.rows("select id from reports")}
    secret = {str(row["report_id"]) for row in town.rows("select report_id from report_secrets")}
    return [
        f"report {id} was answered with 201 and is not stored"
        for id in answers.values()
        if id not in stored or id not in secret
    ]


def every_key_made_one_report(
    town: Town, answers: Mapping[str, Any], _taken: Collection[str]
) -> list[str]:
    """A retry is no second report, and no report is there that nobody was told of."""
    told = set(answers.values())
    doubles = [] if len(told) == len(answers) else ["two keys were answered with one report"]
    unknown = [
        f"report {row['id']} is stored and no key was answered with it"
        for row in town.rows("select id from reports where not exercise")
        if str(row["id"]) not in told
    ]
    return doubles + unknown


def every_report_has_its_incident_and_alerts(
    town: Town, _answers: Mapping[str, Any], _taken: Collection[str]
) -> list[str]:
    return [
        f"report {row['id']} ({row['status']}) has {row['told']} alerts in incident"
        f" {row['incident_id']}"
        for row in town.rows(
            """
            select r.id, r.status, r.incident_id,
                   (select count(*) from events e join alerts a on a.id = e.alert_id
                    where e.report_id = r.id and a.incident_id = r.incident_id
                      and e.kind in ('alert.created', 'alert.updated')) as told
            from reports r
            """
        )
        if row["status"] != "recorded" and (row["incident_id"] is None or not row["told"])
    ]


def every_alert_was_delivered_or_is_visibly_dead(
    town: Town, _answers: Mapping[str, Any], taken: Collection[str]
) -> list[str]:
    """Sent, and then the receiver really has it; or failed; or ended before it went out."""
    found = []
    messages = defaultdict(list)
    for row in town.rows("select id, alert_id, status, attempts from deliveries"):
        messages[row["alert_id"]].append(row)
    for alert in town.rows("select id, state, priority from alerts"):
        mine = messages[alert["id"]]
        went = [row for row in mine if row["status"] in ("sent", "delivered", "seen")]
        found += [
            f"delivery {row['id']} of alert {alert['id']} is {row['status']}, and the receiver has"
            " never confirmed it"
            for row in went
            if row["status"] != "seen" and str(row["id"]) not in taken
        ]
        dead = any(row["status"] == "failed" for row in mine)
        ended = alert["state"] not in ("pending", "delivered")
        if not went and not dead and not ended and alert["priority"] < 4:
            was = ", ".join(f"{row['status']} after {row['attempts']}" for row in mine) or "none"
            found.append(f"alert {alert['id']} ({alert['state']}) told nobody: messages {was}")
    return found


def no_delivery_is_stuck(
    town: Town, _answers: Mapping[str, Any], _taken: Collection[str]
) -> list[str]:
    now = datetime.now(UTC)
    return [
        f"delivery {row['id']} is queued, next at {row['next_attempt_at']}, leased until"
        f" {row['leased_until']} by {row['leased_by']}, after {row['attempts']} attempts"
        for row in town.rows("select * from deliveries where status = 'queued'")
        if row["next_attempt_at"] is None
        or row["next_attempt_at"] < now - LATE
        or row["next_attempt_at"] > now + timedelta(seconds=61)
    ]


def every_incident_has_one_holder_at_most(
    town: Town, _answers: Mapping[str, Any], _taken: Collection[str]
) -> list[str]:
    """Told by the events in their order: who holds it gives it up before another gets it."""
    holders: dict[Any, Any] = {}
    found = []
    for event in town.rows(
        "select incident_id, alert_id, kind, data from events where kind like 'alert.%%'"
        " and alert_id is not null order by sequence"
    ):
        incident, alert = event["incident_id"], event["alert_id"]
        if event["kind"] == "alert.acknowledged" and event["data"]["holds"]:
            held = holders.get(incident)
            if held not in (None, alert):
                found.append(f"incident {incident} is held by alerts {held} and {alert} at once")
            holders[incident] = alert
        if event["kind"] in ("alert.declined", "alert.closed") and holders.get(incident) == alert:
            del holders[incident]
    return found + [
        f"incident {row['id']} is held by alert {row['held_by_alert_id']}, which is {row['state']}"
        for row in town.rows(
            """
            select i.id, i.held_by_alert_id, a.state from incidents i
            join alerts a on a.id = i.held_by_alert_id
            where a.state not in ('acknowledged', 'en_route', 'on_scene')
            """
        )
    ]


def no_alert_moved_backwards(
    town: Town, _answers: Mapping[str, Any], _taken: Collection[str]
) -> list[str]:
    """The events of each alert, in their order, are steps that may follow each other."""
    states: dict[Any, State] = defaultdict(lambda: State.PENDING)
    found = []
    for event in town.rows(
        "select alert_id, kind, sequence from events where kind = any (%s) order by sequence",
        list(STEPS),
    ):
        alert = event["alert_id"]
        try:
            states[alert] = after(STEPS[event["kind"]], states[alert])
        except StateConflict:
            found.append(
                f"alert {alert} was {states[alert]} when event {event['sequence']},"
                f" {event['kind']}, came"
            )
    same = {State.DELIVERED: State.PENDING}
    for row in town.rows("select id, state from alerts"):
        now = State(row["state"])
        if same.get(now, now) != states[row["id"]]:
            found.append(f"alert {row['id']} is {now}; by its events it is {states[row['id']]}")
    return found


def event_numbers_have_no_gap(
    town: Town, _answers: Mapping[str, Any], _taken: Collection[str]
) -> list[str]:
    (row,) = town.rows(
        "select count(*) as events, count(sequence) as numbered, count(distinct sequence) as"
        " distinct_numbers, min(sequence) as first, max(sequence) as last,"
        " (select last from event_sequencer) as given from events"
    )
    whole = (
        row["events"] == row["numbered"] == row["distinct_numbers"] == row["last"] == row["given"]
    )
    return [] if whole and row["first"] == 1 else [f"events and numbers do not fit: {row}"]


def every_message_that_went_has_its_attempt(
    town: Town, _answers: Mapping[str, Any], _taken: Collection[str]
) -> list[str]:
    return [
        f"delivery {row['id']} is {row['status']} and no attempt says so"
        for row in town.rows(
            """
            select d.id, d.status from deliveries d
            where d.status in ('sent', 'delivered', 'seen') and not exists (
                select from delivery_attempts t where t.delivery_id = d.id
                  and t.outcome in ('sent', 'delivered'))
            """
        )
    ]


def no_live_alert_is_left_without_a_ladder(
    town: Town, _answers: Mapping[str, Any], _taken: Collection[str]
) -> list[str]:
    """An open incident that nobody has taken on climbs, or has told all and alarms again."""
    live = tuple(sorted(LIVE))
    return [
        f"incident {row['id']} of priority {row['priority']} is open, nobody holds it, and nothing"
        " will ever happen to it"
        for row in town.rows(
            """
            select i.id, i.priority from incidents i
            where i.state = 'open' and i.held_by_alert_id is null and i.priority < 4
              and i.escalate_at is null and i.audience not like 'drill:%%'
              and not exists (select from alerts a where a.incident_id = i.id
                              and a.state in ('acknowledged', 'en_route', 'on_scene'))
              and exists (select from alerts a where a.incident_id = i.id and a.state = any (%s))
            """,
            list(live),
        )
    ]


ALL: tuple[Check, ...] = (
    every_201_has_its_report,
    every_key_made_one_report,
    every_report_has_its_incident_and_alerts,
    every_alert_was_delivered_or_is_visibly_dead,
    no_delivery_is_stuck,
    every_incident_has_one_holder_at_most,
    no_alert_moved_backwards,
    event_numbers_have_no_gap,
    every_message_that_went_has_its_attempt,
    no_live_alert_is_left_without_a_ladder,
)
