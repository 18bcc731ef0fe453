"""OpenID providers of an organisation, whom they vouch for, and sign-ins that were used up."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Computed, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from waylight.db.models.base import Base, Id, Json, SmallInt


class IdentityProvider(Base):
    """One provider. The secret of our client there is sealed under a key of this row alone."""

    __tablename__ = "identity_providers"
    __table_args__ = (
        UniqueConstraint("id", "organisation_id"),
        UniqueConstraint("organisation_id", "issuer", "client_id"),
    )

    id: Mapped[Id]
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"))
    name: Mapped[str]
    issuer: Mapped[str]
    client_id: Mapped[str]
    key_version: Mapped[SmallInt]
    wrapped_key: Mapped[bytes]
    client_secret: Mapped[bytes | None]
    has_client_secret: Mapped[bool] = mapped_column(
        Computed("client_secret is not null", persisted=True)
    )
    redirect_uris: Mapped[list[str]]
    scopes: Mapped[list[str]]
    role_mapping: Mapped[Json]
    email_domains: Mapped[list[str]]
    second_factor_values: Mapped[list[str]]
    enabled: Mapped[bool]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    version: Mapped[int] = mapped_column(server_default=sql("1"))


class Identity(Base):
    """Which person a subject of a provider is, by a hash of both."""

    __tablename__ = "identities"
    __table_args__ = (
        ForeignKeyConstraint(
            ["provider_id", "organisation_id"],
            ["identity_providers.id", "identity_providers.organisation_id"],
            name="identities_provider_id_fkey",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["staff_id", "organisation_id"],
            ["staff.id", "staff.organisation_id"],
            name="identities_staff_id_organisation_id_fkey",
        ),
        UniqueConstraint("provider_id", "staff_id"),
        Index("ix_identities_staff_id", "staff_id"),
    )

    provider_id: Mapped[UUID] = mapped_column(primary_key=True)
    subject_hash: Mapped[bytes] = mapped_column(primary_key=True)
    staff_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.staff_id"))
    organisation_id: Mapped[UUID]
    linked_at: Mapped[datetime]
    last_used_at: Mapped[datetime]


class SpentSignIn(Base):
    """A sign-in that was used up, until it would be over anyway."""

    __tablename__ = "spent_sign_ins"
    __table_args__ = (Index("ix_spent_sign_ins_expires_at", "expires_at"),)

    id: Mapped[bytes] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]
