"""Statements in the role of staff, with no service before them."""

import psycopg
import pytest

from tests.desk import NOW

REFUSED = psycopg.errors.InsufficientPrivilege


def by_hand(desk, who, statement, *values):
    """A statement in the staff role, acting for somebody's organisation; the rows it touched."""
    with desk.database.staff(who.organisation_id) as conn:
        done = conn.execute(statement, values)
        return done.rowcount if done.description is None else done.fetchall()


def refused(desk, who, statement, *values):
    with pytest.raises(REFUSED):
        by_hand(desk, who, statement, *values)


def say(desk, who, kind, **columns):
    """An event by hand, in the name of somebody's own organisation."""
    row = {"kind": kind, "at": NOW, "organisation_id": who.organisation_id, **columns}
    return by_hand(
        desk,
        who,
        f"insert into events ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})",  # noqa: S608 - names of this file
        *row.values(),
    )


def cannot_say(desk, who, kind, **columns):
    with pytest.raises(REFUSED, match="row-level security"):
        say(desk, who, kind, **columns)
