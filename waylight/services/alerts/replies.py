"""Answers by text message: they take the same steps as a person who is signed in.

Whoever answers is shown nothing, so nothing is read. A code is good for the telephone that it was
sent to and for no other; neither a wrong code nor a stranger's telephone does anything.
"""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from waylight.db import notices
from waylight.db.session import Database
from waylight.domain import roles
from waylight.domain.alerts import State, Step
from waylight.domain.alerts.replies import (
    CODE_LENGTH,
    CODE_LIVES,
    NEUTRAL_A_DAY,
    SYMBOLS,
    WRONG_AN_HOUR,
    Heard,
    Reply,
    read_reply,
    told_instead,
)
from waylight.domain.errors import (
    NotAllowed,
    NotFound,
    StaleVersion,
    StateConflict,
    Unavailable,
)
from waylight.domain.principals import Kind, Principal
from waylight.log import get_logger
from waylight.messages import answers
from waylight.services.addresses import fingerprints
from waylight.services.alerts.steps import acknowledge, decline
from waylight.services.telephones import possible_numbers
from waylight.vault import Vault

TRIES = 3
"""A step by somebody else at the same moment is waited for, not lost to."""

log = get_logger(__name__)


def new_codes(number: int) -> list[str]:
    """Codes to choose from, each other than the rest."""
    found: set[str] = set()
    while len(found) < number:
        found.add("".join(secrets.choice(SYMBOLS) for _ in range(CODE_LENGTH)))
    return list(found)


def answer_by_text(
    database: Database,
    vault: Vault,
    *,
    provider: str,
    ref: str,
    sender: str,
    text: str,
    channels: Sequence[str],
    now: datetime,
) -> Heard:
    """Acts on a text message that came in, once, and queues what its sender is told.

    `ref` is what the provider calls it, `sender` the number as the provider writes it. A known
    telephone hears what became of its answer; that it could not be used, a few times a day at most;
    a stranger's hears nothing. Raises Unavailable: then nothing was done, and it may come again.
    """
    with database.intake() as conn:
        numbers = possible_numbers(sender, notices.countries(conn))
        hashes = [one for number in numbers for one in fingerprints(vault, "sms", number)]
        found = notices.telephones(conn, hashes)
        if not found:
            return Heard.IGNORED
        mark = bytes(found[0]["fingerprint"])
        if not notices.take_answer(conn, provider, ref, mark, now=now):
            return Heard.IGNORED
        wrong = notices.count_answers(conn, mark, Heard.UNKNOWN, since=now - timedelta(hours=1))
        reply = read_reply(text, answers()) if wrong < WRONG_AN_HOUR else None
        telephones = [row["id"] for row in found]
        message = reply and notices.answered(conn, telephones, reply.code, since=now - CODE_LIVES)
        if reply is None or not message:
            neutral = notices.count_answers(
                conn, mark, Heard.UNKNOWN, since=now - timedelta(days=1)
            )
            notices.set_outcome(conn, provider, ref, Heard.UNKNOWN)
            if neutral < NEUTRAL_A_DAY:
                notices.queue_reply(
                    conn, telephones[0], "reply.unknown", code=None, exercise=False, now=now
                )
            return Heard.UNKNOWN
        staff_id = notices.person_of(conn, message["address_id"], now=now)
    answering = Principal(
        kind=Kind.PROVIDER,
        name=message["person"] or message["name"],
        organisation_id=message["organisation_id"],
        staff_id=staff_id,
        role=roles.word_of(message["role"]) if message["role"] else "text_message",
    )
    try:
        heard = _act(
            database,
            vault,
            answering,
            reply,
            message,
            telephones=telephones,
            channels=channels,
            now=now,
        )
    except Exception:
        # Should this fail as well, the answer may come again in a minute.
        with suppress(Unavailable), database.intake() as conn:
            notices.forget_answer(conn, provider, ref)
        raise
    with database.intake() as conn:
        notices.set_outcome(conn, provider, ref, heard)
        notices.mark_read(conn, message["delivery_id"])
        notices.queue_reply(
            conn,
            message["address_id"],
            f"reply.{heard}",
            code=reply.code,
            exercise=message["exercise"],
            now=now,
        )
    log.info(
        "answered_by_text", provider=provider, heard=heard, address_id=str(message["address_id"])
    )
    return heard


def _act(
    database: Database,
    vault: Vault,
    answering: Principal,
    reply: Reply,
    message: Mapping[str, Any],
    *,
    telephones: Sequence[UUID],
    channels: Sequence[str],
    now: datetime,
) -> Heard:
    step = partial(decline, channels=channels) if reply.step is Step.DECLINE else acknowledge
    for _ in range(TRIES):
        late = told_instead(State(message["state"]), closed=message["incident_state"] == "closed")
        if late is not None:
            return late
        try:
            step(
                database,
                vault,
                principal=answering,
                alert_id=message["alert_id"],
                # Named, the version says that the answer is to the newest report as well.
                if_match=message["version"] if message["is_informed"] else None,
                now=now,
            )
        except StaleVersion:
            with database.intake() as conn:
                again = notices.answered(conn, telephones, reply.code, since=now - CODE_LIVES)
            if again is None:
                return Heard.OVER
            message = again
        except StateConflict:
            return Heard.REFUSED
        except (NotFound, NotAllowed):
            return Heard.OVER
        else:
            return Heard.DECLINED if reply.step is Step.DECLINE else Heard.ACKNOWLEDGED
    return Heard.REFUSED
