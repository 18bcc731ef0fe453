"""What support workers write, apart from everything else."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from waylight.db.models.base import Base, SmallInt


class SupportCase(Base):
    """One report with one support service: its data key, until that is destroyed."""

    __tablename__ = "support_cases"
    __table_args__ = (
        CheckConstraint("(wrapped_key is null) = (destroyed_at is not null)", name="destroyed_at"),
        Index(
            "uq_support_cases_open",
            "report_id",
            "organisation_id",
            unique=True,
            postgresql_where=text("wrapped_key is not null"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    report_id: Mapped[UUID]
    organisation_id: Mapped[UUID]
    opened_at: Mapped[datetime]
    opened_by: Mapped[UUID]
    key_version: Mapped[SmallInt]
    wrapped_key: Mapped[bytes | None]
    destroyed_at: Mapped[datetime | None]


class SupportNote(Base):
    """A note of a support worker, closed by the key of its case."""

    __tablename__ = "support_notes"
    __table_args__ = (Index("ix_support_notes_case_id", "case_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    case_id: Mapped[UUID] = mapped_column(ForeignKey("support_cases.id"))
    organisation_id: Mapped[UUID]
    staff_id: Mapped[UUID]
    at: Mapped[datetime]
    note: Mapped[bytes]
