"""Incidents: the real-world events that reports are about."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from waylight.db.models.base import Base, Id, MaybePosition, SmallInt


class Incident(Base):
    """One real-world event and how far the ladder has climbed for it."""

    __tablename__ = "incidents"
    __table_args__ = (
        CheckConstraint("state in ('open', 'closed')", name="state"),
        Index(
            "ix_incidents_position",
            "position",
            postgresql_using="gist",
            postgresql_where=text("state = 'open'"),
        ),
        Index("ix_incidents_vehicle", "vehicle", postgresql_where=text("state = 'open'")),
        Index(
            "ix_incidents_escalate_at",
            "escalate_at",
            postgresql_where=text("escalate_at is not null"),
        ),
    )

    id: Mapped[Id]
    city_id: Mapped[UUID | None]
    category_groups: Mapped[list[str]]
    audience: Mapped[str]
    exercise: Mapped[bool]
    position: Mapped[MaybePosition]
    vehicle: Mapped[str | None]
    opened_at: Mapped[datetime]
    last_at: Mapped[datetime]
    priority: Mapped[SmallInt]
    report_count: Mapped[int] = mapped_column(server_default=text("1"))
    state: Mapped[str] = mapped_column(server_default=text("'open'"))
    held_by_alert_id: Mapped[UUID | None]
    escalate_at: Mapped[datetime | None]
    rung: Mapped[int] = mapped_column(server_default=text("1"))
    restarted_at: Mapped[datetime | None]
    unanswered_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    about_alert_id: Mapped[UUID | None]
