"""Every answer that shows something of a report, held against the one table of properties.

Each property is something that can be recognised wherever it turns up. What the table leaves out
stands in no answer of any endpoint that this view may call; what it shows stands in one of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest

from schemas.common import WireId
from schemas.events import envelope
from tests.desk import NOW, P2, headers_for, keys_for, open_desk
from waylight import messages
from waylight.db.events import give_numbers
from waylight.domain.geo import Point
from waylight.domain.properties import TABLE, Property, Shown, View
from waylight.domain.reports import Contact, Journey, Need, Want
from waylight.services import alerts, events
from waylight.services.keys import SCOPES

LATER = NOW + timedelta(hours=1)
BASE = "https://waylight.example"
HERE = Point(-0.1426173, 51.5390461)
STORY = replace(
    P2,
    narrative="He got on at King's Cross.",
    description_of_person="A green coat.",
    contact=Contact(phone="+447700900461"),
    needs=(Need.ASSISTANCE_DOG,),
    wants=(Want.HELP, Want.POLICE, Want.HUB),
    journey=Journey(route_id="northern-461", vehicle_id="V461", carriage="C461"),
)


def anywhere(*texts: str) -> Callable[[str], bool]:
    return lambda answer: any(text in answer for text in texts)


def objects(value):
    """Every object in an answer, however deep."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from objects(inner)


def choices(answer: str) -> bool:
    return any(one.get("told") in ("now", "if_unanswered") for one in objects(orjson.loads(answer)))


def hub_distance(answer: str) -> bool:
    return any(
        one.get("hub") and one.get("distance_m") is not None
        for one in objects(orjson.loads(answer))
    )


SIGNS: Mapping[Property, Callable[[str], bool]] = {
    Property.KIND: anywhere("being_followed", "pursuit"),
    Property.TIME: anywhere(f"{NOW:%Y-%m-%dT%H:%M:%S}", f"{LATER:%Y-%m-%dT%H:%M:%S}"),
    Property.ANSWERS: anywhere("assistance_dog"),
    Property.POSITION: anywhere("-0.14261", "51.53904"),
    Property.PLACE: anywhere("Quarry Lane", "490QUARRY"),
    Property.JOURNEY: anywhere("northern-461", "V461", "C461"),
    Property.STORY: anywhere("King's Cross", "green coat"),
    Property.CONTACT: anywhere("7700900461"),
    Property.CHOICES: choices,
    Property.HUB_DISTANCE: hub_distance,
    Property.COLLEAGUES: anywhere("Colleague461"),
    Property.STAFF_ELSEWHERE: anywhere("Elsewhere461"),
}


class World:
    """A report that everybody has to do with, each by another view."""

    def __init__(self, desk, client):
        self.desk, self.client = desk, client
        self.headers = headers_for(desk, frozenset(SCOPES)) | {"Sam": self.stranger()}
        desk.do(
            "insert into places (city_id, key, stop_id, name, source_name, kind, position, modes,"
            " lines, codes) select id, 'quarry', '490QUARRY', 'Quarry Lane', 'Quarry Lane',"
            " 'bus_stop', %s::geography, '{bus}', '{}', '{}' from cities",
            HERE.ewkt(),
        )
        self.report = desk.report(STORY, at=HERE)
        self.id = WireId.of("report", self.report.id)
        self.messages = alerts.claim(
            desk.database,
            desk.vault,
            "a worker",
            free={"console": 50},
            lease_s=30,
            base_url=BASE,
            now=NOW,
        )
        first = desk.alert_of(desk.first)
        self.step("Robin", first, "acknowledge")
        team = WireId.of("team", desk.second)
        self.step("Robin", first, "hand-over", {"to_team": team, "reason": "Nearer."})
        self.step("Ali", desk.alert_of(desk.second), "acknowledge")
        self.step("Jo", desk.alert_of(desk.hub), "acknowledge")
        # One that the police read by consent alone.
        self.consented = desk.report(
            replace(STORY, wants=(Want.HELP, Want.HUB)), at=HERE, now=LATER
        )
        answer = client.put(
            "/v1/reports/mine/consents/police",
            headers={"Authorization": f"Receipt {self.consented.receipt}"},
        )
        assert answer.status_code == 200, answer.text
        with desk.database.intake() as conn:
            while give_numbers(conn, limit=500):
                pass

    def stranger(self):
        """Somebody of an organisation that is told nothing."""
        (works_for,) = self.desk.rows(
            "insert into organisations (city_id, key, name, kind)"
            " select id, 'strangers', 'Strangers', 'council' from cities returning id"
        )
        (found,) = self.desk.rows(
            "insert into staff (organisation_id, name, role) values (%s, 'Sam', 'officer')"
            " returning id",
            works_for["id"],
        )
        sam = replace(
            self.desk.police,
            organisation_id=works_for["id"],
            staff_id=found["id"],
            scopes=frozenset(SCOPES),
        )
        return {"Authorization": f"Bearer {keys_for(self.desk, [sam])[sam]}"}

    def step(self, who, alert_id, name, body=None):
        path = f"/v1/alerts/{WireId.of('alert', alert_id)}/{name}"
        answer = self.client.post(path, json=body, headers=self.headers[who])
        assert answer.status_code == 200, answer.text

    def name_staff(self, own):
        """Everybody's name says whether they are colleagues of whoever reads."""
        self.desk.do(
            "update staff set name = case when organisation_id = %s then 'Colleague461'"
            " else 'Elsewhere461' end",
            own,
        )

    def get(self, headers, *paths):
        """The answers that are there for whoever calls."""
        for path in paths:
            answer = self.client.get(path, headers=headers)
            assert answer.status_code in (200, 403, 404), answer.text
            if answer.status_code == 200:
                yield answer.get_data(as_text=True)

    def everything(self, who, *reports):
        """All that a person of the staff finds, of these reports."""
        headers = self.headers[who]
        (row,) = self.desk.rows("select incident_id from reports where id = %s", self.report.id)
        incident = WireId.of("incident", row["incident_id"])
        alerts = self.client.get("/v1/alerts", headers=headers).json["items"]
        ids = [WireId.of("report", report.id) for report in reports]
        yield from self.get(
            headers,
            "/v1/alerts",
            *(f"/v1/alerts/{one['id']}" for one in alerts),
            *(f"/v1/alerts/{WireId.of('alert', one['id'])}" for one in self.all_alerts()),
            "/v1/incidents",
            f"/v1/incidents/{incident}",
            f"/v1/incidents/{incident}/timeline?limit=200",
            f"/v1/hubs/{WireId.of('hub', self.desk.hub)}/desk",
            *(f"/v1/reports/{one}/original" for one in ids),
            *(f"/v1/reports/{one}" for one in ids),
            *(f"/v1/reports/{one}/grants" for one in ids),
            *(f"/v1/shared-reports/{one}" for one in ids),
            "/v1/analysed-reports",
            "/v1/shared-reports",
            "/v1/teams",
        )

    def all_alerts(self):
        return self.desk.rows("select id from alerts")

    def of(self, view):
        """The answers to somebody with one view alone."""
        people = {
            View.HAND_OVER: "Ali",
            View.OVERSIGHT: "Casey",
            View.HEADS_UP: "Jo",
            View.ROUTING: "Robin",
        }
        if view in people:
            yield from self.everything(people[view], self.report)
        elif view is View.CONSENT:
            path = f"/v1/shared-reports/{WireId.of('report', self.consented.id)}"
            yield from self.get(self.headers["Robin"], path)
        elif view is View.ANALYST:
            self.desk.report(STORY, at=HERE, now=NOW - timedelta(hours=3))
            yield from self.get(self.headers["Robin"], "/v1/analysed-reports")
        elif view is View.OTHER:
            yield from self.everything("Sam", self.report, self.consented)
        elif view is View.PASSENGER:
            headers = {"Authorization": f"Receipt {self.report.receipt}"}
            yield from self.get(
                headers, "/v1/reports/mine", f"/v1/reports/{self.id}", "/v1/reports/mine/consents"
            )
        elif view is View.LISTENER:
            for event in events.read_after(self.desk.database, 0).events:
                yield orjson.dumps(envelope(event, base_url=BASE)).decode()
            assert self.messages
            for message in self.messages:
                for language in messages.languages():
                    said = messages.word(message, language, replies=True)
                    yield orjson.dumps([said.sms, said.subject, said.body]).decode()


@pytest.fixture
def world(database, vault, settings, client):
    return World(open_desk(database, vault, settings), client)


SILENT = {(Property.COLLEAGUES, View.CONSENT)}
"""Shown where somebody did something: whoever reads by consent does nothing to a report."""


@pytest.mark.parametrize("view", View)
def test_every_view_is_shown_what_the_table_says_and_nothing_else(world, view):
    own = {"Ali": "operator", "Casey": "control", "Jo": "hub_host"}
    who = {View.HAND_OVER: "Ali", View.OVERSIGHT: "Casey", View.HEADS_UP: "Jo"}.get(view, "Robin")
    reader = getattr(world.desk, own.get(who, "police")).organisation_id
    if view is View.OVERSIGHT:
        note(world)
    world.name_staff(None if view is View.PASSENGER else reader)
    answers = list(world.of(view))
    assert answers or view is View.OTHER
    wrong = []
    for what, sign in SIGNS.items():
        is_there = any(sign(answer) for answer in answers)
        shown = TABLE[what][view]
        if is_there and shown is not Shown.EXACT:
            wrong.append(f"{what} is shown: {next(one[:150] for one in answers if sign(one))}")
        if not is_there and shown is Shown.EXACT and (what, view) not in SILENT:
            wrong.append(f"{what} is not shown")
    assert not wrong, "\n".join(wrong)


def note(world):
    """Something that a person of the control room does."""
    (row,) = world.desk.rows("select incident_id from reports where id = %s", world.report.id)
    path = f"/v1/incidents/{WireId.of('incident', row['incident_id'])}/notes"
    written = world.client.post(path, json={"text": "x"}, headers=world.headers["Casey"])
    assert written.status_code == 201, written.text


def test_every_property_has_a_sign_by_which_it_is_recognised():
    assert set(SIGNS) == set(Property)
