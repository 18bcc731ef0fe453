"""What happened, who looked, and which workers live."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, desc, text
from sqlalchemy.orm import Mapped, mapped_column

from waylight.db.models.base import Base, BigInt, Id, Json, SmallInt


class Event(Base):
    """A fact in the past tense; `sequence` is its public number, given after the commit."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_unsequenced", "id", postgresql_where=text("sequence is null")),
        Index("ix_events_sequence", "sequence", postgresql_where=text("sequence is not null")),
        Index("ix_events_report_id", "report_id", "id"),
        Index("ix_events_incident_id", "incident_id", "id"),
        Index(
            "ix_events_told",
            "alert_id",
            postgresql_where=text("kind in ('alert.created', 'alert.updated')"),
        ),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[Id]
    sequence: Mapped[BigInt | None]
    kind: Mapped[str]
    at: Mapped[datetime]
    city_id: Mapped[UUID | None]
    organisation_id: Mapped[UUID | None]
    report_id: Mapped[UUID | None]
    incident_id: Mapped[UUID | None]
    alert_id: Mapped[UUID | None]
    staff_id: Mapped[UUID | None]
    data: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    exercise: Mapped[bool] = mapped_column(server_default=text("false"))


class EventSequencer(Base):
    """One row: the last number given."""

    __tablename__ = "event_sequencer"
    __table_args__ = (CheckConstraint("one", name="one"),)

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    last: Mapped[BigInt]


class AuditEntry(Base):
    """One look or act, mostly of one member of staff; never changed."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_organisation_id", "organisation_id", desc("id")),
        Index("ix_audit_entries_report_id", "report_id", "id"),
        Index("ix_audit_entries_staff_id", "staff_id", desc("id")),
        CheckConstraint("action ~ '^[a-z][a-z_.]{0,63}$'", name="action"),
        CheckConstraint("request_id ~ '^[A-Za-z0-9._-]{1,64}$'", name="request_id"),
        CheckConstraint("role ~ '^[a-z][a-z_]{0,31}(,[a-z][a-z_]{0,31}){0,9}$'", name="role"),
    )

    id: Mapped[Id]
    at: Mapped[datetime]
    staff_id: Mapped[UUID | None]
    organisation_id: Mapped[UUID | None]
    action: Mapped[str]
    report_id: Mapped[UUID | None]
    incident_id: Mapped[UUID | None]
    alert_id: Mapped[UUID | None]
    request_id: Mapped[str | None]
    key_id: Mapped[UUID | None]
    subject_id: Mapped[UUID | None]
    signature: Mapped[bytes | None]
    role: Mapped[str | None]


class AuditPosition(Base):
    """The place of an entry in the order in which entries were sealed."""

    __tablename__ = "audit_positions"

    position: Mapped[BigInt] = mapped_column(primary_key=True)
    entry_id: Mapped[UUID] = mapped_column(unique=True)
    is_signed: Mapped[bool]
    digest: Mapped[bytes]


class AuditSeal(Base):
    """A link of the chain over the audit log."""

    __tablename__ = "audit_seals"
    __table_args__ = (CheckConstraint("count = last_position - first_position + 1", name="count"),)

    number: Mapped[BigInt] = mapped_column(primary_key=True)
    first_position: Mapped[BigInt]
    last_position: Mapped[BigInt]
    count: Mapped[int]
    digest: Mapped[bytes]
    previous: Mapped[bytes]
    sealed_at: Mapped[datetime]
    unsigned_until: Mapped[datetime]
    key_version: Mapped[SmallInt]
    signature: Mapped[bytes]


class WorkerHeartbeat(Base):
    """A worker, and when it was last alive."""

    __tablename__ = "worker_heartbeats"

    worker_id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    started_at: Mapped[datetime]
    beat_at: Mapped[datetime]
