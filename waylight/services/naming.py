"""Names that people give: what may stand in one, and that none is another organisation's."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import organisations as db
from waylight.domain import names
from waylight.domain.errors import InvalidRequest, Problem

TAKEN = "This is or looks like the name of another organisation: choose one of your own."


def read_name(text: str, pointer: str) -> str:
    """A name as it is kept. Raises InvalidRequest for one that is none, or not seen as it is."""
    try:
        return names.read_name(text)
    except ValueError as error:
        # At the command line nobody reads a pointer.
        said = f"{pointer.strip('/').capitalize()}: {error}"
        raise InvalidRequest(said, problems=[Problem(pointer, "invalid", str(error))]) from None


def check_not_taken(name: str, others: Iterable[str]) -> None:
    """Raises InvalidRequest for the name of an organisation that looks like another's."""
    if names.looks(name) in {names.looks(one) for one in others}:
        raise InvalidRequest(TAKEN, problems=[Problem("/name", "name_taken", TAKEN)])


def check_says_no_other(conn: Connection[Any], organisation_id: UUID, name: str) -> None:
    """Raises InvalidRequest where a team or a hub is called by another organisation's whole name.

    Passengers read it, and would take whoever comes for somebody else.
    """
    known = db.names(conn, organisation_id)
    if known is not None:
        check_says_none_of(known, name)


def check_says_none_of(known: Mapping[str, Any], name: str) -> None:
    """The same, of the names that an organisation may not have in its own (`db.names`)."""
    others = [one for one in (*known["others"], *known["jobs"]) if one != known["name"]]
    if (found := names.found_in(name, others, own=known["name"])) is not None:
        detail = f"This has the name of another organisation in it, {found}: leave it out."
        raise InvalidRequest(problems=[Problem("/name", "name_taken", detail)])
