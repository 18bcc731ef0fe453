"""Incidents: the real-world events that reports are about, and what staff write of them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
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
        Index(
            "ix_incidents_merged_into",
            "merged_into",
            postgresql_where=text("merged_into is not null"),
        ),
        Index(
            "ix_incidents_split_from",
            "split_from",
            postgresql_where=text("split_from is not null"),
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
    merged_into: Mapped[UUID | None]
    split_from: Mapped[UUID | None]


class IncidentNote(Base):
    """What a member of staff wrote, closed by a key of this note (see `waylight.vault`)."""

    __tablename__ = "incident_notes"
    __table_args__ = (
        CheckConstraint(
            "kind in ('note', 'decline', 'close', 'hand_over', 'reopen', 'merge', 'split',"
            " 'revocation')",
            name="kind",
        ),
        UniqueConstraint("retry_hash"),
        Index("ix_incident_notes_incident_id", "incident_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    incident_id: Mapped[UUID]
    alert_id: Mapped[UUID | None]
    organisation_id: Mapped[UUID]
    staff_id: Mapped[UUID]
    kind: Mapped[str]
    at: Mapped[datetime]
    key_version: Mapped[SmallInt]
    wrapped_key: Mapped[bytes | None]
    note: Mapped[bytes | None]
    retry_hash: Mapped[bytes | None]


class IncidentParty(Base):
    """Who acted or worked on an incident, or watched over it, before something left it."""

    __tablename__ = "incident_parties"
    __table_args__ = (CheckConstraint("part in ('acts', 'works', 'oversees')", name="part"),)

    incident_id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID] = mapped_column(primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)
