"""Who we are at a provider: our client and its secret."""

from structlog.testing import capture_logs

from tests.openid import CLIENT, SECRET


def test_refused_client_is_no_fault_of_the_person(at):
    at.fake.says["/token"] = lambda talk: talk.say({"error": "invalid_client"}, status=401)
    answer = at.enter()
    assert answer.status_code == 503
    assert at.why() == ["client_refused"]


def test_public_client_shows_no_secret_but_its_name(at):
    at.desk.do("update identity_providers set client_secret = null")
    assert at.enter().status_code == 201
    _, form, headers = next(one for one in at.fake.asked if one[0] == "/token")
    assert form["client_id"] == [CLIENT]
    assert "Authorization" not in headers


def test_provider_that_wants_the_secret_in_the_form_gets_it_there(at):
    at.fake.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    assert at.enter().status_code == 201
    _, form, headers = next(one for one in at.fake.asked if one[0] == "/token")
    assert form["client_secret"] == [SECRET]
    assert "Authorization" not in headers


def test_unreadable_secret_is_told_to_the_operator_and_to_nobody_else(at):
    at.desk.do("update identity_providers set client_secret = '\\x00'")
    with capture_logs() as logs:
        answer = at.begin()
    assert answer.status_code == 503
    assert [one["event"] for one in logs] == ["openid_secret_unreadable", "request"]
