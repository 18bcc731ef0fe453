"""A small city with three teams, a control room and a hub, and what is done in it.

From the spot of every report the police's first team is the nearest, then the operator's, then the
police's second: that is the ladder, with the control room below it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from tests.tokens import token
from waylight.config import Settings
from waylight.db.session import Database
from waylight.domain.alerts import AlertDetail
from waylight.domain.geo import Point
from waylight.domain.principals import Kind, Principal
from waylight.domain.reports import LocationClaim, NewReport, ReportReceipt, Submission
from waylight.services import alerts
from waylight.services.reports import submit_reports
from waylight.vault import Vault

SPOT = Point(-0.1426, 51.5390)
NOW = datetime.now(UTC).replace(microsecond=0)
"""Of today: rows must fall into partitions that exist."""

SCOPES = frozenset(
    {
        "alerts:read",
        "alerts:act",
        "reports:read",
        "teams:duty",
        "teams:manage",
        "hubs:manage",
        "webhooks:manage",
        "exercise",
    }
)

P1 = NewReport(categories=("being_followed",), in_danger=True, narrative="He follows me.")
P2 = NewReport(categories=("being_followed",), narrative="A man followed me.")
P4 = NewReport(categories=("poor_lighting",))


@dataclass(frozen=True)
class Desk:
    """The city of a test: ids, people, and a clock that stands still."""

    database: Database
    vault: Vault
    settings: Settings
    police: Principal
    operator: Principal
    control: Principal
    hub_host: Principal
    first: UUID
    second: UUID
    third: UUID
    room: UUID
    hub: UUID

    def report(
        self, report: NewReport = P2, *, at: Point = SPOT, now: datetime = NOW
    ) -> ReportReceipt:
        """Sends a report from a spot."""
        placed = replace(report, location=LocationClaim(point=at))
        submission = Submission(report=placed, received_at=now, principal=self.control)
        (answer,) = submit_reports(self.database, self.vault, self.settings, [submission])
        return answer

    def alert_of(self, recipient: UUID) -> UUID:
        """The newest alert of a team or a hub."""
        found: UUID = self.rows(
            "select id from alerts where %s in (team_id, hub_id) order by id desc", recipient
        )[0]["id"]
        return found

    def states(self) -> dict[UUID, str]:
        """The state of every team's newest alert."""
        return {
            row["team_id"]: row["state"]
            for row in self.rows("select team_id, state from alerts order by id")
            if row["team_id"]
        }

    def incident(self) -> dict[str, Any]:
        """The one incident there is."""
        (found,) = self.rows("select * from incidents")
        return found

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """Events of these kinds, of all without any, oldest first."""
        return self.rows(
            "select * from events where cardinality(%s::text[]) = 0 or kind = any (%s) order by id",
            list(kinds),
            list(kinds),
        )

    def kinds(self) -> list[str]:
        """What has happened."""
        return [row["kind"] for row in self.events()]

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows as the owner of all tables sees them."""
        with self.database.owner() as conn:
            cursor = conn.execute(statement, values)
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def do(self, statement: str, *values: Any) -> None:
        """Changes rows as the owner of all tables."""
        with self.database.owner() as conn:
            conn.execute(statement, values)

    def climb(self, now: datetime = NOW, **others: Any) -> int:
        """One sweep of the ladder."""
        return alerts.climb(self.database, channels=self.settings.channels, now=now, **others)

    def acknowledge(
        self, who: Principal, alert_id: UUID, *, now: datetime = NOW, **others: Any
    ) -> AlertDetail:
        """A person says: we have it."""
        return alerts.acknowledge(
            self.database, self.vault, principal=who, alert_id=alert_id, now=now, **others
        )

    def decline(
        self, who: Principal, alert_id: UUID, *, now: datetime = NOW, **others: Any
    ) -> AlertDetail:
        """A person says: we cannot."""
        return alerts.decline(
            self.database,
            self.vault,
            principal=who,
            alert_id=alert_id,
            now=now,
            channels=self.settings.channels,
            **others,
        )

    def read(self, who: Principal, alert_id: UUID, *, now: datetime = NOW) -> AlertDetail:
        """A person opens an alert."""
        return alerts.read_alert(
            self.database, self.vault, principal=who, alert_id=alert_id, now=now
        )


def open_desk(database: Database, vault: Vault, settings: Settings) -> Desk:
    """Builds the city, with everybody on duty."""
    with database.owner() as conn:

        def one(statement: str, *values: Any) -> UUID:
            row = conn.execute(statement, values).fetchone()
            assert row is not None
            found: UUID = row[0]
            return found

        city = one(
            """
            insert into cities (slug, name, country, time_zone, holidays, languages, outline_code,
                service_area_code, attribution, jurisdiction, contacts, bounds, pack_digest)
            values ('desk', 'Desk', 'GB', 'Europe/London', %s, '{en}', 'all', 'all', '{}', '[]',
                    '{"emergency": [], "support": []}', '{-1,51,1,52}', '')
            returning id
            """,
            Jsonb({"country": "GB", "subdivision": "ENG"}),
        )
        square = "SRID=4326;MULTIPOLYGON(((-1 51, 1 51, 1 52, -1 52, -1 51)))"
        area = one(
            "insert into areas (city_id, code, name, kind, geom)"
            " values (%s, 'all', 'All', 'service_area', %s::geometry) returning id",
            city,
            square,
        )
        conn.execute(
            "insert into area_parts select %s, 0, (st_dump(%s::geometry)).geom", [area, square]
        )

        def organisation(key: str, kind: str) -> UUID:
            return one(
                "insert into organisations (city_id, key, name, kind) values (%s, %s, %s, %s)"
                " returning id",
                city,
                key,
                key.title(),
                kind,
            )

        def person(works_for: UUID, name: str, role: str) -> Principal:
            staff_id = one(
                "insert into staff (organisation_id, name, role) values (%s, %s, %s) returning id",
                works_for,
                name,
                role,
            )
            return Principal(
                kind=Kind.STAFF,
                name=name,
                organisation_id=works_for,
                staff_id=staff_id,
                role=role,
                roles=(role,),
                scopes=SCOPES,
            )

        def team(works_for: UUID, key: str, kind: str, *, east: float) -> UUID:
            found = one(
                """
                insert into teams (city_id, organisation_id, key, name, kind, base, capabilities,
                                   shifts, on_shift_during, expanded_until)
                values (%s, %s, %s, %s, %s, %s::geography, '{safeguarding}', '24/7', '{(,)}',
                        %s) returning id
                """,
                city,
                works_for,
                key,
                key.title(),
                kind,
                Point(SPOT.lon + east, SPOT.lat).ewkt(),
                NOW + timedelta(days=40),
            )
            if kind == "field":
                conn.execute(
                    "insert into coverages (team_id, area_id) values (%s, %s)", [found, area]
                )
            return found

        police = organisation("police", "police")
        operator = organisation("operator", "operator")
        control = organisation("control", "control_room")
        friends = organisation("friends", "charity")
        room = team(control, "room", "control_room", east=0.0)
        conn.execute("update cities set control_room_id = %s where id = %s", [room, city])
        hub = one(
            """
            insert into hubs (city_id, organisation_id, key, name, kind, position, address,
                opening_hours, open_during, expanded_until, services, access, languages)
            values (%s, %s, 'hub', 'Hub', 'safe_travel_hub', %s::geography, 'Somewhere', '24/7',
                    '{(,)}', %s, '{}', '{}', '{en}') returning id
            """,
            city,
            friends,
            Point(SPOT.lon, SPOT.lat + 0.001).ewkt(),
            NOW + timedelta(days=40),
        )
        return Desk(
            database=database,
            vault=vault,
            settings=settings,
            police=person(police, "Robin", "officer"),
            operator=person(operator, "Ali", "officer"),
            control=person(control, "Casey", "controller"),
            hub_host=person(friends, "Jo", "hub_host"),
            first=team(police, "first", "field", east=0.001),
            second=team(operator, "second", "field", east=0.01),
            third=team(police, "third", "field", east=0.02),
            room=room,
            hub=hub,
        )


def keys_for(desk: Desk, people: Sequence[Principal]) -> dict[Principal, str]:
    """A token for each of the people, with the scopes they have."""
    found = {}
    for person in people:
        secret = token("staff", person.staff_id)
        desk.do(
            """
            insert into api_keys (kind, name, token_hash, staff_id, organisation_id, scopes)
            values ('staff', %s, %s, %s, %s, %s)
            """,
            person.name,
            desk.vault.hash_token(secret),
            person.staff_id,
            person.organisation_id,
            sorted(person.scopes),
        )
        found[person] = secret
    return found


def headers_for(desk: Desk, scopes: frozenset[str]) -> dict[str, dict[str, str]]:
    """What each person of the desk, by name, calls with when they have these scopes."""
    people = (desk.police, desk.operator, desk.control, desk.hub_host)
    keys = keys_for(desk, [replace(person, scopes=scopes) for person in people])
    return {person.name or "": {"Authorization": f"Bearer {key}"} for person, key in keys.items()}
