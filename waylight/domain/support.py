"""What support workers write about a report: reserved for them, and for nobody else."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True)
class SupportNote:
    """A note. `text` is None when its key cannot be opened; `by` is a colleague's name."""

    id: UUID
    at: datetime
    by: str | None
    text: str | None
