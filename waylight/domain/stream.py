"""The rules of the live stream: how long, how many, and where a client that was away goes on."""

from dataclasses import dataclass
from enum import StrEnum

HEARTBEAT_S = 15.0
"""The longest silence of a stream. Proxies hang up on a line that says nothing for a minute."""

TICKET_S = 30
"""How long a ticket may wait for its one use."""

REPLAY_MOST = 20_000
"""How many events of the whole city are gone through for a client that was away. Whoever missed
more reads the inbox again, which costs less than all that happened meanwhile."""

QUEUE_MOST = 2_000
"""Events that may wait for one client: more than two batches, so that only a client that does not
read is ever dropped."""

SIGN_EVERY = 2_000
"""A client whose last event lies so far back gets a new place to go on from: one to whom nothing
happens for hours must not find its place too old because the rest of the city was busy."""

RETRY_S = (1.0, 5.0)
"""A client waits for some time between these before it comes back, so that a thousand do not come
at once."""


class End(StrEnum):
    """Why a stream ended on our side."""

    STOPPING = "stopping"
    """The process was told to stop: another one goes on."""
    DATABASE_LOST = "database_lost"
    """What happens cannot be seen just now."""
    KEY_ENDED = "key_ended"
    """The key was revoked, or is over."""
    TOO_SLOW = "too_slow"
    """More waited for the client than is kept."""
    LEFT = "left"
    """The client hung up."""


class Lost(StrEnum):
    """Why a client cannot go on where it was: it reads its inbox again."""

    UNKNOWN = "unknown_event"
    TOO_OLD = "too_old"


@dataclass(frozen=True)
class Start:
    """Where a stream begins: after this number, and what the client missed if anything."""

    after: int
    lost: Lost | None = None


def start(asked: int | Lost | None, *, last: int) -> Start:
    """Where the stream of a client begins that asks to go on after the event of number `asked`.

    Without a number it begins now; `last` is the newest there is. A number that has not been given
    yet is of another database, one from before a restore: as unknown as an event there is not.
    """
    if asked is None:
        return Start(last)
    if isinstance(asked, Lost):
        return Start(last, asked)
    if asked > last:
        return Start(last, Lost.UNKNOWN)
    if last - asked > REPLAY_MOST:
        return Start(last, Lost.TOO_OLD)
    return Start(asked)
