"""The queue: a delivery row is the item, claimed with SKIP LOCKED and a lease (design, D3)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from waylight.db.push import CHANNEL as WEB_PUSH
from waylight.domain.alerts import TIMED_OUT, Message, NextAttempt, Outcome, Result
from waylight.domain.drills import AUDIENCE
from waylight.domain.push import rest_s

# A claimed row comes due again when its lease ends: a dead worker needs no other remedy. Each
# channel has a number of its own: one that is stuck must not use up the room of the others. So have
# its drills: a real message waits behind none of them.
CLAIM = """
with due as materialized (
    select d.id
    from unnest(%(channels)s::text[], %(exercises)s::bool[], %(free)s::int[])
        room (channel, exercise, free)
    cross join lateral (
        select id from deliveries
        where status = 'queued' and channel = room.channel and exercise = room.exercise
          and next_attempt_at <= %(now)s
        order by priority, next_attempt_at
        limit room.free
        for update skip locked) d),
claimed as (
    update deliveries set attempts = attempts + 1, attempted_at = %(now)s,
        leased_by = %(worker)s, leased_until = %(until)s, next_attempt_at = %(until)s
    where id = any (array(select id from due))
    returning *)
select d.id, d.alert_id, d.channel, d.message, d.priority, d.exercise, d.attempts, d.target_id,
       d.event_id, d.reply_code, a.incident_id, i.category_groups,
       coalesce(t.name, h.name) as recipient, w.key_version, w.wrapped_key, w.address,
       w.staff_id, w.organisation_id, w.rests_until
from claimed d
left join alerts a on a.id = d.alert_id
left join incidents i on i.id = a.incident_id
left join addresses w on w.id = d.target_id and w.state = 'active'
    and coalesce(w.expires_at > %(now)s, true)
left join teams t on t.id = coalesce(a.team_id, w.team_id)
left join hubs h on h.id = coalesce(a.hub_id, w.hub_id)
order by d.exercise, d.priority, d.id
"""

# A message that went out although its alert was withdrawn meanwhile did go out; one that did not
# is not tried again.
RECORD = """
update deliveries d set
    status = case when d.status = 'dropped' and %(status)s not in ('sent', 'delivered')
                  then 'dropped' else %(status)s end,
    next_attempt_at = case when d.status = 'queued' and %(status)s = 'queued'
                           then %(again_at)s::timestamptz end,
    leased_by = null, leased_until = null, outcome = %(outcome)s, detail = %(detail)s,
    sent_at = case when %(status)s in ('sent', 'delivered') then %(now)s else d.sent_at end,
    delivered_at = case when %(status)s = 'delivered' then %(now)s else d.delivered_at end
from deliveries mine left join alerts a on a.id = mine.alert_id
where d.id = mine.id and mine.id = %(id)s and d.leased_by = %(worker)s
  and d.attempts = %(attempts)s and d.status in ('queued', 'dropped')
returning d.status, d.channel, d.message, d.report_id, d.alert_id, d.exercise, d.priority,
          a.city_id, a.organisation_id, a.incident_id, a.created_at as decided_at,
          not exists (select from deliveries o where o.alert_id = d.alert_id and o.id <> d.id
                      and o.sent_at is not null) as is_first
"""

# Many at once, of which none asks for a lock but on its own row: what the channel took, and what is
# tried again. Rows are locked in the order of their ids, so that no two such writes wait for each
# other in a circle.
RECORD_ALL = """
with said as materialized (
    select * from jsonb_to_recordset(%(said)s) s (
        id uuid, attempts smallint, status text, again_at timestamptz, outcome text, detail text)),
mine as materialized (
    select d.id from deliveries d where d.id = any (%(ids)s) order by d.id for update),
written as (
    update deliveries d set
        status = case when d.status = 'dropped' and s.status <> 'sent'
                      then 'dropped' else s.status end,
        next_attempt_at = case when d.status = 'queued' and s.status = 'queued'
                               then s.again_at end,
        leased_by = null, leased_until = null, outcome = s.outcome, detail = s.detail,
        sent_at = case when s.status = 'sent' then %(now)s else d.sent_at end
    from said s join mine using (id)
    where d.id = s.id and d.id = any (%(ids)s) and d.leased_by = %(worker)s
      and d.attempts = s.attempts and d.status in ('queued', 'dropped')
    returning d.*)
select d.id, d.status, d.channel, d.message, d.report_id, d.alert_id, d.exercise, d.priority,
       a.city_id, a.organisation_id, a.incident_id, a.created_at as decided_at,
       not exists (select from deliveries o where o.alert_id = d.alert_id and o.id <> d.id
                   and o.sent_at is not null) as is_first
from written d left join alerts a on a.id = d.alert_id
order by d.id
"""

# Also of an attempt whose lease had run out: it did happen. Once, however often it is written:
# whoever lost the database at the commit does not know whether it was.
ATTEMPTS = """
insert into delivery_attempts (delivery_id, attempt, at, duration_ms, worker_id, provider,
                               provider_ref, outcome, detail)
select s.id, s.attempts, s.at, s.duration_ms, %(worker)s, s.provider, s.provider_ref, s.outcome,
       s.detail
from jsonb_to_recordset(%(said)s) s (
    id uuid, attempts smallint, at timestamptz, duration_ms integer, provider text,
    provider_ref text, outcome text, detail text)
where not exists (select from delivery_attempts t
                  where t.delivery_id = s.id and t.attempt = s.attempts
                    and t.worker_id = %(worker)s)
"""


def claim(
    conn: Connection[Any],
    worker_id: str,
    *,
    free: Mapping[str, int],
    drills: Mapping[str, int],
    lease: timedelta,
    now: datetime,
) -> list[dict[str, Any]]:
    """Due deliveries, of each channel at most as many as are free, leased to this worker.

    Of drills at most `drills`. The real ones first, the most urgent first. `address` is null where
    there is none that works.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            CLAIM,
            {
                "worker": worker_id,
                "channels": [*free, *drills],
                "exercises": [*(False for _ in free), *(True for _ in drills)],
                "free": [*free.values(), *drills.values()],
                "until": now + lease,
                "now": now,
            },
        ).fetchall()


def late_channels(conn: Connection[Any], *, known: Sequence[str], before: datetime) -> list[str]:
    """The channels, but for those `known`, of messages that have been due since `before`."""
    rows = conn.execute(
        """
        select distinct channel from deliveries
        where status = 'queued' and next_attempt_at < %s and channel <> all (%s)
        """,
        [before, list(known)],
    ).fetchall()
    return [row[0] for row in rows]


def record_all(
    conn: Connection[Any],
    outcomes: Sequence[tuple[Message, Outcome, NextAttempt, timedelta]],
    *,
    worker_id: str,
    now: datetime,
) -> list[dict[str, Any]]:
    """Writes outcomes that are `sent` or tried again; a row for each whose lease was still held.

    Each outcome comes with what follows and how long the attempt took. Addresses are locked before
    deliveries, by everybody.
    """
    said = [_said(*one, now=now) for one in outcomes]
    written = {
        "said": Jsonb(said),
        "ids": [message.delivery_id for message, *_ in outcomes],
        "worker": worker_id,
        "now": now,
    }
    reached = [
        message.target.id
        for message, outcome, *_ in outcomes
        if message.target is not None and outcome.result is Result.SENT
    ]
    with conn.cursor(row_factory=dict_row) as cursor:
        late = [
            message.target.id
            for message, outcome, *_ in outcomes
            if message.target is not None and _is_late(message, outcome)
        ]
        if late:
            cursor.execute(
                "select from addresses where id = any (%s) order by id for update", [reached + late]
            )
        if reached:
            _mark_reached(conn, reached, now=now)
        for address_id in late:
            _mark_late(conn, address_id, now=now)
        rows = cursor.execute(RECORD_ALL, written).fetchall()
        cursor.execute(ATTEMPTS, written)
        return rows


def _said(
    message: Message, outcome: Outcome, following: NextAttempt, took: timedelta, *, now: datetime
) -> dict[str, Any]:
    return {
        "id": message.delivery_id,
        "attempts": message.attempt,
        "status": following.status,
        "again_at": following.at,
        "outcome": outcome.result,
        "detail": outcome.detail,
        "provider": outcome.provider,
        "provider_ref": outcome.provider_ref,
        "at": now - took,
        "duration_ms": round(took.total_seconds() * 1000),
    }


def record(
    conn: Connection[Any],
    message: Message,
    *,
    outcome: Outcome,
    following: NextAttempt,
    worker_id: str,
    took: timedelta,
    has_receipt: bool,
    now: datetime,
) -> dict[str, Any] | None:
    """Writes the outcome of an attempt; None when the lease had passed to somebody else.

    On `delivered` the alert's state is written first. On `failed`, and where a receipt is here
    already that `confirm` writes after this, the incident is locked first: in the order in which
    steps take their locks.
    """
    said = _said(message, outcome, following, took, now=now)
    written = said | {"worker": worker_id, "now": now, "said": Jsonb([said])}
    with conn.cursor(row_factory=dict_row) as cursor:
        if following.status == "failed" or has_receipt:
            cursor.execute(
                """
                select from incidents where id = (select incident_id from alerts where id = %s)
                for update
                """,
                [message.alert_id],
            )
        if following.status == "delivered":
            cursor.execute(DELIVER, written)
        if message.target is not None:
            _mark_address(conn, message.target.id, outcome=outcome, now=now)
            if _is_late(message, outcome):
                _mark_late(conn, message.target.id, now=now)
        row = cursor.execute(RECORD, written).fetchone()
        cursor.execute(ATTEMPTS, written)
        if message.target is not None and outcome.result is Result.GONE:
            give_up_addresses(conn, [message.target.id], now=now)
        return row


DELIVER = """
update alerts a set delivered_at = coalesce(a.delivered_at, %(now)s),
    state = case a.state when 'pending' then 'delivered' else a.state end
from deliveries d
where d.id = %(id)s and a.id = d.alert_id
"""


def give_up_addresses(conn: Connection[Any], address_ids: Sequence[UUID], *, now: datetime) -> None:
    """Drops what waits for addresses that are gone, and makes due what tells of an alert.

    The next claim finds no address for that: it fails where everybody sees it, and wakes a ladder
    that rests (migration 0005).
    """
    conn.execute("select give_up_addresses(%s, %s)", [list(address_ids), now])


def _mark_address(
    conn: Connection[Any], address_id: UUID, *, outcome: Outcome, now: datetime
) -> None:
    if outcome.result in (Result.SENT, Result.DELIVERED):
        _mark_reached(conn, [address_id], now=now)
    elif outcome.result is Result.GONE:
        # One after the other, also when it is gone already: each gives up all that waits for it,
        # and holds a message of its own by then.
        conn.execute("select from addresses where id = %s for update", [address_id])
        conn.execute(MARK_GONE, {"id": address_id, "now": now})


# The key of a person's device is destroyed with it: it makes a new subscription when it comes back.
MARK_GONE = """
with gone as (
    update addresses set state = 'gone', version = version + 1,
        wrapped_key = case when channel <> 'web_push' then wrapped_key end
    where id = %(id)s and state <> 'gone'
    returning id, organisation_id, staff_id, channel)
insert into events (kind, at, organisation_id, staff_id, data)
select 'device.unsubscribed', %(now)s, organisation_id, staff_id,
       jsonb_build_object('device_id', id, 'channel', channel, 'reason', 'gone')
from gone where channel = 'web_push'
"""


def _is_late(message: Message, outcome: Outcome) -> bool:
    """Whether it is the device that did not answer in time, and no provider of the operator's."""
    return message.channel == WEB_PUSH and outcome.detail == TIMED_OUT


def _mark_late(conn: Connection[Any], address_id: UUID, *, now: datetime) -> None:
    """Counts a device that did not answer in time, and lets it rest when it does so again."""
    row = conn.execute(
        "update addresses set timeouts = least(timeouts + 1, 1000) where id = %s"
        " returning timeouts",
        [address_id],
    ).fetchone()
    if row is not None and (rest := rest_s(row[0])):
        conn.execute(
            "update addresses set rests_until = %s where id = %s",
            [now + timedelta(seconds=rest), address_id],
        )


def _mark_reached(conn: Connection[Any], address_ids: Sequence[UUID], *, now: datetime) -> None:
    # Once in a while is enough to see that an address works: no row is written ten times over for
    # one burst of messages.
    conn.execute(
        """
        update addresses set last_sent_at = %(now)s, timeouts = 0, rests_until = null
        where id in (
            select id from addresses
            where id = any (%(ids)s)
              and (timeouts > 0 or coalesce(last_sent_at < %(now)s - interval '1 minute', true))
            order by id for update)
        """,
        {"ids": list(address_ids), "now": now},
    )


def confirm(
    conn: Connection[Any],
    provider: str,
    provider_ref: str,
    *,
    delivered: bool,
    detail: str | None,
    now: datetime,
) -> dict[str, Any] | None:
    """Writes what a provider says of a message it took; None when it changes nothing.

    A message of that name which is `sent` becomes `delivered`, and its alert with it, or `failed`.
    Receipts come twice and in any order: one that says less than is known is nothing new.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(
            """
            select d.id, a.incident_id from delivery_attempts t
            join deliveries d on d.id = t.delivery_id left join alerts a on a.id = d.alert_id
            where t.provider_ref = %s and t.provider = %s
            """,
            [provider_ref, provider],
        ).fetchone()
        if found is None:
            return None
        cursor.execute("select from incidents where id = %s for update", [found["incident_id"]])
        if delivered:
            cursor.execute(DELIVER, {"id": found["id"], "now": now})
        return cursor.execute(
            """
            update deliveries d set status = %(status)s, detail = coalesce(%(detail)s, d.detail),
                delivered_at = case when %(delivered)s then %(now)s else d.delivered_at end
            from deliveries mine left join alerts a on a.id = mine.alert_id
            where d.id = mine.id and mine.id = %(id)s
              and d.status = any (case when %(delivered)s then '{sent,failed}'::text[]
                                       else '{sent}' end)
            returning d.id, d.status, d.channel, d.message, d.report_id, d.alert_id, d.exercise,
                      a.city_id, a.organisation_id, a.incident_id
            """,
            {
                "id": found["id"],
                "status": "delivered" if delivered else "failed",
                "delivered": delivered,
                "detail": detail,
                "now": now,
            },
        ).fetchone()


WAKE = """
update incidents i set escalate_at = %(now)s, restarted_at = r.received_at,
    version = i.version + 1
from deliveries d
join alerts a on a.id = d.alert_id
join reports r on r.id = d.report_id
where d.id = %(id)s and i.id = a.incident_id and i.state = 'open' and i.escalate_at is null
  and a.team_id is not null and d.message in ('alert.created', 'alert.updated')
  and not starts_with(i.audience, %(drills)s)
  and not exists (
      select from deliveries other
      where other.alert_id = d.alert_id and other.report_id = d.report_id
        and other.message = d.message and other.status in ('queued', 'sent', 'delivered', 'seen'))
"""


def wake_ladder(conn: Connection[Any], delivery_id: UUID, *, now: datetime) -> None:
    """Makes an incident due whose ladder rests although a team could not be told of a report.

    It then runs for that report. Only when no other channel has told that team, or is still
    trying. A hub is no rung.
    """
    conn.execute(WAKE, {"id": delivery_id, "now": now, "drills": AUDIENCE})


def give_back(
    conn: Connection[Any],
    worker_id: str,
    *,
    due_at: datetime,
    only: Sequence[UUID] | None = None,
) -> int:
    """Ends every lease of a worker, or some, so that another need not wait for it to run out."""
    given = conn.execute(
        """
        update deliveries set attempts = attempts - 1, next_attempt_at = %(due_at)s,
            leased_by = null, leased_until = null
        where id = any (array(
            select id from deliveries
            where leased_by = %(worker)s and status = 'queued'
              and (%(only)s::uuid[] is null or id = any (%(only)s))
            order by id for update))
        """,
        {"due_at": due_at, "worker": worker_id, "only": list(only) if only is not None else None},
    )
    return given.rowcount
