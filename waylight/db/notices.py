"""What providers of messages tell us: receipts, and answers by text."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

# A code is one of the messages that went to this very telephone, and names one of its alerts.
ANSWERED = """
select d.id as delivery_id, d.alert_id, d.priority, d.exercise, w.id as address_id, w.channel,
       w.organisation_id, w.staff_id, w.name, s.name as person, s.role, a.state, a.version,
       i.state as incident_state,
       i.restarted_at is null or r.received_at >= i.restarted_at as is_informed
from addresses w
join deliveries d on d.target_id = w.id
join alerts a on a.id = d.alert_id
join incidents i on i.id = a.incident_id
join reports r on r.id = d.report_id
left join staff s on s.id = w.staff_id
where w.id = any (%(addresses)s) and d.reply_code = %(code)s and d.created_at > %(since)s
order by d.id desc limit 1
"""


def lock_reference(conn: Connection[Any], provider: str, ref: str) -> None:
    """Keeps a receipt and the outcome of its attempt from missing each other."""
    conn.execute("select pg_advisory_xact_lock(hashtextextended(%s, 5))", [f"{provider} {ref}"])


def keep_receipt(
    conn: Connection[Any],
    provider: str,
    ref: str,
    *,
    delivered: bool,
    detail: str | None,
    now: datetime,
) -> None:
    """Keeps a receipt for an attempt that is not written yet. That it arrived outweighs all."""
    conn.execute(
        """
        insert into provider_notices as n (provider, kind, ref, received_at, delivered, detail)
        values (%(provider)s, 'receipt', %(ref)s, %(now)s, %(delivered)s, %(detail)s)
        on conflict (provider, kind, ref) do update
            set delivered = excluded.delivered or n.delivered, detail = excluded.detail
        """,
        {
            "provider": provider,
            "ref": ref,
            "now": now,
            "delivered": delivered,
            "detail": detail,
        },
    )


def early_receipt(conn: Connection[Any], provider: str, ref: str) -> dict[str, Any] | None:
    """{delivered, detail} of a receipt that came before its attempt was written."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select delivered, detail from provider_notices"
            " where provider = %s and kind = 'receipt' and ref = %s",
            [provider, ref],
        ).fetchone()


def telephones(conn: Connection[Any], fingerprints: Sequence[bytes]) -> list[dict[str, Any]]:
    """{id, fingerprint} of the telephones that these hashes find and nobody took away."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            select id, fingerprint from addresses
            where fingerprint = any (%s) and channel = 'sms' and wrapped_key is not null
            order by id
            """,
            [list(fingerprints)],
        ).fetchall()


def countries(conn: Connection[Any]) -> tuple[str, ...]:
    """The countries of the cities that are served."""
    rows = conn.execute("select distinct country from cities order by 1").fetchall()
    return tuple(row[0] for row in rows)


def take_answer(
    conn: Connection[Any], provider: str, ref: str, fingerprint: bytes, *, now: datetime
) -> bool:
    """Notes that an answer came; False when it is here already: it acts once.

    One of which nobody knows what became of it, a minute later, was left by a process that died.
    """
    taken = conn.execute(
        """
        insert into provider_notices as n (provider, kind, ref, received_at, fingerprint)
        values (%s, 'answer', %s, %s, %s)
        on conflict (provider, kind, ref) do update set received_at = excluded.received_at
            where n.outcome is null and n.received_at < excluded.received_at - interval '1 minute'
        """,
        [provider, ref, now, fingerprint],
    )
    return taken.rowcount == 1


def forget_answer(conn: Connection[Any], provider: str, ref: str) -> None:
    """Lets an answer that could not be acted on come again."""
    conn.execute(
        "delete from provider_notices where provider = %s and kind = 'answer' and ref = %s",
        [provider, ref],
    )


def count_answers(
    conn: Connection[Any], fingerprint: bytes, outcome: str, *, since: datetime
) -> int:
    """How many answers of a telephone ended so since an instant."""
    row = conn.execute(
        """
        select count(*) from provider_notices
        where fingerprint = %s and outcome = %s and received_at > %s
        """,
        [fingerprint, outcome, since],
    ).fetchone()
    return int(row[0]) if row else 0


def set_outcome(conn: Connection[Any], provider: str, ref: str, outcome: str) -> None:
    """Writes what became of an answer."""
    conn.execute(
        "update provider_notices set outcome = %s"
        " where provider = %s and kind = 'answer' and ref = %s",
        [outcome, provider, ref],
    )


def answered(
    conn: Connection[Any], address_ids: Sequence[UUID], code: str, *, since: datetime
) -> dict[str, Any] | None:
    """The message that one of these telephones was sent with a code, and its alert as it is now.

    `is_informed` says that the message told of the report for which the ladder runs.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            ANSWERED, {"addresses": list(address_ids), "code": code, "since": since}
        ).fetchone()


def person_of(conn: Connection[Any], address_id: UUID, *, now: datetime) -> UUID:
    """Who answers from an address: its person, or one that stands for it, made when needed."""
    row = conn.execute("select person_of_address(%s, %s)", [address_id, now]).fetchone()
    assert row is not None  # noqa: S101 - a function call has a row
    found: UUID = row[0]
    return found


def queue_reply(
    conn: Connection[Any],
    address_id: UUID,
    kind: str,
    *,
    code: str | None,
    exercise: bool,
    now: datetime,
) -> None:
    """Queues what a telephone is told of its answer. It is about no alert: nobody answers it."""
    conn.execute(
        """
        insert into deliveries (channel, target_id, message, priority, exercise, reply_code,
                                next_attempt_at, created_at)
        values ('sms', %s, %s, 1, %s, %s, %s, %s)
        """,
        [address_id, kind, exercise, code, now, now],
    )


def mark_read(conn: Connection[Any], delivery_id: UUID) -> None:
    """Somebody answered a message: a person has it."""
    conn.execute(
        "update deliveries set status = 'seen' where id = %s and status in ('sent', 'delivered')",
        [delivery_id],
    )


def purge(conn: Connection[Any], *, now: datetime, kept_for: timedelta) -> int:
    """Forgets what is past its time; returns how many."""
    return conn.execute(
        "delete from provider_notices where received_at < %s", [now - kept_for]
    ).rowcount


def give_codes(
    conn: Connection[Any],
    rows: Sequence[dict[str, Any]],
    codes: Sequence[str],
    *,
    since: datetime,
) -> None:
    """Gives each of the messages a code that its telephone has for no other message of these days.

    `codes` are guesses to choose from, two for each row or more. One telephone may serve several
    teams. Workers that claim for the same one at once wait for each other, in one order.
    """
    numbers = dict(
        conn.execute(
            "select id, fingerprint from addresses where id = any (%s)",
            [[row["target_id"] for row in rows]],
        ).fetchall()
    )
    unused = list(codes)
    for row in sorted(rows, key=lambda row: bytes(numbers[row["target_id"]])):
        number = numbers[row["target_id"]]
        conn.execute(
            "select pg_advisory_xact_lock(hashtextextended(encode(%s, 'hex'), 6))", [number]
        )
        taken = {
            code
            for (code,) in conn.execute(
                """
                select d.reply_code from addresses a join deliveries d on d.target_id = a.id
                where a.fingerprint = %s and d.alert_id is not null and d.reply_code is not null
                  and d.created_at > %s
                """,
                [number, since],
            ).fetchall()
        }
        row["reply_code"] = next((code for code in unused if code not in taken), None)
        if row["reply_code"] is not None:
            unused.remove(row["reply_code"])
            conn.execute(
                "update deliveries set reply_code = %s where id = %s",
                [row["reply_code"], row["id"]],
            )
