import pytest

TAKES_JSON = [
    "*/*",
    "application/json",
    "APPLICATION/JSON",
    "application/*",
    "application/json; charset=utf-8",
    "text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8",
    "text/csv, application/json;q=0.001",
    "application/*;q=0, application/json",
    "text/plain;q=1, */*;q=0.1",
    "",
]
MALFORMED = ["json", "a/b/c", "*/json/", ";;;", "application/json;q=maybe", ",", "\x80", "q=0.5"]
LEAVES_JSON_OUT = [
    "text/html",
    "image/*, text/*;q=0.5",
    "application/json;q=0",
    "application/json;q=0, */*",
    "application/*;q=0, */*;q=1",
    "*/*;q=0",
    "application/json;q=0.000, text/html",
    "application/problem+json",
]


@pytest.mark.parametrize("accept", [*TAKES_JSON, *MALFORMED])
def test_whoever_takes_json_gets_it_and_a_malformed_wish_is_none(client, accept):
    answer = client.get("/v1/categories", headers={"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (200, "application/json")


@pytest.mark.parametrize("accept", LEAVES_JSON_OUT)
def test_whoever_leaves_json_out_is_told_what_there_is(client, accept):
    answer = client.get("/v1/categories", headers={"Accept": accept})
    assert (answer.status_code, answer.json["code"]) == (406, "not_acceptable")
    (error,) = answer.json["errors"]
    assert error["pointer"] == "Accept"
    assert "application/json" in error["detail"]
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("accept", [*LEAVES_JSON_OUT, *MALFORMED, "text/html"])
def test_a_report_is_taken_whatever_its_sender_says_of_the_answer(client, accept):
    answer = client.post("/v1/reports", json={}, headers={"Accept": accept})
    assert answer.json["code"] == "nothing_to_act_on"


def test_a_step_whose_answer_nobody_could_read_is_not_taken(client):
    """406 before the act, also before the key is looked at."""
    path = "/v1/alerts/alert_01jdw2s4x0e6qv3t8k5n7b9c1d/acknowledge"
    assert client.post(path, headers={"Accept": "text/html"}).status_code == 406


def test_an_address_that_is_not_there_is_not_there_in_any_form(client):
    assert client.get("/v1/nothing", headers={"Accept": "text/html"}).status_code == 404
    assert client.post("/v1/categories", headers={"Accept": "text/html"}).status_code == 405


def test_a_long_wish_costs_no_time_and_is_as_good_as_none(client):
    accept = ", ".join(f"text/x{n}" for n in range(500))
    assert client.get("/v1/categories", headers={"Accept": accept}).status_code == 200
