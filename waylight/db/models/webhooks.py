"""Endpoints of partners, and how far events were looked at for them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from waylight.db.models.base import Base, BigInt, Id, SmallInt


class Webhook(Base):
    """One endpoint. Its URL and its secrets are sealed under a key of this row alone."""

    __tablename__ = "webhooks"
    __table_args__ = (
        CheckConstraint("state in ('active', 'paused', 'disabled')", name="state"),
        Index("ix_webhooks_organisation_id", "organisation_id", "id"),
    )

    id: Mapped[Id]
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"))
    key_version: Mapped[SmallInt]
    wrapped_key: Mapped[bytes]
    url: Mapped[bytes]
    secret: Mapped[bytes]
    old_secret: Mapped[bytes | None]
    old_secret_until: Mapped[datetime | None]
    event_types: Mapped[list[str]]
    description: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=text("'active'"))
    starts_after: Mapped[BigInt]
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    failing_since: Mapped[datetime | None]
    rests_until: Mapped[datetime | None]
    last_delivered_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    version: Mapped[int] = mapped_column(server_default=text("1"))


class WebhookCursor(Base):
    """One row: the number of the last event that was queued for whoever wants it."""

    __tablename__ = "webhook_cursor"
    __table_args__ = (CheckConstraint("one", name="one"),)

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    last: Mapped[BigInt]
