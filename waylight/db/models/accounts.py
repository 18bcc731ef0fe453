"""How people sign in: accounts, sessions, what an organisation demands, and wrong tries."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from waylight.db.models.base import Base, BigInt, SmallInt
from waylight.domain.roles import Role


class Account(Base):
    """How one person signs in. The address and the secret of the codes are sealed.

    `totp_pending` is a secret that was shown and not confirmed yet; `totp_step` is the last step of
    30 seconds whose code was used, so that none is used twice. With an invitation for a lost
    telephone the second factor goes when it is accepted: `totp_goes`.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        ForeignKeyConstraint(
            ["staff_id", "organisation_id"],
            ["staff.id", "staff.organisation_id"],
            name="accounts_staff_id_fkey",
        ),
        UniqueConstraint("organisation_id", "login_hash"),
        CheckConstraint(
            f"cardinality(roles) > 0 and roles <@ '{{{','.join(Role)}}}'::text[]", name="roles"
        ),
        Index("ix_accounts_login_hash", "login_hash"),
    )

    staff_id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"))
    login_hash: Mapped[bytes]
    key_version: Mapped[SmallInt]
    wrapped_key: Mapped[bytes]
    email: Mapped[bytes]
    password_hash: Mapped[str | None]
    password_set_at: Mapped[datetime | None]
    totp_secret: Mapped[bytes | None]
    totp_since: Mapped[datetime | None]
    totp_pending: Mapped[bytes | None]
    totp_step: Mapped[BigInt | None]
    recovery_hashes: Mapped[list[bytes]] = mapped_column(server_default=sql("'{}'"))
    invitation_hash: Mapped[bytes | None] = mapped_column(unique=True)
    invited_until: Mapped[datetime | None]
    totp_goes: Mapped[bool] = mapped_column(server_default=sql("false"))
    roles: Mapped[list[str]]
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    version: Mapped[int] = mapped_column(server_default=sql("1"))


class SignedIn(Base):
    """A session: what its key of the same id has beside those of programs and of no end."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_staff_id", "staff_id", "id"),
        Index(
            "ix_sessions_identity_provider_id",
            "identity_provider_id",
            postgresql_where=sql("identity_provider_id is not null"),
        ),
    )

    id: Mapped[UUID] = mapped_column(
        ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True
    )
    staff_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.staff_id"))
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    idle_s: Mapped[int]
    fresh_until: Mapped[datetime | None]
    identity_provider_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("identity_providers.id", ondelete="SET NULL")
    )
    second_factor: Mapped[bool] = mapped_column(server_default=sql("false"))


class SignInPolicy(Base):
    """What an organisation demands of its people; none is nothing beyond what its roles do."""

    __tablename__ = "sign_in_policies"

    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"), primary_key=True)
    requires_totp: Mapped[bool]
    version: Mapped[int] = mapped_column(server_default=sql("1"))


class SignInAttempts(Base):
    """How often somebody tried in vain; who it is, only the salt of the day could tell."""

    __tablename__ = "sign_in_attempts"
    __table_args__ = (Index("ix_sign_in_attempts_last_at", "last_at"),)

    key: Mapped[bytes] = mapped_column(primary_key=True)
    failures: Mapped[int]
    last_at: Mapped[datetime]


class SignInSalt(Base):
    """One row: today's salt. Yesterday's is nowhere."""

    __tablename__ = "sign_in_salt"
    __table_args__ = (CheckConstraint("one", name="one"),)

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=sql("true"))
    day: Mapped[date]
    salt: Mapped[bytes]
