"""What providers of messages told us."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from waylight.db.models.base import Base


class ProviderNotice(Base):
    """A receipt that came before its attempt was written, or an answer by text; kept for days."""

    __tablename__ = "provider_notices"
    __table_args__ = (
        CheckConstraint("kind in ('receipt', 'answer')", name="kind"),
        Index(
            "ix_provider_notices_fingerprint",
            "fingerprint",
            "received_at",
            postgresql_where=text("fingerprint is not null"),
        ),
        Index("ix_provider_notices_received_at", "received_at"),
    )

    provider: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    ref: Mapped[str] = mapped_column(primary_key=True)
    received_at: Mapped[datetime]
    delivered: Mapped[bool | None]
    detail: Mapped[str | None]
    fingerprint: Mapped[bytes | None]
    outcome: Mapped[str | None]
