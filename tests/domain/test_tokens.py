import re
import string

import pytest

from waylight.domain import tokens
from waylight.domain.clients import origin

TOKEN = tokens.make("waylight_ck_", bytes(range(32)))


def test_token_is_found_by_the_pattern_for_scanners_in_any_text():
    (found,) = re.findall(rf"\b{tokens.PATTERN}\b", f'key = "{TOKEN}"; other = waylight_ck_x')
    assert found == TOKEN
    assert tokens.is_token(TOKEN, "waylight_ck_")
    for edge in (bytes(32), bytes([255] * 32)):
        assert tokens.is_token(tokens.make("waylight_sk_", edge))


def test_token_with_one_wrong_letter_anywhere_is_none():
    for at in range(len(TOKEN)):
        for letter in string.ascii_letters + string.digits:
            changed = TOKEN[:at] + letter + TOKEN[at + 1 :]
            assert tokens.is_token(changed) == (changed == TOKEN), changed


def test_token_of_another_kind_is_none_and_so_is_one_whose_prefix_was_changed():
    assert not tokens.is_token(TOKEN, "waylight_sk_", "waylight_at_")
    assert not tokens.is_token(TOKEN.replace("_ck_", "_sk_"))


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example:443", "https://app.example"),
        ("https://app.example:8443", "https://app.example:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_origin_is_kept_as_browsers_write_it(given, written):
    assert origin(given) == written


@pytest.mark.parametrize(
    "given",
    [
        "",
        "*",
        "null",
        "app.example",
        "http://app.example",
        "https://app.example/",
        "https://app.example/page",
        "https://*.example",
        "https://user@app.example",
        "https://app.example:99999",
        "https://app.example\n",
        "https://app.example https://other.example",
        "file:///tmp",
        "https://ápp.example",
    ],
)
def test_what_is_no_origin_is_refused(given):
    with pytest.raises(ValueError, match="must be an origin"):
        origin(given)
