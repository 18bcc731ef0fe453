"""Ids as they are written outside: TypeIDs, which say what they name."""

from typing import TYPE_CHECKING, cast
from uuid import UUID

from typeid import TypeID
from typeid.errors import TypeIDException

if TYPE_CHECKING:
    from uuid_utils import UUID as FastUUID  # noqa: N811 - the two classes share their name


def wire_id(prefix: str, key: UUID) -> str:
    """The id of a row outside: `alert_01...`, a TypeID (version 0.3)."""
    return str(TypeID.from_uuid(cast("FastUUID", key), prefix))


def row_id(prefix: str, text: str) -> UUID:
    """The row that a TypeID names. Raises ValueError for an id of another kind."""
    try:
        parsed: TypeID[str] = TypeID.from_string(text)
    except TypeIDException as error:
        raise ValueError("not a TypeID") from error
    if parsed.prefix != prefix:
        raise ValueError("the id of something else")
    return UUID(bytes=parsed.uuid_bytes)
