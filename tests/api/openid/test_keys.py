"""The keys of a provider."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from tests.api.openid.door import refused, speaking
from tests.openid import key_of


def test_a_new_key_of_the_provider_is_found(at):
    assert at.enter().status_code == 201
    at.fake.key = key_of("second")
    at.fake.published = [key_of("second")]
    assert at.enter().status_code == 201


def test_keys_are_not_looked_for_more_often_than_twice_a_minute(at, app, monkeypatch):
    speaking(app, monkeypatch, at.fake.port)
    assert at.enter().status_code == 201
    at.fake.key = key_of("nobody's")
    for _ in range(3):
        refused(at.enter())
    assert at.fake.called("/keys") == 1


def test_secret_among_the_published_keys_signs_nothing(at):
    at.fake.says["/keys"] = lambda talk: talk.say(
        {
            "keys": [
                {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
                {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "short"},
                {"kty": "RSA", "n": 5, "kid": "broken"},
                "no key",
                key_of("first").as_dict(private=False),
            ]
        }
    )
    assert at.enter().status_code == 201
    at.fake.header = {"kid": "short"}
    refused(at.enter())


def test_key_that_takes_long_to_check_signs_nothing(at):
    slow = key_of("first").as_dict(private=False)
    number = int.from_bytes(urlsafe_b64decode(f"{slow['n']}==")) - 2
    exponent = urlsafe_b64encode(number.to_bytes(256)).rstrip(b"=").decode()
    at.fake.says["/keys"] = lambda talk: talk.say({"keys": [slow | {"e": exponent}]})
    refused(at.enter())
    assert at.why() == ["id_token_invalid_key_id"]


def test_key_whose_secret_half_is_published_signs_nothing(at):
    """Anybody could sign with it, and reading one of 8,192 bits takes a second of the process."""
    whole = key_of("first").as_dict(private=True)
    for parts in (whole, {name: whole[name] for name in ("kty", "kid", "n", "e", "d")}):
        at.fake.says["/keys"] = lambda talk, parts=parts: talk.say({"keys": [parts]})
        refused(at.enter())
        assert at.why() == ["id_token_invalid_key_id"]


def test_key_that_comes_with_the_token_signs_nothing(at):
    evil = key_of("evil")
    at.fake.key = evil
    at.fake.header = {"jwk": evil.as_dict(private=False), "jku": f"{at.fake.issuer}/evil"}
    refused(at.enter())
    assert at.fake.called("/evil") == 0
