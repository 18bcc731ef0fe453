"""What is asked of every change to something that is there, before it is made."""

from waylight.domain.errors import InvalidRequest, Problem, StaleVersion


def check_says_something(*, is_empty: bool) -> None:
    """Raises InvalidRequest for a change that names no field."""
    if is_empty:
        raise InvalidRequest(
            problems=[Problem("", "nothing_to_change", "Send at least one field to change.")]
        )


def check_version(if_match: int | None, version: int) -> None:
    """Raises StaleVersion, with what it is now, for whoever read another version than this.

    Without `if_match` the change is made whatever was read (ADR 0021).
    """
    if if_match not in (None, version):
        raise StaleVersion(version=version)
