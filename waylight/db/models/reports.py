"""Reports, their secrets, their receipts, and who may see them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from waylight.db.models.base import Base, BigInt, Id, Json, MaybePosition, SmallInt


class Report(Base):
    """What one passenger sent, without any word of theirs."""

    __tablename__ = "reports"
    __table_args__ = (
        CheckConstraint("priority between 1 and 4", name="priority"),
        CheckConstraint("status in ('routed', 'recorded', 'unrouted')", name="status"),
        Index("ix_reports_incident_id", "incident_id"),
        Index("ix_reports_unrouted", "id", postgresql_where=text("status = 'unrouted'")),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    city_id: Mapped[UUID | None]
    received_at: Mapped[datetime]
    recorded_at: Mapped[datetime | None]
    happened_from: Mapped[datetime | None]
    happened_to: Mapped[datetime | None]
    happened_estimated: Mapped[bool]
    happening: Mapped[str]
    age_s: Mapped[int]
    categories: Mapped[list[str]]
    category_groups: Mapped[list[str]]
    perspective: Mapped[str]
    in_danger: Mapped[bool | None]
    hurt_or_unwell: Mapped[bool | None]
    weapon_seen: Mapped[bool | None]
    person_nearby: Mapped[bool | None]
    under_18: Mapped[bool | None]
    wants: Mapped[list[str]]
    needs: Mapped[list[str]]
    share_with: Mapped[list[str]]
    language: Mapped[str | None]
    position: Mapped[MaybePosition]
    radius_m: Mapped[float | None]
    location_source: Mapped[str]
    location_method: Mapped[str | None]
    fixed_at: Mapped[datetime | None]
    place_id: Mapped[UUID | None]
    area_id: Mapped[UUID | None]
    cell_r7: Mapped[BigInt | None]
    cell_r9: Mapped[BigInt | None]
    mode: Mapped[str | None]
    route_id: Mapped[str | None]
    direction: Mapped[str | None]
    vehicle_id: Mapped[str | None]
    carriage: Mapped[str | None]
    boarded_stop_id: Mapped[str | None]
    next_stop_id: Mapped[str | None]
    priority: Mapped[SmallInt]
    urgency: Mapped[str]
    severity: Mapped[str]
    certainty: Mapped[str]
    reasons: Mapped[Json]
    routing: Mapped[Json]
    warnings: Mapped[Json]
    status: Mapped[str]
    incident_id: Mapped[UUID | None]
    joined: Mapped[bool] = mapped_column(server_default=text("false"))
    linked_report_id: Mapped[UUID | None]
    client_id: Mapped[UUID | None]
    exercise: Mapped[bool]
    hoax: Mapped[bool] = mapped_column(server_default=text("false"))
    withdrawn_at: Mapped[datetime | None]
    held: Mapped[bool] = mapped_column(server_default=text("false"))


class ReportSecret(Base):
    """The passenger's own words, closed by a key of this report (see `waylight.vault`)."""

    __tablename__ = "report_secrets"
    __table_args__ = ({"postgresql_partition_by": "RANGE (report_id)"},)

    report_id: Mapped[UUID] = mapped_column(primary_key=True)
    key_version: Mapped[SmallInt]
    wrapped_key: Mapped[bytes | None]
    narrative: Mapped[bytes | None]
    description_of_person: Mapped[bytes | None]
    contact: Mapped[bytes | None]
    location_description: Mapped[bytes | None]
    rejected: Mapped[bytes | None]


class ReportRedaction(Base):
    """What readers get instead of one text of a report, closed by the report's own key."""

    __tablename__ = "report_redactions"
    __table_args__ = (
        CheckConstraint(
            "field in ('narrative', 'description_of_person', 'location_description')",
            name="field",
        ),
        Index("ix_report_redactions_report_id", "report_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    report_id: Mapped[UUID]
    field: Mapped[str]
    organisation_id: Mapped[UUID]
    staff_id: Mapped[UUID]
    at: Mapped[datetime]
    redacted: Mapped[bytes]
    reason: Mapped[bytes]


class Receipt(Base):
    """The keyed hash of a receipt, and the report that it opens."""

    __tablename__ = "receipts"
    __table_args__ = (Index("ix_receipts_report_id", "report_id"),)

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    report_id: Mapped[UUID]
    key_version: Mapped[SmallInt]
    created_at: Mapped[datetime]


class IdempotencyKey(Base):
    """What was answered to a request, so that a retry gets the same."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_created_at", "created_at"),)

    key_hash: Mapped[bytes] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(primary_key=True)
    report_id: Mapped[UUID]
    answer: Mapped[Json]
    outcome: Mapped[Json | None]
    created_at: Mapped[datetime]


class Grant(Base):
    """Lets an organisation see a report, until it is revoked."""

    __tablename__ = "grants"
    __table_args__ = (
        CheckConstraint("cause in ('routing', 'consent', 'hand_over', 'oversight')", name="cause"),
        CheckConstraint("level in ('full', 'heads_up')", name="level"),
        Index("ix_grants_organisation_id", "organisation_id", "report_id"),
        {"postgresql_partition_by": "RANGE (report_id)"},
    )

    report_id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID] = mapped_column(primary_key=True)
    cause: Mapped[str] = mapped_column(primary_key=True)
    level: Mapped[str]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]


class PastGrant(Base):
    """What a grant was before it was given again: never changed."""

    __tablename__ = "past_grants"
    __table_args__ = (Index("ix_past_grants_report_id", "report_id"),)

    id: Mapped[Id]
    report_id: Mapped[UUID]
    organisation_id: Mapped[UUID]
    cause: Mapped[str]
    level: Mapped[str]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    revoked_at: Mapped[datetime]
    revoked_by: Mapped[str | None]
