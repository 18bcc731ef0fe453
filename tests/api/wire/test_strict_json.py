import contextlib
import json
import sys

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.wire.json import MAX_DEPTH, loads
from waylight.domain.errors import MalformedJSON

REFUSED = {
    "NaN": (b'{"lat": NaN}', "not_finite"),
    "Infinity": (b'{"lat": Infinity}', "not_finite"),
    "minus Infinity": (b"[-Infinity]", "not_finite"),
    "a float that overflows": (b"[1e400]", "number_range"),
    "an integer of 5,000 digits": (b"[" + b"9" * 5000 + b"]", "number_range"),
    "a key given twice": (b'{"in_danger": true, "in_danger": false}', "duplicate_key"),
    "a key given twice by escapes": (b'{"a": 1, "\\u0061": 2}', "duplicate_key"),
    "a key given twice deep inside": (b'{"a": [{"b": 1, "b": 1}]}', "duplicate_key"),
    "half a surrogate pair": (b'["\\ud83d"]', "lone_surrogate"),
    "the other half": (b'["\\udc00"]', "lone_surrogate"),
    "half a pair in a key": (b'{"\\ud800": 1}', "lone_surrogate"),
    "a surrogate in UTF-8": (b'["\xed\xa0\x80"]', "not_utf8"),
    "NUL by escape": (b'["a\\u0000b"]', "nul"),
    "NUL in a key": (b'{"\\u0000": 1}', "nul"),
    "NUL as a byte": (b'["\x00"]', "syntax"),
    "a line break in a string": (b'["\n"]', "syntax"),
    "Latin-1": (b'["\xe9t\xe9"]', "not_utf8"),
    "UTF-16": ('["a"]'.encode("utf-16"), "not_utf8"),
    "one bracket too many": (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "too_deep"),
    "deep objects": (b'{"a":' * 40 + b"1" + b"}" * 40, "too_deep"),
    "a hundred thousand brackets": (b"[" * 100_000 + b"]" * 100_000, "too_deep"),
    "a hundred thousand open ones": (b'[{"a":' * 100_000, "too_deep"),
    "nothing": (b"", "syntax"),
    "two values": (b"{} {}", "syntax"),
    "a comma at the end": (b"[1,]", "syntax"),
    "a comment": (b"[1] // one", "syntax"),
    "a single quote": (b"{'a': 1}", "syntax"),
    "a leading zero": (b"[01]", "syntax"),
    "a plus sign": (b"[+1]", "syntax"),
    "a bare word": (b"true or false", "syntax"),
}


@pytest.mark.parametrize(("body", "code"), REFUSED.values(), ids=REFUSED)
def test_what_two_readers_could_read_differently_is_refused(body, code):
    with pytest.raises(MalformedJSON) as caught:
        loads(body)
    (problem,) = caught.value.problems
    assert problem.code == code


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"a": 1,\n "b": 2,}', "line 2, column 9"),
        (b'{"a": 1,}', "line 1, column 9"),
        (b'{"a": "\xff"}', "byte 8"),
    ],
)
def test_what_is_no_json_at_all_is_told_where(body, where):
    with pytest.raises(MalformedJSON) as caught:
        loads(body)
    assert caught.value.problems[0].detail.endswith(f" {where}.")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"a": ["x", {"b": "\\ud83d"}]}', "/a/1/b"),
        (b'{"a": "x\\u0000"}', "/a"),
        (b'{"a": {"\\ud83d": 1}}', "/a"),
        (b'{"what I saw": "\\ud83d"}', ""),
    ],
)
def test_a_text_that_is_none_is_pointed_at(body, pointer):
    with pytest.raises(MalformedJSON) as caught:
        loads(body)
    assert caught.value.problems[0].pointer == pointer


def test_a_caller_that_mends_texts_gets_them_and_nothing_else_that_is_not_json():
    assert loads(b'{"a": "\\ud83d\\u0000"}', any_text=True) == {"a": "\ud83d\0"}
    deep = b'["\\ud83d"' + b",[" * MAX_DEPTH + b"]" * (MAX_DEPTH + 1)
    for body in (deep, b'["\\ud83d", NaN]', b'{"a": "\\ud83d", "a": 1}'):
        with pytest.raises(MalformedJSON):
            loads(body, any_text=True)


@pytest.mark.parametrize("body", [body for body, _ in REFUSED.values()], ids=REFUSED)
def test_a_refusal_repeats_nothing_of_the_body(body):
    secret = b'{"narrative": "he wore a green coat", "x": ' + body + b"}"
    with pytest.raises(MalformedJSON) as caught:
        loads(secret)
    said = f"{caught.value.detail} {caught.value.problems}"
    assert "green" not in said
    assert "narrative" not in said


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, -2.5, "x", null, true]}', {"a": [1, -2.5, "x", None, True]}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('["Zoë, 你好, 🚇"]'.encode(), ["Zoë, 你好, 🚇"]),
        (b'["\\ud83d\\ude87"]', ["🚇"]),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
        (b'["' + b"[" * 1000 + b'"]', ["[" * 1000]),
        (b'["' + b"[" * 1000 + b'\\u0041"]', ["[" * 1000 + "A"]),
        (b" 1 ", 1),
        (b'"text"', "text"),
        (b"[9223372036854775807, -9223372036854775808]", [2**63 - 1, -(2**63)]),
    ],
)
def test_what_is_json_is_read(body, value):
    found = loads(body)
    assert value is None or found == value


def test_an_integer_beyond_64_bits_becomes_a_float():
    for text in (b"18446744073709551616", b"-99999999999999999999", b"9223372036854775808"):
        (value,) = loads(b"[" + text + b"]")
        assert isinstance(value, float)
        assert value == float(text)


def test_whatever_is_read_can_be_written_again():
    (value,) = loads(b"[" + b"9" * 300 + b"]")
    assert orjson.loads(orjson.dumps(value)) == value


def test_depth_does_not_depend_on_how_deep_the_caller_is():
    def deeper(frames):
        if frames:
            return deeper(frames - 1)
        return loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)

    assert deeper(sys.getrecursionlimit() // 2)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
)
keys = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
documents = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner))


@given(documents, st.booleans())
def test_every_document_of_a_careful_writer_is_read_as_written(document, escaped):
    assert loads(json.dumps(document, ensure_ascii=escaped).encode()) == document


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_malformed_json(data):
    with contextlib.suppress(MalformedJSON):
        json.dumps(loads(data))
