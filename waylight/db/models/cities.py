"""Cities and what is in them: areas, places, lines."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    func,
    literal_column,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from waylight.db.models.base import Base, BigInt, Id, Json, MultiPolygon, Polygon, Position


class City(Base):
    """A city: what its pack says, and a version that rises whenever the pack is loaded."""

    __tablename__ = "cities"

    id: Mapped[Id]
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    country: Mapped[str]
    time_zone: Mapped[str]
    holidays: Mapped[Json]
    languages: Mapped[list[str]]
    outline_code: Mapped[str]
    service_area_code: Mapped[str]
    control_room_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(
            "teams.id",
            name="fk_cities_control_room_id_teams",
            use_alter=True,
            deferrable=True,
            initially="DEFERRED",
        )
    )
    attribution: Mapped[list[str]]
    jurisdiction: Mapped[Json]
    contacts: Mapped[Json]
    contacts_verified_at: Mapped[date | None]
    bounds: Mapped[list[float]] = mapped_column(ARRAY(Double))
    pack_digest: Mapped[str]
    version: Mapped[BigInt] = mapped_column(server_default=text("1"))
    loaded_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Area(Base):
    """A polygon with a name: borough, outline, service area; or what an organisation drew."""

    __tablename__ = "areas"
    __table_args__ = (
        UniqueConstraint("city_id", "code"),
        Index(
            "ix_areas_organisation_id",
            "organisation_id",
            postgresql_where=text("organisation_id is not null"),
        ),
    )

    id: Mapped[Id]
    city_id: Mapped[UUID] = mapped_column(ForeignKey("cities.id"))
    code: Mapped[str]
    name: Mapped[str]
    kind: Mapped[str]
    demo: Mapped[bool] = mapped_column(server_default=text("false"))
    geom: Mapped[MultiPolygon]
    organisation_id: Mapped[UUID | None] = mapped_column(ForeignKey("organisations.id"))


class AreaPart(Base):
    """A piece of an area, small enough that asking whether it holds a point is cheap."""

    __tablename__ = "area_parts"
    __table_args__ = (Index("ix_area_parts_geom", "geom", postgresql_using="gist"),)

    area_id: Mapped[UUID] = mapped_column(
        ForeignKey("areas.id", ondelete="CASCADE"), primary_key=True
    )
    part: Mapped[int] = mapped_column(primary_key=True)
    geom: Mapped[Polygon]


class Place(Base):
    """A stop, station, stand or venue."""

    __tablename__ = "places"
    __table_args__ = (
        UniqueConstraint("city_id", "key"),
        Index("ix_places_position", "position", postgresql_using="gist"),
        Index("ix_places_stop_id", "stop_id"),
        Index("ix_places_codes", "codes", postgresql_using="gin"),
        Index(
            "ix_places_name",
            func.lower(literal_column("name")).label("lower_name"),
            postgresql_using="gin",
            postgresql_ops={"lower_name": "gin_trgm_ops"},
        ),
        Index("ix_places_kind_name", "kind", "name", "id"),
    )

    id: Mapped[Id]
    city_id: Mapped[UUID] = mapped_column(ForeignKey("cities.id"))
    key: Mapped[str]
    stop_id: Mapped[str | None]
    name: Mapped[str]
    source_name: Mapped[str]
    kind: Mapped[str]
    position: Mapped[Position]
    modes: Mapped[list[str]]
    lines: Mapped[list[str]]
    codes: Mapped[list[str]]
    area_id: Mapped[UUID | None] = mapped_column(ForeignKey("areas.id"))
    heading: Mapped[int | None]
    demo: Mapped[bool] = mapped_column(server_default=text("false"))


class Line(Base):
    """A line of public transport."""

    __tablename__ = "lines"

    city_id: Mapped[UUID] = mapped_column(ForeignKey("cities.id"), primary_key=True)
    line_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    mode: Mapped[str]


class LineStop(Base):
    """Which place comes where on a line."""

    __tablename__ = "line_stops"
    __table_args__ = (
        ForeignKeyConstraint(
            ["city_id", "line_id"], ["lines.city_id", "lines.line_id"], name="fk_line_stops_lines"
        ),
    )

    city_id: Mapped[UUID] = mapped_column(primary_key=True)
    line_id: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    place_id: Mapped[UUID] = mapped_column(ForeignKey("places.id"))
