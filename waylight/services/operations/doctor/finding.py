"""What the doctor says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `problem` and `fix` are None when it is well.

    A `warning` is somebody else's to mend, and stops nothing here.
    """

    what: str
    problem: str | None = None
    fix: str | None = None
    warning: bool = False


State = Mapping[str, Any]
"""A row of `db.operations.health`."""


def first_line(error: BaseException | None) -> str:
    """What an error says, without what the server adds."""
    return str(error).strip().partition("\n")[0]
