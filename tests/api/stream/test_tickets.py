"""Tickets: the one secret that may stand in an address, and what it is worth to a thief."""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.wire import auth
from schemas.common import WireId
from tests.desk import P1, keys_for
from tests.processes import serving
from tests.proxy import soon
from tests.streams import PATH, Stream, following
from tests.tokens import token

TICKETS = f"{PATH}/tickets"


@pytest.fixture
def quick(database, vault, settings):
    """A desk that is rolled back after the test."""
    from tests.desk import open_desk  # noqa: PLC0415 - the fixture beside it commits

    return open_desk(database, vault, settings)


@pytest.fixture
def keys(quick):
    people = (quick.police, quick.operator, quick.control)
    return {
        person.name: {"Authorization": f"Bearer {token}"}
        for person, token in keys_for(quick, people).items()
    }


def test_ticket_is_kept_by_nobody_and_only_its_hash_is_stored(client, quick, keys):
    made = client.post(TICKETS, headers=keys["Robin"])
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert made.json["expires_in_s"] == 30
    ticket = made.json["ticket"]
    assert made.json["url"].endswith(f"{PATH}?ticket={ticket}")
    (row,) = quick.rows("select * from stream_tickets")
    assert bytes(row["token_hash"]) == quick.vault.hash_token(ticket)
    assert ticket not in str(row)


def test_ticket_opens_once(client, quick, keys):
    ticket = client.post(TICKETS, headers=keys["Robin"]).json["ticket"]
    assert client.head(f"{PATH}?ticket={ticket}").status_code == 200
    again = client.get(f"{PATH}?ticket={ticket}")
    assert (again.status_code, again.json["code"]) == (401, "not_signed_in")
    assert quick.rows("select from stream_tickets") == []


@pytest.mark.parametrize(
    "undo",
    [
        "update stream_tickets set expires_at = now() - interval '1 second'",
        "update api_keys set revoked_at = now()",
        "update api_keys set expires_at = now() - interval '1 second'",
        "delete from stream_tickets",
    ],
)
def test_ticket_that_is_over_opens_nothing(client, quick, keys, undo):
    ticket = client.post(TICKETS, headers=keys["Robin"]).json["ticket"]
    quick.do(undo)
    assert client.get(f"{PATH}?ticket={ticket}").status_code == 401


@pytest.mark.parametrize("forged", ["", "x", token("stream ticket", "a"), "%00", "\ud83d\ude91"])
def test_forged_ticket_opens_nothing_also_beside_a_right_key(client, keys, forged):
    forged = forged.encode("utf-16", "surrogatepass").decode("utf-16")
    assert client.get(PATH, query_string={"ticket": forged}).status_code == 401
    with_key = client.get(PATH, query_string={"ticket": forged}, headers=keys["Robin"])
    assert with_key.status_code == 401


def test_key_is_no_ticket_and_a_ticket_is_no_key(client, quick, keys):
    key = keys["Robin"]["Authorization"].removeprefix("Bearer ")
    assert client.get(f"{PATH}?ticket={key}").status_code == 401
    ticket = client.post(TICKETS, headers=keys["Robin"]).json["ticket"]
    for path in ("/v1/alerts", PATH):
        answer = client.get(path, headers={"Authorization": f"Bearer {ticket}"})
        assert answer.status_code == 401
    assert client.get(f"/v1/alerts?ticket={ticket}").status_code == 401
    assert client.post(f"{TICKETS}?ticket={ticket}").status_code == 401


def test_ticket_is_bound_to_its_team(client, quick, keys):
    team, other = (WireId.of("team", one) for one in (quick.first, quick.third))
    made = client.post(TICKETS, headers=keys["Robin"], json={"team": team})
    wider = client.head(f"{PATH}?ticket={made.json['ticket']}&team={other}")
    assert wider.status_code == 422
    made = client.post(TICKETS, headers=keys["Robin"], json={"team": team})
    assert client.head(f"{PATH}?ticket={made.json['ticket']}&team={team}").status_code == 200
    # One for everything is not narrowed by whoever holds it, for that would hide who asked.
    made = client.post(TICKETS, headers=keys["Robin"])
    assert client.head(f"{PATH}?ticket={made.json['ticket']}&team={team}").status_code == 422


def test_nobody_makes_a_ticket_for_a_team_they_may_not_see(client, quick, keys):
    team = WireId.of("team", quick.first)
    assert client.post(TICKETS, headers=keys["Ali"], json={"team": team}).status_code == 404
    assert client.post(TICKETS, headers=keys["Casey"], json={"team": team}).status_code == 201


def test_who_may_not_read_alerts_makes_no_ticket(client, quick, keys):
    quick.do("update api_keys set scopes = '{alerts:act}'")
    assert client.post(TICKETS, headers=keys["Robin"]).status_code == 403
    assert client.post(TICKETS).status_code == 401


def test_scope_that_was_taken_away_since_takes_the_ticket_with_it(client, quick, keys):
    ticket = client.post(TICKETS, headers=keys["Robin"]).json["ticket"]
    quick.do("update api_keys set scopes = '{alerts:act}'")
    assert client.get(f"{PATH}?ticket={ticket}").status_code == 403


def test_tickets_that_nobody_used_are_forgotten(client, quick, keys):
    for _ in range(3):
        client.post(TICKETS, headers=keys["Robin"])
    quick.do("update stream_tickets set expires_at = now() - interval '1 second'")
    client.post(TICKETS, headers=keys["Robin"])
    assert len(quick.rows("select from stream_tickets")) == 1


# --- the door of the stream, where it answers at once


def test_head_and_options_open_no_stream(client, quick, keys):
    asked = client.head(PATH, headers=keys["Robin"])
    assert (asked.status_code, asked.data) == (200, b"")
    assert asked.mimetype == "text/event-stream"
    options = client.options(PATH)
    assert (options.status_code, options.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")


def test_whoever_cannot_read_events_hears_406(client, keys):
    refused = client.get(PATH, headers={**keys["Robin"], "Accept": "application/json"})
    assert refused.status_code == 406
    assert client.head(PATH, headers={**keys["Robin"], "Accept": "text/*"}).status_code == 200


def test_stream_needs_the_key_of_a_person(client, quick):
    assert client.get(PATH).status_code == 401
    assert client.get(PATH, headers={"Authorization": "Bearer nonsense"}).status_code == 401


def test_few_open_their_streams_at_once_and_the_others_wait_in_line(client, keys, monkeypatch):
    monkeypatch.setattr(auth, "LINE_S", 0.05)
    with contextlib.ExitStack() as opening:
        for _ in range(auth.AT_ONCE):
            opening.enter_context(auth.in_line(auth._line))
        refused = client.head(PATH, headers=keys["Robin"])
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        # Nobody else stands in that line: neither who is nobody nor who comes with nothing good.
        assert client.get(PATH).status_code == 401
        wrong = {"Authorization": f"Bearer {token('staff', 'x')}"}
        assert client.get(PATH, headers=wrong).status_code == 401
        assert client.get(f"{PATH}?ticket={token('stream ticket', 'x')}").status_code == 401
        assert client.get("/v1/alerts", headers=keys["Robin"]).status_code == 200
    assert client.head(PATH, headers=keys["Robin"]).status_code == 200
    assert client.get(PATH).status_code == 401
    for _ in range(auth.AT_ONCE + 1):  # whoever is refused has left the line
        assert client.get(PATH).status_code == 401


def test_who_brings_nothing_is_not_even_asked_at_the_door(client, keys, monkeypatch):
    monkeypatch.setattr(auth, "LINE_S", 0.05)
    with contextlib.ExitStack() as asked:
        for _ in range(auth.AT_ONCE):
            asked.enter_context(auth.in_line(auth._door))
        assert client.get(PATH).status_code == 401
        assert client.head(PATH, headers=keys["Robin"]).status_code == 503
    for _ in range(auth.AT_ONCE + 1):
        assert client.get(f"{PATH}?ticket=none").status_code == 401
    assert client.head(PATH, headers=keys["Robin"]).status_code == 200


@pytest.mark.parametrize("query", ["team=x", "unknown=1", f"last_event_id={'x' * 129}"])
def test_what_cannot_be_used_in_the_address_is_named(client, keys, query):
    refused = client.get(f"{PATH}?{query}", headers=keys["Robin"])
    assert refused.status_code == 422
    assert refused.json["errors"][0]["pointer"] == query.partition("=")[0]


# --- as it is served


@pytest.mark.commits
@pytest.mark.slow
def test_page_of_an_allowed_origin_follows_by_a_ticket_that_nobody_else_can_use_again(
    desk, tokens, database, tmp_path, numbered
):
    origin = "https://desk.example"
    with serving(
        database._settings.database_url,
        tmp_path,
        WAYLIGHT_ALLOWED_ORIGINS=origin,
        WAYLIGHT_LOG_LEVEL="debug",
    ) as server:

        def ticket(who="Robin", **body):
            status, made = server.ask(
                "POST",
                TICKETS,
                json.dumps(body).encode(),
                {"Authorization": f"Bearer {tokens[who]}", "Content-Type": "application/json"},
            )
            assert status == 201
            return json.loads(made)["ticket"]

        one = ticket()
        with following(
            server.port, path=f"{PATH}?ticket={one}", headers=f"Origin: {origin}\r\n"
        ) as robin:
            assert robin.head["access-control-allow-origin"] == origin
            desk.report(P1)
            soon(lambda: robin.events("alert.created"))
            assert Stream(server.port, path=f"{PATH}?ticket={one}").status == 401
        # The next ticket goes on where the page was.
        path = f"{PATH}?ticket={ticket()}&last_event_id={robin.told[0].id}"
        with following(server.port, path=path) as again:
            soon(lambda: again.events("alert.created"))
        # A page from elsewhere is not told that it may read.
        path = f"{PATH}?ticket={ticket()}"
        with following(server.port, path=path, headers="Origin: https://evil.example\r\n") as evil:
            assert "access-control-allow-origin" not in evil.head
        # Of many who come at once with the same ticket, one gets in.
        for _ in range(3):
            stolen = ticket()
            with ThreadPoolExecutor(8) as pool:
                came = list(
                    pool.map(
                        lambda _, stolen=stolen: Stream(
                            server.port, path=f"{PATH}?ticket={stolen}"
                        ),
                        range(8),
                    )
                )
            for stream in came:
                stream.close()
            assert sorted(stream.status for stream in came) == [200, *[401] * 7]
        assert "waylight_st_" not in server.told()
        assert one not in server.told()
