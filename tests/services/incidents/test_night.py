"""A whole night at random on the real database: the rules hold whatever follows on what.

The rules alone are tried far more often in tests/domain/test_incidents.py; here it is that what is
written is what they say.
"""

import random
from contextlib import suppress
from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2, P4, SPOT
from waylight.domain.alerts import LIVE, WAITING, WORKING, DeclineCause, State
from waylight.domain.errors import InvalidRequest, NotAllowed, NotFound, StateConflict
from waylight.domain.geo import Point
from waylight.services import alerts

FORWARD = {
    State.PENDING: 0,
    State.DELIVERED: 1,
    State.ACKNOWLEDGED: 2,
    State.EN_ROUTE: 3,
    State.ON_SCENE: 4,
}
REFUSED = (StateConflict, NotAllowed, NotFound, InvalidRequest)


class Night:
    """People at a desk who do anything at any time."""

    def __init__(self, desk, room, seed):
        self.desk, self.room, self.dice = desk, room, random.Random(seed)
        self.now = NOW
        self.states: dict = {}
        self.people = {
            person.organisation_id: person for person in (desk.police, desk.operator, desk.control)
        }

    def one_thing(self):
        """Something happens, or is refused."""
        self.now += timedelta(seconds=self.dice.randint(0, 120))
        weights = {
            self.report: 3,
            self.act: 14,
            self.climb: 3,
            self.hand_over: 3,
            self.merge: 2,
            self.split: 1,
            self.reopen: 1,
        }
        (happening,) = self.dice.choices(list(weights), weights=list(weights.values()))
        with suppress(*REFUSED):
            happening()

    def report(self):
        spot = Point(SPOT.lon - 0.05 * self.dice.randint(0, 2), SPOT.lat)
        self.desk.report(self.dice.choice([P1, P2, P4]), at=spot, now=self.now)

    def climb(self):
        due = self.desk.rows("select min(escalate_at) as at from incidents where state = 'open'")
        if due[0]["at"] is not None:
            self.now = max(self.now, due[0]["at"])
        self.desk.climb(self.now)

    def _alert(self):
        return self.dice.choice(
            self.desk.rows("select * from alerts where team_id is not null order by id")
        )

    def _incident(self, state="open"):
        found = self.desk.rows("select id from incidents where state = %s order by id", state)
        return self.dice.choice(found)["id"] if found else None

    def act(self):
        alert = self._alert()
        step = self.dice.choice([self.desk.read, self._answer, self._go, self._end])
        step(self.people[alert["organisation_id"]], alert["id"], now=self.now)

    def _answer(self, who, alert, *, now):
        self.desk.acknowledge(who, alert, now=now)

    def _go(self, who, alert, *, now):
        step = self.dice.choice([alerts.en_route, alerts.on_scene])
        step(self.desk.database, self.desk.vault, principal=who, alert_id=alert, now=now)

    def _end(self, who, alert, *, now):
        if self.dice.random() < 0.5:
            self.desk.decline(who, alert, now=now, cause=self.dice.choice(list(DeclineCause)))
        else:
            self.room.close(who, alert, now=now)

    def hand_over(self):
        alert = self._alert()
        desk = self.desk
        team = self.dice.choice([desk.first, desk.second, desk.third, desk.room])
        who = self.people[alert["organisation_id"]]
        self.room.hand_over(who, alert["id"], team, now=self.now)

    def merge(self):
        one, into = self._incident(), self._incident()
        if one and one != into:
            self.room.merge(self.desk.control, one, into, now=self.now)

    def split(self):
        one = self._incident()
        found = one and self.desk.rows(
            "select id from reports where incident_id = %s order by id", one
        )
        if found:
            self.room.split(
                self.desk.control, one, _Report(self.dice.choice(found)["id"]), now=self.now
            )

    def reopen(self):
        one = self._incident("closed")
        if one:
            self.room.reopen(self.desk.control, one, now=self.now)

    def check(self):
        """What must hold after everything."""
        rows = self.desk.rows("select * from alerts")
        for row in rows:
            state, before = State(row["state"]), self.states.get(row["id"])
            if before in FORWARD and state in FORWARD:
                assert FORWARD[state] >= FORWARD[before], (before, state)
            if before is State.CLOSED:
                assert state is State.CLOSED
            self.states[row["id"]] = state
        for incident in self.desk.rows("select * from incidents"):
            mine = [r for r in rows if r["incident_id"] == incident["id"] and r["team_id"]]
            self._check_incident(incident, mine)
        self._check_reports()

    def _check_incident(self, incident, mine):
        working = {r["id"] for r in mine if r["state"] in WORKING}
        live = [r["team_id"] for r in mine if r["state"] in LIVE]
        held_by = incident["held_by_alert_id"]
        assert (held_by in working) if working else (held_by is None)
        assert len(live) == len(set(live))
        if incident["state"] == "closed":
            assert not live
            assert incident["escalate_at"] is None
        elif held_by is None:
            waiting = [r for r in mine if r["state"] in WAITING]
            assert incident["escalate_at"] or (incident["priority"] == 4 and waiting), incident

    def _check_reports(self):
        wrong = self.desk.rows(
            """
            select i.id from incidents i left join reports r on r.incident_id = i.id
            group by i.id having count(r.id) <> i.report_count
                or (count(r.id) > 0 and min(r.priority) < i.priority)
            """
        )
        assert wrong == []
        # Whoever is at work was told of every report, with a grant for it.
        unknown = self.desk.rows(
            """
            select a.id from alerts a join reports r on r.incident_id = a.incident_id
            where a.team_id is not null and a.state in ('acknowledged', 'en_route', 'on_scene')
              and not exists (select from grants g where g.report_id = r.id
                              and g.organisation_id = a.organisation_id)
            """
        )
        assert unknown == []
        twice = self.desk.rows(
            """
            select alert_id from events where kind = 'alert.acknowledged'
              and data->>'again' = 'false'
            group by alert_id, at having count(*) > 1
            """
        )
        assert twice == []


class _Report:
    def __init__(self, id):
        self.id = id


@pytest.mark.parametrize("seed", [0, 1])
def test_a_night_at_random_drops_nobody_and_moves_no_state_backwards(desk, room, seed):
    night = Night(desk, room, seed)
    night.report()
    for _ in range(70):
        night.one_thing()
        night.check()
    # The night was not an empty one.
    assert "alert.acknowledged" in desk.kinds()
