import gzip
import zlib
from typing import Any

import orjson
import pytest

from tests.desk import keys_for, open_desk

REPORT = orjson.dumps({"categories": ["being_followed"], "narrative": "he is still behind me"})
EMPTY = b"{}"
DUTY = orjson.dumps({"status": "busy"})


def raw_deflate(data):
    packing = zlib.compressobj(wbits=-15)
    return packing.compress(data) + packing.flush()


def gzipped(data: bytes) -> bytes:
    """Without the time, which would give a test another name in each process that collects it."""
    return gzip.compress(data, mtime=0)


PACKED: Any = {"gzip": gzipped, "x-gzip": gzipped, "deflate": zlib.compress}


def send(client, data, **headers):
    return client.post("/v1/reports", data=data, headers=headers)


@pytest.mark.parametrize("coding", PACKED)
def test_a_packed_report_is_a_report(client, london, coding):
    packed = send(client, PACKED[coding](REPORT), **{"Content-Encoding": coding})
    assert packed.status_code == 201
    assert packed.json["warnings"] == []


def test_a_packed_retry_is_the_same_report(client, london):
    headers = {"Idempotency-Key": "2f1c9d57-4b0e-4c53-9f5e-0d6f1f2a7b11"}
    plain = send(client, REPORT, **headers)
    again = send(client, gzipped(REPORT), **headers, **{"Content-Encoding": "gzip"})
    assert plain.json["receipt"] == again.json["receipt"]


@pytest.mark.parametrize(
    ("data", "coding"),
    [
        (EMPTY, "gzip"),
        (EMPTY, "br"),
        (EMPTY, "identity"),
        (b"\xef\xbb\xbf{}", "utf-8"),
        (b"  {}", "gzip, gzip"),
        (b"", "gzip"),
        (gzipped(EMPTY), None),
        (gzipped(EMPTY), "deflate"),
        (gzipped(EMPTY), "br"),
        (gzipped(EMPTY)[:-8], "gzip"),
        (raw_deflate(EMPTY), "deflate"),
        (zlib.compress(EMPTY), "gzip"),
        (gzipped(EMPTY), "GZIP"),
    ],
)
def test_a_wrong_header_costs_nobody_their_report(client, data, coding):
    """Nothing to act on: it was understood, and was empty."""
    answer = send(client, data, **({"Content-Encoding": coding} if coding else {}))
    assert (answer.status_code, answer.json["code"]) == (422, "nothing_to_act_on")


def test_a_report_in_an_unknown_coding_is_told_the_known_ones(client):
    answer = send(client, b"\x1b\x02\x00\xa1", **{"Content-Encoding": "br"})
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_encoding")
    assert answer.headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize("sent", [{"Content-Encoding": "gzip"}, {}])
def test_a_small_body_cannot_become_a_large_one(client, settings, sent):
    bomb = gzipped(b"[" + b" " * 64_000_000 + b"]")
    assert len(bomb) < settings.report_size_limit
    answer = send(client, bomb, **sent)
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


def test_a_body_counts_by_its_size_when_it_is_unpacked(client, settings):
    most = settings.report_size_limit
    fits = gzipped(b"{}" + b" " * (most - 2))
    too_large = gzipped(b"{}" + b" " * (most - 1))
    assert send(client, fits, **{"Content-Encoding": "gzip"}).status_code == 422
    assert send(client, too_large, **{"Content-Encoding": "gzip"}).status_code == 413


@pytest.fixture
def set_duty(database, vault, settings, client):
    desk = open_desk(database, vault, settings)
    token = keys_for(desk, (desk.police,))[desk.police]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    team = client.get("/v1/teams", headers=headers).json["items"][0]["id"]

    def put(data, coding):
        return client.put(
            f"/v1/teams/{team}/duty", data=data, headers={**headers, "Content-Encoding": coding}
        )

    return put


@pytest.mark.parametrize("coding", PACKED)
def test_any_body_may_come_packed(set_duty, coding):
    assert set_duty(PACKED[coding](DUTY), coding).json["duty"]["status"] == "busy"


@pytest.mark.parametrize(
    ("data", "coding", "status", "code"),
    [
        (DUTY, "gzip", 400, "malformed_json"),
        (gzipped(DUTY)[:-4], "gzip", 400, "malformed_json"),
        (gzipped(DUTY), "br", 415, "unsupported_encoding"),
        (gzipped(gzipped(DUTY)), "gzip, gzip", 415, "unsupported_encoding"),
        (gzipped(DUTY), "", 400, "malformed_json"),
    ],
)
def test_elsewhere_a_body_must_be_what_it_says(set_duty, data, coding, status, code):
    answer = set_duty(data, coding)
    assert (answer.status_code, answer.json["code"]) == (status, code)


def test_a_wrong_media_type_is_told_the_right_one(client, database, vault, settings):
    desk = open_desk(database, vault, settings)
    token = keys_for(desk, (desk.police,))[desk.police]
    answer = client.put(
        "/v1/teams/team_01jdw2s4x0e6qv3t8k5n7b9c1d/duty",
        data=b"status=off",
        headers={"Authorization": f"Bearer {token}", "Content-Type": "text/plain"},
    )
    assert answer.status_code == 415
    assert answer.headers["Accept"] == "application/json"
    assert "Accept-Encoding" not in answer.headers
