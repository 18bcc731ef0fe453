"""Who helps: organisations, their teams, hubs, people and keys."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import REAL, CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from waylight.db.models.base import Base, Id, Json, MaybePosition, Position, Times


class Organisation(Base):
    """An operator, police force, council or charity: the tenant.

    `edited` names the columns that staff set and a pack leaves alone; `escalation` is how many
    seconds a rung of theirs has to answer, by priority, where they say otherwise.
    """

    __tablename__ = "organisations"
    __table_args__ = (
        UniqueConstraint("city_id", "key"),
        CheckConstraint(
            "escalation is null or (jsonb_typeof(escalation) = 'object'"
            " and escalation - '{1,2,3}'::text[] = '{}'"
            " and coalesce((escalation->>'1')::numeric between 20 and 90, true)"
            " and coalesce((escalation->>'2')::numeric between 60 and 300, true)"
            " and coalesce((escalation->>'3')::numeric between 120 and 1800, true))",
            name="escalation",
        ),
    )

    id: Mapped[Id]
    city_id: Mapped[UUID] = mapped_column(ForeignKey("cities.id"))
    key: Mapped[str]
    name: Mapped[str]
    kind: Mapped[str]
    contact: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    demo: Mapped[bool] = mapped_column(server_default=text("false"))
    edited: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    escalation: Mapped[Json | None]


class Team(Base):
    """A transport safety team, and what its pack and its staff say of it.

    `on_shift_during` is its shifts expanded up to `expanded_until`: those its staff set in `Shift`,
    else `shifts`, the pack's rule. `staff_capabilities`, when its staff set them, hold in place of
    the pack's `capabilities`: a code and when it ends, null never. `edited` names what else staff
    set and a pack leaves alone: columns, and `coverages` for all of them.
    """

    __tablename__ = "teams"
    __table_args__ = (
        UniqueConstraint("city_id", "key"),
        CheckConstraint("duty_status in ('available', 'busy', 'off')", name="duty_status"),
        Index("ix_teams_organisation_id", "organisation_id"),
    )

    id: Mapped[Id]
    city_id: Mapped[UUID] = mapped_column(ForeignKey("cities.id"))
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"))
    key: Mapped[str]
    name: Mapped[str]
    kind: Mapped[str]
    base: Mapped[Position]
    capabilities: Mapped[list[str]]
    staff_capabilities: Mapped[Json | None]
    shifts: Mapped[str]
    on_shift_during: Mapped[Times | None]
    expanded_until: Mapped[datetime | None]
    duty_status: Mapped[str] = mapped_column(server_default=text("'available'"))
    duty_until: Mapped[datetime | None]
    position: Mapped[MaybePosition]
    position_at: Mapped[datetime | None]
    position_accuracy_m: Mapped[float | None] = mapped_column(REAL)
    version: Mapped[int] = mapped_column(server_default=text("1"))
    retired: Mapped[bool] = mapped_column(server_default=text("false"))
    demo: Mapped[bool] = mapped_column(server_default=text("false"))
    edited: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))


class Shift(Base):
    """Hours of a team that its staff set: a recurring rule, or one extra or cancelled stretch."""

    __tablename__ = "shifts"
    __table_args__ = (
        CheckConstraint("kind in ('recurring', 'extra', 'cancelled')", name="kind"),
        CheckConstraint(
            "case kind when 'recurring' then rule is not null and starts_at is null and ends_at is"
            " null else rule is null and starts_at is not null and ends_at is not null"
            " and starts_at < ends_at end",
            name="when",
        ),
        Index("ix_shifts_team_id", "team_id", "id"),
    )

    id: Mapped[Id]
    team_id: Mapped[UUID] = mapped_column(ForeignKey("teams.id"))
    kind: Mapped[str]
    rule: Mapped[str | None]
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    name: Mapped[str | None]
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime]
    version: Mapped[int] = mapped_column(server_default=text("1"))


class Coverage(Base):
    """A rule: this team may be alerted in this area; null means any."""

    __tablename__ = "coverages"
    __table_args__ = (
        Index("ix_coverages_area_id", "area_id"),
        Index("ix_coverages_team_id", "team_id"),
    )

    id: Mapped[Id]
    team_id: Mapped[UUID] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"))
    area_id: Mapped[UUID] = mapped_column(ForeignKey("areas.id", ondelete="CASCADE"))
    modes: Mapped[list[str] | None]
    routes: Mapped[list[str] | None]
    category_groups: Mapped[list[str] | None]
    schedule: Mapped[str | None]
    active_during: Mapped[Times | None]
    expanded_until: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("staff.id"))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Hub(Base):
    """A safe-travel hub; `open_during` is `opening_hours` expanded up to `expanded_until`.

    Overrides are folded into it. `edited` names the columns that staff set and a pack leaves alone.
    `position_at` is None where the position is the pack's; `anchor`: where it was at `moved_at`.
    """

    __tablename__ = "hubs"
    __table_args__ = (
        UniqueConstraint("city_id", "key"),
        Index("ix_hubs_position", "position", postgresql_using="gist"),
    )

    id: Mapped[Id]
    city_id: Mapped[UUID] = mapped_column(ForeignKey("cities.id"))
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"))
    key: Mapped[str]
    name: Mapped[str]
    kind: Mapped[str]
    mobile: Mapped[bool] = mapped_column(server_default=text("false"))
    position: Mapped[Position]
    address: Mapped[str]
    opening_hours: Mapped[str]
    open_during: Mapped[Times | None]
    expanded_until: Mapped[datetime | None]
    services: Mapped[list[str]]
    access: Mapped[list[str]]
    languages: Mapped[list[str]]
    phone: Mapped[str | None]
    retired: Mapped[bool] = mapped_column(server_default=text("false"))
    demo: Mapped[bool] = mapped_column(server_default=text("false"))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    version: Mapped[int] = mapped_column(server_default=text("1"))
    position_at: Mapped[datetime | None]
    anchor: Mapped[MaybePosition]
    moved_at: Mapped[datetime | None]
    edited: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))


class HubOverride(Base):
    """A stretch of time in which a hub is open or closed whatever its hours say."""

    __tablename__ = "hub_overrides"
    __table_args__ = (
        CheckConstraint("status in ('open', 'closed')", name="status"),
        CheckConstraint("ends_at >= starts_at", name="ends_at"),
        Index("ix_hub_overrides_hub_id", "hub_id", "ends_at"),
        Index("ix_hub_overrides_untold", "ends_at", postgresql_where=text("end_told_at is null")),
    )

    id: Mapped[Id]
    hub_id: Mapped[UUID] = mapped_column(ForeignKey("hubs.id"))
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"))
    status: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    reason: Mapped[str]
    set_by: Mapped[UUID] = mapped_column(ForeignKey("staff.id"))
    end_told_at: Mapped[datetime | None]


class StaffMember(Base):
    """A person who works for an organisation."""

    __tablename__ = "staff"
    __table_args__ = (UniqueConstraint("id", "organisation_id"),)

    id: Mapped[Id]
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"))
    name: Mapped[str]
    role: Mapped[str]
    demo: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ApiKey(Base):
    """A key of a person or of a program; only the hash of its token is here.

    `old_token_hash` is that of the token before, which works until `old_token_until`.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint(
            "(kind = 'staff' and staff_id is not null and organisation_id is not null)"
            " or (kind = 'client' and staff_id is null)",
            name="kind",
        ),
        CheckConstraint("(old_token_hash is null) = (old_token_until is null)", name="old_token"),
        CheckConstraint("kind = 'client' or allowed_origins = '{}'", name="allowed_origins"),
        Index(
            "ix_api_keys_organisation_id",
            "organisation_id",
            "id",
            postgresql_where=text("kind = 'client'"),
        ),
    )

    id: Mapped[Id]
    kind: Mapped[str]
    name: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    staff_id: Mapped[UUID | None] = mapped_column(ForeignKey("staff.id"))
    organisation_id: Mapped[UUID | None] = mapped_column(ForeignKey("organisations.id"))
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_on: Mapped[date | None]
    old_token_hash: Mapped[bytes | None] = mapped_column(unique=True)
    old_token_until: Mapped[datetime | None]
    rotated_at: Mapped[datetime | None]
    allowed_origins: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    version: Mapped[int] = mapped_column(server_default=text("1"))


class AccessToken(Base):
    """A short-lived token that a client got by OAuth (RFC 6749, 4.4); only its hash is here."""

    __tablename__ = "access_tokens"
    __table_args__ = (
        Index("ix_access_tokens_key_id", "key_id"),
        Index("ix_access_tokens_expires_at", "expires_at"),
    )

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
