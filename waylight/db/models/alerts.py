"""Alerts and the deliveries that carry them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, desc, text
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
        Index(
            "ix_alerts_walks",
            "id",
            postgresql_where=text(
                "hub_id is not null and walk_ended_at is null"
                " and state in ('pending', 'delivered', 'acknowledged', 'en_route', 'on_scene',"
                " 'declined')"
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
    off_duty_at: Mapped[datetime | None]
    walk_checked_at: Mapped[datetime | None]
    walk_ended_at: Mapped[datetime | None]
    handed_from: Mapped[UUID | None]


class HubArrival(Base):
    """What a hub logged of somebody it was told to expect. No story."""

    __tablename__ = "hub_arrivals"
    __table_args__ = (
        CheckConstraint(
            "status in ('arrived', 'did_not_arrive', 'left_safely', 'handed_to_police',"
            " 'handed_to_ambulance')",
            name="status",
        ),
        Index("ix_hub_arrivals_alert_id", "alert_id", "id"),
        Index("ix_hub_arrivals_report_id", "report_id"),
    )

    id: Mapped[Id]
    alert_id: Mapped[UUID]
    report_id: Mapped[UUID]
    hub_id: Mapped[UUID] = mapped_column(ForeignKey("hubs.id"))
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"))
    status: Mapped[str]
    at: Mapped[datetime]
    logged_at: Mapped[datetime]
    logged_by: Mapped[UUID] = mapped_column(ForeignKey("staff.id"))


class Engagement(Base):
    """A team on the way to, or on the scene of, an incident; kept by a trigger on `alerts`."""

    __tablename__ = "engagements"
    __table_args__ = (Index("ix_engagements_team_id", "team_id"),)

    alert_id: Mapped[UUID] = mapped_column(primary_key=True)
    team_id: Mapped[UUID] = mapped_column(ForeignKey("teams.id"))
    incident_id: Mapped[UUID]
    exercise: Mapped[bool]
    since: Mapped[datetime]


class Delivery(Base):
    """One attempt chain of one alert over one channel; this row is the item in the queue."""

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint(
            "status in ('queued', 'sent', 'delivered', 'seen', 'failed', 'dropped')", name="status"
        ),
        Index(
            "ix_deliveries_due",
            "channel",
            "exercise",
            "priority",
            "next_attempt_at",
            postgresql_where=text("status = 'queued'"),
        ),
        Index("ix_deliveries_failed", "id", postgresql_where=text("status = 'failed'")),
        Index("ix_deliveries_alert_id", "alert_id"),
        Index(
            "ix_deliveries_target_id",
            "target_id",
            "id",
            postgresql_where=text("target_id is not null"),
        ),
        Index(
            "ix_deliveries_reply_code",
            "reply_code",
            postgresql_where=text("reply_code is not null"),
        ),
        Index(
            "ix_deliveries_webhook_due",
            "target_id",
            "exercise",
            "priority",
            "next_attempt_at",
            postgresql_where=text("status = 'queued' and channel = 'webhook'"),
        ),
        Index(
            "ix_deliveries_webhook_leased",
            "target_id",
            postgresql_where=text("channel = 'webhook' and leased_by is not null"),
        ),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[Id]
    alert_id: Mapped[UUID | None]
    report_id: Mapped[UUID | None]
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
    target_id: Mapped[UUID | None]
    event_id: Mapped[UUID | None]
    reply_code: Mapped[str | None]


class DeliveryAttempt(Base):
    """One attempt to send one message: when, how long, by whom, and what became of it."""

    __tablename__ = "delivery_attempts"
    __table_args__ = (
        Index("ix_delivery_attempts_delivery_id", "delivery_id", "id"),
        Index(
            "ix_delivery_attempts_provider_ref",
            "provider_ref",
            postgresql_where=text("provider_ref is not null"),
        ),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[Id]
    delivery_id: Mapped[UUID]
    attempt: Mapped[SmallInt]
    at: Mapped[datetime]
    duration_ms: Mapped[int]
    worker_id: Mapped[str]
    provider: Mapped[str | None]
    provider_ref: Mapped[str | None]
    outcome: Mapped[str]
    detail: Mapped[str | None]


class Address(Base):
    """Where one recipient is reached on one channel; what leads there is sealed."""

    __tablename__ = "addresses"
    __table_args__ = (
        CheckConstraint("(team_id is null) <> (hub_id is null)", name="recipient"),
        CheckConstraint("state in ('active', 'paused', 'gone')", name="state"),
        Index(
            "uq_addresses_team_id",
            "team_id",
            "channel",
            "fingerprint",
            unique=True,
            postgresql_where=text("state <> 'gone' and team_id is not null"),
        ),
        Index(
            "uq_addresses_hub_id",
            "hub_id",
            "channel",
            "fingerprint",
            unique=True,
            postgresql_where=text("state <> 'gone' and hub_id is not null"),
        ),
        Index("ix_addresses_fingerprint", "fingerprint"),
        Index("ix_addresses_organisation_id", "organisation_id", "id"),
        Index(
            "ix_addresses_api_key_id",
            "api_key_id",
            postgresql_where=text("api_key_id is not null"),
        ),
        Index("ix_addresses_staff_id", "staff_id", postgresql_where=text("staff_id is not null")),
    )

    id: Mapped[Id]
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"))
    team_id: Mapped[UUID | None] = mapped_column(ForeignKey("teams.id"))
    hub_id: Mapped[UUID | None] = mapped_column(ForeignKey("hubs.id"))
    staff_id: Mapped[UUID | None] = mapped_column(ForeignKey("staff.id"))
    channel: Mapped[str]
    name: Mapped[str]
    key_version: Mapped[SmallInt]
    wrapped_key: Mapped[bytes | None]
    address: Mapped[bytes]
    fingerprint: Mapped[bytes]
    state: Mapped[str] = mapped_column(server_default=text("'active'"))
    created_at: Mapped[datetime]
    created_by: Mapped[UUID | None]
    last_sent_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    api_key_id: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id"))
    expires_at: Mapped[datetime | None]
    timeouts: Mapped[SmallInt] = mapped_column(server_default=text("0"))
    rests_until: Mapped[datetime | None]
