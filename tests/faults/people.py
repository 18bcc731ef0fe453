"""Who uses a town while it breaks: phones that send until they hear 201, and staff who answer."""

import contextlib
import json
import random
import threading
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from typeid import TypeID

from tests.desk import SPOT
from tests.faults.town import Town, until
from tests.streams import Stream

SPOTS = 12
"""Places of reports: few enough that some join the incident of another."""

CATEGORIES = ("being_followed", "unwanted_touching", "spiking_drink", "poor_lighting")


@dataclass
class Crowd:
    """What the phones sent and heard; `answers` is the report behind each key."""

    seed: int
    answers: dict[str, str] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    retries: int = 0
    steps: int = 0
    surprises: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def come(self, town: Town, *, phones: int, apart_s: float) -> None:
        """Begins to send and to answer, each person in a thread of their own."""
        for n in range(phones):
            self._begin(self._send, town, random.Random(f"{self.seed} phone {n}"), apart_s)
        for n, (person, token) in enumerate(town.tokens.items()):
            if person is not town.desk.hub_host:
                for twin in range(2):  # two people of a team, at the same alert at the same time
                    self._begin(self._answer, town, random.Random(f"{self.seed} {n} {twin}"), token)

    def told(self) -> str:
        """What they did, for the story of a run."""
        return f"{len(self.answers)} reports, {self.retries} retries, {self.steps} steps"

    def go(self, patience_s: float) -> None:
        """Everybody finishes: a phone that has sent goes on until it has its 201."""
        self.over.set()
        for thread in self._threads:
            thread.join(patience_s)
        alive = [thread.name for thread in self._threads if thread.is_alive()]
        assert not alive, f"still waiting for an answer: {alive}"

    def _begin(self, work: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, name=work.__name__, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _send(self, town: Town, rng: random.Random, apart_s: float) -> None:
        while not self.over.is_set():
            key = str(uuid.UUID(int=rng.getrandbits(128), version=4))
            body = json.dumps(_report(rng)).encode()
            self.unanswered.add(key)
            # The rule of docs/integrating.md: the same key and body, until there is a 201.
            for attempt in range(10_000):
                try:
                    status, said = town.ask(
                        "POST",
                        "/v1/reports",
                        body=body,
                        headers={"Content-Type": "application/json", "Idempotency-Key": key},
                    )
                except OSError:
                    status, said = 0, b""
                if status == 201:
                    self.answers[key] = _uuid(json.loads(said)["id"])
                    self.unanswered.discard(key)
                    break
                if status and status < 500:
                    self.surprises.append(f"POST /v1/reports: {status} {said[:300]!r}")
                    break
                self.retries += 1
                threading.Event().wait(min(0.2 * 2**attempt, 2.0) * rng.uniform(0.5, 1.0))
            self.over.wait(apart_s * rng.uniform(0.2, 1.8))

    def _answer(self, town: Town, rng: random.Random, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        while not self.over.wait(rng.uniform(0.1, 0.8)):
            try:
                status, said = town.ask("GET", "/v1/alerts?limit=20", headers=headers)
            except OSError:
                continue
            if status != 200:
                if status < 500:
                    self.surprises.append(f"GET /v1/alerts: {status} {said[:300]!r}")
                continue
            for alert in rng.sample(items := json.loads(said)["items"], min(4, len(items))):
                self._step(town, rng, headers, alert)

    def _step(
        self, town: Town, rng: random.Random, headers: dict[str, str], alert: dict[str, Any]
    ) -> None:
        steps = _STEPS.get(alert["status"], ())
        if not steps:
            return
        step = rng.choice(steps)
        try:
            status, said = town.ask(
                "POST", f"/v1/alerts/{alert['id']}/{step}", headers=headers, body=b""
            )
        except OSError:
            return
        if status == 200:
            self.steps += 1
        elif status not in (403, 404, 409, 412, 428) and status < 500:
            self.surprises.append(f"{step}: {status} {said[:300]!r}")


@dataclass
class Follower:
    """Somebody who watches the live stream, and opens it again wherever it breaks off."""

    town: Town
    token: str
    ids: list[str] = field(default_factory=list)
    opened: int = 0
    resets: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    _last: str | None = None
    _thread: threading.Thread | None = None

    def begin(self) -> None:
        """Follows from now on; whatever happens after this returns is to be heard."""
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        until(lambda: self.opened, what="the first opening of the stream")

    def heard(self, ids: Collection[str], patience_s: float) -> list[str]:
        """Waits until all of these were heard, then ends; returns those that were not."""
        with contextlib.suppress(AssertionError):
            until(lambda: set(ids) <= set(self.ids), patience_s=patience_s)
        self.over.set()
        if self._thread is not None:
            self._thread.join(120)
        return sorted(set(ids) - set(self.ids))

    def _follow(self) -> None:
        while not self.over.wait(0.1):
            try:
                stream = Stream(self.town.stream_port, token=self.token, last_event_id=self._last)
            except (OSError, ValueError, IndexError):
                continue  # nobody there, or killed in the middle of the head
            if stream.status == 200:
                self._read(stream)

    def _read(self, stream: Stream) -> None:
        read = 0
        while True:
            is_over = stream.ended.wait(0.05) or self.over.is_set()
            for one in stream.told[read:]:
                read += 1
                self._last = one.id or self._last
                self.opened += one.type == "stream.open"
                self.resets += one.type == "stream.reset"
                if not one.type.startswith("stream."):
                    self.ids.append(one.data["id"])
            if is_over:
                stream.close()
                return


_STEPS: dict[str, Sequence[str]] = {
    "pending": ("acknowledge", "acknowledge", "decline"),
    "delivered": ("acknowledge", "acknowledge", "decline"),
    "acknowledged": ("en-route", "decline", "close"),
    "en_route": ("on-scene", "close"),
    "on_scene": ("close",),
    "withdrawn": ("acknowledge",),
}


def _report(rng: random.Random) -> dict[str, Any]:
    spot = rng.randrange(SPOTS)
    return {
        "categories": [rng.choice(CATEGORIES)],
        "location": {
            "point": {
                "type": "Point",
                "coordinates": [SPOT.lon + 0.01 * (spot % 4), SPOT.lat + 0.01 * (spot // 4)],
            },
            "accuracy_m": 20,
        },
        "in_danger": rng.random() < 0.3,
        "narrative": f"Report {rng.random()}.",
    }


def _uuid(wire_id: str) -> str:
    return str(uuid.UUID(str(TypeID.from_string(wire_id).uuid)))
