"""What every table shares: names of constraints, types of columns, the two kinds of position."""

from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from geoalchemy2 import Geography, Geometry, WKBElement
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, TSTZMULTIRANGE, Range
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMING = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
"""Keys and references carry PostgreSQL's own names, the rest a prefix that says what they are."""

BigInt = Annotated[int, mapped_column(BigInteger)]
SmallInt = Annotated[int, mapped_column(SmallInteger)]
Json = Any
"""JSON of any shape."""

Times = Annotated[list[Range[datetime]], mapped_column(TSTZMULTIRANGE)]
"""The stretches of time that opening hours or a schedule were expanded into."""

Position = Annotated[WKBElement, mapped_column(Geography("POINT", 4326, spatial_index=False))]
"""A point whose distances come in metres. Indexes are declared by the tables, under their names."""

MaybePosition = Annotated[
    WKBElement | None, mapped_column(Geography("POINT", 4326, spatial_index=False))
]
"""The same where it may be unknown. GeoAlchemy2 keeps "not null" in the type, so one type cannot
serve both kinds of column."""

Polygon = Annotated[WKBElement, mapped_column(Geometry("POLYGON", 4326, spatial_index=False))]
MultiPolygon = Annotated[
    WKBElement, mapped_column(Geometry("MULTIPOLYGON", 4326, spatial_index=False))
]

Id = Annotated[UUID, mapped_column(primary_key=True, server_default=text("uuid_v7()"))]
"""A UUIDv7 made by the database."""


class Base(DeclarativeBase):
    """The declarative base of every table."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {
        str: Text,
        int: Integer,
        bytes: LargeBinary,
        UUID: Uuid,
        datetime: TIMESTAMP(timezone=True),
        list[str]: ARRAY(Text),
        list[bytes]: ARRAY(LargeBinary),
        Any: JSONB,
    }
