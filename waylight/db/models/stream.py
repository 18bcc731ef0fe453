"""Tickets of the live stream."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from waylight.db.models.base import Base


class StreamTicket(Base):
    """Opens the stream once within half a minute; only the hash of it is here."""

    __tablename__ = "stream_tickets"
    __table_args__ = (
        Index("ix_stream_tickets_key_id", "key_id"),
        Index("ix_stream_tickets_expires_at", "expires_at"),
    )

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    team_id: Mapped[UUID | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
