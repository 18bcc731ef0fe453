"""Drills: who was to be told, and who was reached."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from waylight.db.models.base import Base, Id


class Drill(Base):
    """One drill of some teams; `rungs` is one entry for each of them, whether told or not."""

    __tablename__ = "drills"
    __table_args__ = (
        CheckConstraint("level in ('sent', 'delivered', 'seen', 'acknowledged')", name="level"),
        Index(
            "uq_drills_scheduled_for",
            "city_id",
            "scheduled_for",
            unique=True,
            postgresql_where=text("scheduled_for is not null"),
        ),
        Index("ix_drills_open", "ends_at", postgresql_where=text("ended_at is null")),
    )

    id: Mapped[Id]
    city_id: Mapped[UUID | None] = mapped_column(ForeignKey("cities.id"))
    scheduled_for: Mapped[datetime | None]
    level: Mapped[str]
    started_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    rungs: Mapped[list[dict[str, object]]] = mapped_column(JSONB)
    told: Mapped[int]
    reached: Mapped[int | None]
