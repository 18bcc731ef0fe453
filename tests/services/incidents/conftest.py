"""The desk of tests/desk.py with what is done to whole incidents."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.desk import NOW, Desk
from waylight.domain.geo import Point
from waylight.domain.principals import Principal
from waylight.services import alerts, incidents
from waylight.services.reports import my_report

MINUTE = timedelta(minutes=1)
LATER = NOW + MINUTE
LATE = LATER + MINUTE


@dataclass(frozen=True)
class Room:
    """A dispatcher's hands."""

    desk: Desk

    def of(self, report) -> UUID:
        """The incident of a report."""
        (row,) = self.desk.rows("select incident_id from reports where id = %s", report.id)
        found: UUID = row["incident_id"]
        return found

    def row(self, incident_id: UUID) -> dict[str, Any]:
        """An incident as it lies in the table."""
        return self.desk.rows("select * from incidents where id = %s", incident_id)[0]

    def alert(self, incident_id: UUID, team: UUID) -> UUID:
        """A team's newest alert about an incident."""
        newest, *_ = self.desk.rows(
            "select id from alerts where incident_id = %s and team_id = %s order by id desc",
            incident_id,
            team,
        )
        found: UUID = newest["id"]
        return found

    def alerts(self, incident_id: UUID) -> dict[UUID, str]:
        """The state of every team's newest alert about an incident."""
        return {
            row["team_id"]: row["state"]
            for row in self.desk.rows(
                "select team_id, state from alerts where incident_id = %s order by id", incident_id
            )
            if row["team_id"]
        }

    def _with(self, who: Principal, now=LATER, **others: Any) -> dict[str, Any]:
        return {
            "database": self.desk.database,
            "vault": self.desk.vault,
            "principal": who,
            "now": now,
            **others,
        }

    @property
    def channels(self):
        return self.desk.settings.channels

    def hand_over(self, who, alert, to, *, now=LATER, reason="Our shift ends.", **others):
        return incidents.hand_over(
            **self._with(who, now, alert_id=alert, to_team=to, reason=reason, **others),
            channels=self.channels,
        )

    def merge(self, who, one, into, *, now=LATER, **others):
        return incidents.merge(
            **self._with(who, now, incident_id=one, into=into, **others), channels=self.channels
        )

    def split(self, who, one, *reports, now=LATER, **others):
        return incidents.split(
            **self._with(
                who, now, incident_id=one, report_ids=[report.id for report in reports], **others
            ),
            channels=self.channels,
        )

    def reopen(self, who, one, *, now=LATER, reason="He is back.", **others):
        return incidents.reopen(
            **self._with(who, now, incident_id=one, reason=reason, **others),
            channels=self.channels,
        )

    def read(self, who, one, **others):
        return incidents.read_incident(**self._with(who, incident_id=one, **others))

    def timeline(self, who, one, *, limit=500, **others):
        return incidents.read_timeline(**self._with(who, incident_id=one, limit=limit, **others))

    def note(self, who, one, text="He left at Euston.", **others):
        return incidents.add_note(**self._with(who, incident_id=one, text=text, **others))

    def close(self, who, alert, *, now=LATER, **others):
        return alerts.close(**self._with(who, now, alert_id=alert, **others))

    def told(self, report):
        """What its passenger reads of a report."""
        return my_report(self.desk.database, self.desk.vault, report.receipt)

    def codes(self, report):
        """The words of its passenger's timeline, but for who has read it."""
        return [entry.code for entry in self.told(report).timeline if entry.code != "read"]


@pytest.fixture
def room(desk) -> Room:
    return Room(desk)


@pytest.fixture
def west() -> Point:
    """A place too far from the others for reports to be linked."""
    return Point(-0.1426 - 0.05, 51.5390)
