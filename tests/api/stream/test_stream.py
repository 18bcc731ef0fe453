"""The stream as it is served: real processes, real sockets."""

import contextlib
import os
import random
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from schemas.common import WireId
from tests.desk import NOW, P1
from tests.ports import free_port
from tests.processes import PATIENCE_S, running, serving
from tests.proxy import Line, soon
from tests.streams import PATH, Stream, following
from tests.tokens import token
from waylight.domain.reports import NewReport
from waylight.domain.stream import QUEUE_MOST, REPLAY_MOST

pytestmark = [pytest.mark.commits, pytest.mark.slow, pytest.mark.usefixtures("numbered")]

TEAMS = ("Robin", "Ali", "Casey", "Jo")


@pytest.fixture
def server(desk, tokens, database, tmp_path):
    with serving(database._settings.database_url, tmp_path) as server:
        yield server


def ids(told):
    return [one.data["id"] for one in told]


def expected(desk, who, *kinds):
    """The ids of what an organisation may know of, by the rules and not by the code under test."""
    rows = desk.rows(
        """
        select e.id from events e join alerts a on a.id = e.alert_id
        where e.kind = any (%s) and (a.organisation_id = %s or exists (
            select from grants g where g.report_id = a.report_id and g.organisation_id = %s
              and g.cause = 'oversight' and g.revoked_at is null))
        order by e.sequence
        """,
        list(kinds),
        who.organisation_id,
        who.organisation_id,
    )
    return [WireId.of("event", row["id"]) for row in rows]


def put_events(desk, number, *, alert_id):
    """So many events about one alert, numbered by the worker as any other."""
    desk.do(
        """
        insert into events (kind, at, organisation_id, report_id, incident_id, alert_id)
        select 'alert.updated', now(), a.organisation_id, a.report_id, a.incident_id, a.id
        from alerts a, generate_series(1, %s) where a.id = %s
        """,
        number,
        alert_id,
    )
    soon(lambda: not desk.rows("select from events where sequence is null limit 1"))


def put_events_heard_by(stream, desk, number, *, alert_id):
    wanted = len(stream.events()) + number
    put_events(desk, number, alert_id=alert_id)
    soon(lambda: len(stream.events()) >= wanted)


def test_team_is_told_of_its_alert_the_moment_it_is_raised(server, desk, tokens):
    with following(server.port, token=tokens["Robin"]) as robin:
        assert robin.head["content-type"].startswith("text/event-stream")
        assert robin.head["cache-control"] == "no-store, no-transform"
        assert robin.head["x-accel-buffering"] == "no"
        assert "content-encoding" not in robin.head
        assert robin.told[0].retry_ms
        report = desk.report(P1)
        soon(lambda: robin.events("alert.created"))
        (told,) = robin.events()
        assert told.id == told.data["id"]
        assert told.data["data"]["team"]["name"] == "First"
        assert str(report.id) not in str(told)
        # It is counted as a request when it begins: an hour of listening is no slow answer.
        assert "/v1/alerts/stream" in server.told()


def test_nobody_hears_of_what_is_anothers(server, desk, tokens):
    """The attack: as every other organisation, with each team's filter, live and by replay."""
    with contextlib.ExitStack() as stack:
        streams = {
            name: stack.enter_context(following(server.port, token=tokens[name])) for name in TEAMS
        }
        places = {name: stream.last_id for name, stream in streams.items()}
        desk.report(P1)
        desk.acknowledge(desk.police, desk.alert_of(desk.first))
        desk.report(P1, now=NOW + timedelta(hours=1))
        desk.decline(desk.police, desk.alert_of(desk.first), now=NOW + timedelta(hours=1))
        # A drill is the last of it, so that whoever has heard of it has heard of all before.
        desk.report(NewReport(categories=("being_followed",), in_danger=True, exercise=True))
        people = {"Robin": desk.police, "Ali": desk.operator, "Casey": desk.control}
        kinds = [kind for kind in desk.kinds() if kind.startswith("alert.")]
        wanted = {name: expected(desk, who, *kinds) for name, who in people.items()}
        soon(lambda: {*wanted["Casey"]} <= {*ids(streams["Casey"].events())})
        soon(lambda: {*wanted["Robin"]} <= {*ids(streams["Robin"].events())})
        for name in people:
            mine = [one for one in streams[name].events() if one.data["data"]["alert_id"]]
            assert ids(mine) == wanted[name], name
        assert streams["Jo"].events() == []
        police = WireId.of("organisation", desk.police.organisation_id)
        assert police in str(streams["Casey"].events())
        assert police not in str(streams["Ali"].events())
        # The same by replay, from another's place. From another's event as from one there is not.
        theirs = ids(streams["Robin"].events())[0]
        for place in (*places.values(), theirs):
            with following(server.port, token=tokens["Jo"], last_event_id=place) as jo:
                reasons = [reset.data["reason"] for reset in jo.about("stream.reset")]
                assert reasons == (["unknown_event"] if place == theirs else [])
            with following(server.port, token=tokens["Ali"], last_event_id=place) as ali:
                put_events(desk, 1, alert_id=desk.alert_of(desk.first))
                soon(
                    lambda: (
                        expected(desk, desk.police, "alert.updated")[-1]
                        in ids(streams["Robin"].events())
                    )
                )
            assert police not in str(ali.told)
            assert {*ids(ali.events())} <= {*wanted["Ali"], *ids(streams["Ali"].events())}
    # By naming their team: there is no such team.
    team = WireId.of("team", desk.first)
    for name in ("Ali", "Jo"):
        assert Stream(server.port, token=tokens[name], path=f"{PATH}?team={team}").status == 404
    # The control room may name it, and hears of nobody else then.
    with following(server.port, token=tokens["Casey"], path=f"{PATH}?team={team}") as casey:
        desk.report(P1, now=NOW + timedelta(hours=2))
        soon(lambda: casey.events("alert.created"))
        assert {one.data["data"]["team"]["id"] for one in casey.events()} == {team}


class Restless(threading.Thread):
    """A client that comes back with its last id after every break, until it has everything."""

    def __init__(self, port, token, *, seed):
        super().__init__(daemon=True)
        self.got: list[str] = []
        self.resets = 0
        self.wanted: int | None = None
        self.connected = threading.Event()
        self._port, self._token, self._chance = port, token, random.Random(seed)

    def lacks_something(self):
        return self.wanted is not None and len(self.got) < self.wanted

    def run(self):
        last = None
        while self.wanted is None or self.lacks_something():
            with following(self._port, token=self._token, last_event_id=last) as stream:
                if stream.status == 503:  # too many open theirs at once
                    continue
                self.connected.set()
                leaves_at = time.monotonic() + self._chance.random()
                enough = self._chance.randint(1, 12)
                while (time.monotonic() < leaves_at and len(stream.events()) < enough) or (
                    self.lacks_something() and not stream.events()
                ):
                    time.sleep(0.005)
                stream.close()
                stream.ended.wait()
                self.resets += len(stream.about("stream.reset"))
                self.got += ids(stream.events())
                last = next((one.id for one in reversed(stream.told) if one.id), last)


def test_random_disconnects_leave_no_gap_and_repeat_nothing(desk, tokens, database, tmp_path):
    """Counted by id, over two processes: a client that comes back may meet the other one."""
    with serving(database._settings.database_url, tmp_path, workers=2) as server:
        clients = [Restless(server.port, tokens["Casey"], seed=n) for n in range(16)]
        for client in clients:
            client.start()
        # All are there before anything happens: what a client gets is then all of it.
        assert all(client.connected.wait(PATIENCE_S) for client in clients)
        for n in range(60):
            desk.report(P1, now=NOW + timedelta(hours=n))
            if n % 3 == 0:
                desk.acknowledge(desk.police, desk.alert_of(desk.first))
        soon(lambda: not desk.rows("select from events where sequence is null limit 1"))
        kinds = [kind for kind in set(desk.kinds()) if kind.startswith("alert.")]
        whole = expected(desk, desk.control, *kinds)
        assert len(whole) > 60
        for client in clients:
            client.wanted = len(whole)
        for client in clients:
            client.join(PATIENCE_S * 2)
            assert client.got == whole
            assert client.resets == 0


def told_metric(server, desk, name):
    secret = token("client", "m")
    desk.do(
        "insert into api_keys (kind, name, token_hash, scopes)"
        " values ('client', 'metrics', %s, '{metrics:read}') on conflict do nothing",
        desk.vault.hash_token(secret),
    )
    _, body = server.ask("GET", "/metrics", headers={"Authorization": f"Bearer {secret}"})
    return sum(
        sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.name == name
    )


def test_client_that_does_not_read_is_dropped_and_the_others_go_on(server, desk, tokens):
    desk.report(P1)
    alert = desk.alert_of(desk.first)
    slow = Stream(server.port, token=tokens["Casey"], reading=False, buffer=4096)
    with contextlib.closing(slow), following(server.port, token=tokens["Robin"]) as robin:
        while len(robin.events()) < 8_000:
            put_events_heard_by(robin, desk, QUEUE_MOST // 2, alert_id=alert)
        assert len({*ids(robin.events())}) == 8_000
        soon(lambda: "stream_dropped" in server.told())
        soon(lambda: told_metric(server, desk, "waylight_streams_open") == 1)
        assert told_metric(server, desk, "waylight_streams_ended_total") == 1
        # What was on its way arrives; then the line is dead, without a goodbye.
        threading.Thread(target=slow._read, daemon=True).start()
        assert slow.ended.wait(PATIENCE_S)
        assert slow.about("stream.closing") == []
        missed = 8_000 - len(slow.events())
        assert missed > 0
    with following(server.port, token=tokens["Casey"], last_event_id=slow.last_id) as again:
        soon(lambda: len(again.events()) == missed)
        assert len({*ids(again.events()), *ids(slow.events())}) == 8_000


def test_place_that_is_unknown_or_too_old_is_told_and_the_stream_goes_on_from_now(
    server, desk, tokens
):
    desk.report(P1)
    alert = desk.alert_of(desk.first)
    with following(server.port, token=tokens["Robin"]) as robin:
        old = robin.last_id
        # Never more at once than wait for a slow client: this one is not to be dropped.
        while len(robin.events()) <= REPLAY_MOST:
            put_events_heard_by(robin, desk, QUEUE_MOST // 2, alert_id=alert)
    unknown = (WireId.of("event", uuid4()), f"place_{old[7:]}", "41", "x" * 200, "place_%00")
    for place, reason in (*((one, "unknown_event") for one in unknown), (old, "too_old")):
        fresh = goes_on_after_a_reset(server, desk, tokens["Robin"], place, reason=reason)
        # What it was given as its new place is one: also for whoever can set no header.
        for how in ({"last_event_id": fresh}, {"path": f"{PATH}?last_event_id={fresh}"}):
            with following(server.port, token=tokens["Robin"], **how) as robin:
                soon(robin.events)
                assert robin.about("stream.reset") == []
                assert len(robin.events()) == 1


def goes_on_after_a_reset(server, desk, token, place, *, reason):
    with following(server.port, token=token, last_event_id=place) as robin:
        (reset,) = robin.about("stream.reset")
        assert reset.data["reason"] == reason
        assert reset.data["link"].endswith("/v1/alerts?status=open")
        put_events(desk, 1, alert_id=desk.alert_of(desk.first))
        soon(robin.events)
        assert len(robin.events()) == 1
        return reset.id


def test_lost_database_ends_the_streams_at_once_and_nothing_is_missed(
    desk, tokens, database, tmp_path
):
    line = Line(database._settings.database_url)
    with (
        contextlib.closing(line),
        serving(line.url(), tmp_path) as server,
        contextlib.ExitStack() as stack,
    ):
        streams = [
            stack.enter_context(following(server.port, token=tokens["Robin"])) for _ in range(10)
        ]
        line.stop()
        for stream in streams:
            assert stream.ended.wait(PATIENCE_S)
            (closing,) = stream.about("stream.closing")
            assert closing.data["reason"] == "database_lost"
            assert closing.retry_ms
        refused = Stream(server.port, token=tokens["Robin"])
        assert refused.status == 503
        assert int(refused.head["retry-after"]) > 0
        desk.report(P1)
        line.start()
        soon(lambda: _opens(server, tokens["Robin"]))
        for stream in streams:
            place = stream.last_id
            with following(server.port, token=tokens["Robin"], last_event_id=place) as again:
                soon(again.events)
                assert len(again.events()) == 1
        assert "stream_listener_died" not in server.told()


def _opens(server, token):
    with contextlib.closing(Stream(server.port, token=token)) as stream:
        return stream.status == 200


def test_database_that_hangs_ends_the_streams_too(desk, tokens, database, tmp_path):
    line = Line(database._settings.database_url)
    with (
        contextlib.closing(line),
        serving(line.url(), tmp_path) as server,
        following(server.port, token=tokens["Robin"]) as robin,
    ):
        line.hang()
        assert robin.ended.wait(PATIENCE_S)
        assert [one.data["reason"] for one in robin.about("stream.closing")] == ["database_lost"]
        line.resume()


def test_every_stream_says_goodbye_when_the_server_is_told_to_stop(server, desk, tokens):
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(following(server.port, token=tokens["Robin"])) for _ in range(20)
        ]
        server.process.send_signal(signal.SIGTERM)
        for stream in streams:
            assert stream.ended.wait(PATIENCE_S)
            (closing,) = stream.about("stream.closing")
            assert closing.data["reason"] == "stopping"
            assert 1000 <= (closing.retry_ms or 0) <= 5000
            assert closing.id is None
        assert server.ends() == 0
    assert "graceful timeout" not in server.told()
    assert "Traceback" not in server.told()


def test_stream_of_a_revoked_key_ends_and_cannot_come_back(server, desk, tokens):
    with (
        following(server.port, token=tokens["Robin"]) as robin,
        following(server.port, token=tokens["Ali"]) as ali,
    ):
        desk.do(
            "update api_keys set revoked_at = now() where token_hash = %s",
            desk.vault.hash_token(tokens["Robin"]),
        )
        assert robin.ended.wait(PATIENCE_S)
        assert [one.data["reason"] for one in robin.about("stream.closing")] == ["key_ended"]
        assert not ali.ended.is_set()
    back = Stream(server.port, token=tokens["Robin"], last_event_id=robin.last_id)
    assert back.status == 401


def test_room_is_limited_by_key_and_by_process_and_free_again_when_somebody_leaves(
    desk, tokens, database, tmp_path
):
    with (
        serving(
            database._settings.database_url,
            tmp_path,
            WAYLIGHT_EXEMPT_LOOPBACK="0",
            WAYLIGHT_STREAMS="3",
            WAYLIGHT_STREAMS_PER_KEY="2",
        ) as server,
        following(server.port, token=tokens["Robin"]),
        following(server.port, token=tokens["Robin"]) as second,
    ):
        refused = Stream(server.port, token=tokens["Robin"])
        assert (refused.status, refused.problem["code"]) == (429, "too_many_requests")
        assert int(refused.head["retry-after"]) > 0
        with following(server.port, token=tokens["Ali"]):
            refused = Stream(server.port, token=tokens["Casey"])
            assert (refused.status, refused.problem["code"]) == (503, "unavailable")
            assert int(refused.head["retry-after"]) > 0
            # Asking costs no room, and neither does being refused.
            assert Stream(server.port, token=tokens["Casey"], method="HEAD").status == 200
        second.close()
        soon(lambda: _opens(server, tokens["Robin"]))
        # Reports come in beside any number of streams.
        assert server.ask("POST", "/v1/reports", b'{"categories": ["other"]}')[0] == 201


def test_stream_in_processes_of_its_own_tells_the_same(desk, tokens, database, tmp_path):
    port = free_port()
    url = database._settings.database_url
    own = {"WAYLIGHT_STREAM_PORT": str(port), "WAYLIGHT_STREAM_WORKERS": "2"}
    with running(url, tmp_path / "stream.log", "stream", **own) as process:
        soon(lambda: _listens(port))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        soon(lambda: len(children.read_text().split()) == 2)
        with following(port, token=tokens["Robin"]) as robin:
            desk.report(P1)
            soon(lambda: robin.events("alert.created"))
            link = robin.events()[0].data["data"]["link"]
            assert f":{port}/" not in link  # what it links to is the API
            os.kill(process.pid, signal.SIGTERM)
            assert robin.ended.wait(PATIENCE_S)
            assert robin.about("stream.closing")
        assert process.wait(PATIENCE_S) == 0


def _listens(port):
    try:
        Stream(port, method="HEAD").close()
    except OSError:
        return False
    return True
