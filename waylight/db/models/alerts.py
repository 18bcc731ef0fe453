"""Alerts and the deliveries that carry them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, desc, text
from sqlalchemy.orm import Mapped, mapped_column

from waylight.db.models.base import Base, Id, Json, SmallInt


class Alert(Base):
    """One team or hub told about one incident."""

    __tablename__ = "alerts"
    __table_args__ = (
        CheckConstraint("(team_id is null) <> (hub_id is null)", name="recipient"),
        CheckConstraint(
            "state in ('pending', 'delivered', 'acknowledged', 'en_route', 'on_scene', 'closed',"
            " 'declined', 'expired', 'withdrawn')",
            name="state",
        ),
        Index("ix_alerts_incident_id", "incident_id"),
        Index("ix_alerts_report_id", "report_id"),
        Index("ix_alerts_team_id", "team_id", desc("id")),
        Index("ix_alerts_organisation_id", "organisation_id", desc("id")),
        Index(
            "ix_alerts_live",
            "organisation_id",
            desc("id"),
            postgresql_where=text(
                "state in ('pending', 'delivered', 'acknowledged', 'en_route', 'on_scene')"
            ),
        ),
        Index(
            "ix_alerts_live",
            "organisation_id",
            desc("id"),
            postgresql_where=text(
                "state in ('pending', 'delivered', 'acknowledged', 'en_route', 'on_scene')"
            ),
        ),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[Id]
    incident_id: Mapped[UUID]
    report_id: Mapped[UUID]
    city_id: Mapped[UUID | None]
    organisation_id: Mapped[UUID]
    team_id: Mapped[UUID | None]
    hub_id: Mapped[UUID | None]
    role: Mapped[str]
    rank: Mapped[SmallInt]
    state: Mapped[str] = mapped_column(server_default=text("'pending'"))
    priority: Mapped[SmallInt]
    distance_m: Mapped[int | None]
    reasons: Mapped[Json]
    exercise: Mapped[bool]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[UUID | None]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))


class Delivery(Base):
    """One attempt chain of one alert over one channel; this row is the item in the queue."""

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint(
            "status in ('queued', 'sent', 'delivered', 'seen', 'failed', 'dropped')", name="status"
        ),
        Index(
            "ix_deliveries_due",
            "priority",
            "next_attempt_at",
            postgresql_where=text("status = 'queued'"),
        ),
        Index("ix_deliveries_alert_id", "alert_id"),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[Id]
    alert_id: Mapped[UUID]
    report_id: Mapped[UUID]
    channel: Mapped[str]
    message: Mapped[str]
    priority: Mapped[SmallInt]
    exercise: Mapped[bool]
    status: Mapped[str] = mapped_column(server_default=text("'queued'"))
    attempts: Mapped[SmallInt] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime | None]
    leased_until: Mapped[datetime | None]
    leased_by: Mapped[str | None]
    created_at: Mapped[datetime]
    attempted_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    detail: Mapped[str | None]
