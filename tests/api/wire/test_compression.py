import gzip

import orjson
import pytest
from flask import Response
from flask_compress.flask_compress import _uncompress_data

from api.app import create_app
from api.wire.auth import require
from api.wire.blueprint import Blueprint
from tests.api.reports.sending import read_back, report
from tests.desk import keys_for, open_desk
from waylight.domain.errors import InvalidRequest, Problem
from waylight.domain.principals import Kind

CODINGS = ["gzip", "br", "zstd"]
LARGE = "/v1/categories"


def get(client, coding, path=LARGE, **headers):
    return client.get(path, headers={"Accept-Encoding": coding, **headers})


def varies_by(answer):
    return {name.strip() for name in answer.headers.get("Vary", "").split(",")} - {""}


@pytest.mark.parametrize("coding", CODINGS)
def test_a_large_answer_is_compressed_as_the_caller_likes(app, coding):
    plain = app.test_client().get(LARGE)
    packed = unchecked(app).get(LARGE, headers={"Accept-Encoding": coding})
    assert packed.headers["Content-Encoding"] == coding
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 2
    assert _uncompress_data(packed.data, coding) == plain.data


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("gzip, deflate", "gzip"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("*", "zstd"),
        ("deflate", None),
        ("identity", None),
        ("identity, gzip;q=0.5", None),
        ("gzip;q=0", None),
        ("gzip; q=0.000", None),
        ("gzip;q=0, *;q=0", None),
        ("", None),
        ("no such coding", None),
    ],
)
def test_the_caller_chooses_the_coding_and_may_refuse_one(app, accept, coding):
    answer = unchecked(app).get(LARGE, headers={"Accept-Encoding": accept})
    assert answer.headers.get("Content-Encoding") == coding
    assert "Accept-Encoding" in varies_by(answer)


def test_a_small_answer_is_left_as_it_is_and_may_still_differ(client):
    answer = get(client, "gzip", "/v1/nothing")
    assert "Content-Encoding" not in answer.headers
    assert "Accept-Encoding" in varies_by(answer)


@pytest.mark.parametrize("coding", [*CODINGS, "identity"])
def test_one_etag_serves_every_coding(app, coding):
    client = unchecked(app)
    etag = client.get(LARGE).headers["ETag"]
    first = client.get(LARGE, headers={"Accept-Encoding": coding})
    assert first.headers["ETag"] == etag
    assert etag.startswith("W/")
    headers = {"Accept-Encoding": coding, "If-None-Match": f'"other", {etag}'}
    again = client.get(LARGE, headers=headers)
    assert (again.status_code, again.data) == (304, b"")
    for name in ("Content-Type", "Content-Encoding", "Content-Length"):
        assert name not in again.headers
    for name in ("ETag", "Cache-Control", "Vary"):
        assert again.headers[name] == first.headers[name]


@pytest.mark.parametrize("coding", [*CODINGS, "identity"])
def test_head_has_the_headers_of_get(app, coding):
    client = unchecked(app)
    headers = {"Accept-Encoding": coding, "X-Request-Id": "the-same-both-times"}
    got, head = client.get(LARGE, headers=headers), client.head(LARGE, headers=headers)
    assert head.data == b""
    assert dict(head.headers) == dict(got.headers)


@pytest.mark.parametrize("name", ["Range", "If-Range"])
def test_a_part_is_never_sent(client, name):
    answer = client.get(LARGE, headers={name: "bytes=0-9"})
    assert (answer.status_code, answer.json["language"]) == (200, "en")
    assert "Content-Range" not in answer.headers


def test_the_answer_to_a_report_is_compressed_and_so_is_the_report_itself(app, london):
    """What would have to be true for BREACH is said in api/wire/compression.py."""
    headers = {"Accept-Encoding": "gzip"}
    sent = unchecked(app).post("/v1/reports", json=report(), headers=headers)
    assert sent.headers["Content-Encoding"] == "gzip"
    receipt = orjson.loads(gzip.decompress(sent.data))["receipt"]
    mine = unchecked(app).get(
        "/v1/reports/mine", headers={**headers, "Authorization": f"Receipt {receipt}"}
    )
    assert mine.headers["Content-Encoding"] == "gzip"
    assert mine.headers["Cache-Control"] == "no-store"


def test_two_reports_never_share_a_secret_that_could_be_measured(client, london):
    first, second = (client.post("/v1/reports", json=report()).json for _ in range(2))
    assert first["receipt"] != second["receipt"]


def test_no_answer_repeats_what_a_report_said(client, london):
    said = "squeamish ossifrage 1977"
    body = report(
        narrative=said,
        description_of_person=said,
        language=said,
        in_danger=said,
        contact={"email": said},
        odd=said,
    )
    sent = client.post("/v1/reports", json=body)
    assert sent.status_code == 201
    assert said not in sent.text
    assert said not in read_back(client, sent.json["receipt"]).text


def test_an_answer_to_the_staff_is_not_compressed(app, database, vault, settings):
    """The stories of several passengers meet in it, and one of them may be measuring the others."""
    desk = open_desk(database, vault, settings)
    token = keys_for(desk, (desk.control,))[desk.control]
    headers = {"Accept-Encoding": "gzip", "Authorization": f"Bearer {token}"}
    answer = unchecked(app).get("/v1/teams", headers=headers)
    assert len(answer.data) > 1000
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


def unchecked(app):
    """A client that reads no bodies: those of these tests are compressed."""
    return app.test_client_class.__bases__[0](app, app.response_class)


@pytest.fixture
def odd(settings):
    """The app with answers that no route of today has."""
    app = create_app(settings)
    blueprint = Blueprint("odd", __name__)

    def answers(rule, make):
        def view():
            return make()

        blueprint.add_url_rule(rule, rule.strip("/"), require(Kind.NOBODY)(view))

    def problem():
        raise InvalidRequest(problems=[Problem(f"/{n}", "wrong", "No.") for n in range(50)])

    answers("/problem", problem)
    answers("/events", lambda: Response(iter(["data: x\n\n" * 500]), mimetype="text/event-stream"))
    answers("/lines", lambda: Response(iter(["{}\n" * 500]), mimetype="application/json"))
    answers("/image", lambda: Response(b"\x00" * 5000, mimetype="image/png"))
    answers("/strong", lambda: Response(b" " * 5000, mimetype="text/css", headers={"ETag": '"1"'}))
    for number, media_type in enumerate(COMPRESSED):
        answers(f"/c{number}", lambda kind=media_type: Response(b" " * 5000, mimetype=kind))
    app.extensions["waylight.api"].register_blueprint(blueprint)
    return app.test_client()


COMPRESSED = [
    "application/json",
    "application/geo+json",
    "application/yaml",
    "text/css",
    "text/html",
    "text/javascript",
    "text/plain",
]


@pytest.mark.parametrize("number", range(len(COMPRESSED)), ids=COMPRESSED)
def test_texts_are_compressed(odd, number):
    assert get(odd, "gzip", f"/c{number}").headers["Content-Encoding"] == "gzip"


def test_a_long_problem_is_compressed_and_stays_a_problem(odd):
    answer = get(odd, "gzip", "/problem", **{"If-None-Match": "*"})
    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    assert len(orjson.loads(gzip.decompress(answer.data))["errors"]) == 50


@pytest.mark.parametrize("path", ["/events", "/lines", "/image", "/strong"])
def test_streams_images_and_what_promises_its_bytes_are_left_alone(odd, path):
    assert "Content-Encoding" not in get(odd, "gzip, br, zstd", path).headers


def test_a_compressor_that_breaks_costs_nobody_the_answer(app, monkeypatch):
    def broken(*_):
        raise RuntimeError

    plain = app.test_client().get(LARGE)
    monkeypatch.setattr("flask_compress.flask_compress._compress_data", broken)
    answer = unchecked(app).get(LARGE, headers={"Accept-Encoding": "gzip"})
    assert (answer.status_code, answer.data) == (200, plain.data)
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
