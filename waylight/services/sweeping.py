"""Dealing with everything that is due, one by one."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from psycopg import Connection

from waylight.db.session import Database
from waylight.domain.errors import Unavailable
from waylight.log import get_logger

log = get_logger(__name__)

Found = TypeVar("Found")


def sweep(
    database: Database,
    *,
    find: Callable[[Connection[Any], Sequence[UUID]], Found | None],
    id_of: Callable[[Found], UUID],
    do: Callable[[Connection[Any], Found], object],
    failure: str,
    of: str,
    limit: int,
) -> int:
    """Finds and does what is due until there is nothing more, up to `limit`; returns how many.

    Each is a transaction of its own: `find` locks one that is not among those seen, `do` deals with
    it. One that breaks keeps no other: it is logged as the event `failure` with its id under the
    name `of`, and left to the next sweep. Raises Unavailable, and whatever `find` raises.
    """
    done, seen = 0, list[UUID]()
    while len(seen) < limit:
        current: UUID | None = None
        try:
            with database.intake() as conn:
                found = find(conn, seen)
                if found is None:
                    return done
                current = id_of(found)
                seen.append(current)
                do(conn, found)
            done += 1
        except Unavailable:
            raise
        except Exception:
            if current is None:
                raise
            log.exception(failure, **{of: str(current)})
    return done
