"""Lone workers: who has to give a sign of life, by when, and what an organisation lets start."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from waylight.db.models.base import Base


class CheckInDefault(Base):
    """The time an organisation gives its people on a scene; a null `due_in_s` starts none."""

    __tablename__ = "check_in_defaults"

    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"), primary_key=True)
    due_in_s: Mapped[int | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    updated_by: Mapped[UUID | None]
    updated_at: Mapped[datetime]


class CheckIn(Base):
    """The timer of the responder of one alert. `next_at` is when the worker has to look at it."""

    __tablename__ = "check_ins"
    __table_args__ = (
        Index("ix_check_ins_next_at", "next_at", postgresql_where=text("next_at is not null")),
        Index("ix_check_ins_incident_id", "incident_id"),
    )

    alert_id: Mapped[UUID] = mapped_column(primary_key=True)
    incident_id: Mapped[UUID]
    team_id: Mapped[UUID]
    organisation_id: Mapped[UUID]
    city_id: Mapped[UUID | None]
    staff_id: Mapped[UUID | None]
    exercise: Mapped[bool]
    due_in_s: Mapped[int]
    started_at: Mapped[datetime]
    checked_in_at: Mapped[datetime]
    due_at: Mapped[datetime]
    next_at: Mapped[datetime | None]
    overdue_at: Mapped[datetime | None]
    overdue_incident_id: Mapped[UUID | None]
    raised: Mapped[int] = mapped_column(server_default=text("0"))
    ended_at: Mapped[datetime | None]
