import pytest
from hypothesis import given
from hypothesis import strategies as st

from waylight.domain.alerts import State, Step
from waylight.domain.alerts.replies import SYMBOLS, Heard, Reply, read_reply, told_instead
from waylight.messages import answers

WORDS = answers()


@pytest.mark.parametrize(
    "text",
    [
        "ACK 4F71",
        "ack 4f71",
        "  Ack   4F71  ",
        "ACK4F71",
        "ACK-4F71",
        "ACK: 4F71.",
        "ACK 4F7I",
        "ack 4f7l",
        "ACK 4 F 7 1",
        "ACK 4F71 on our way",
        "acknowledge 4f71",
        "\uff21\uff23\uff2b 4F71",
        "ACEPTO 4f71",
        "قبول 4F71",
        "ACK\n4F71",
        "ACK\u00a04F71",
    ],
)
def test_yes_is_understood_however_it_is_typed(text):
    assert read_reply(text, WORDS) == Reply(Step.ACKNOWLEDGE, "4F71")


@pytest.mark.parametrize("text", ["DECLINE 0000", "decline oooo", "Rechazo O0o0", "رفض 0000"])
def test_no_is_understood_in_every_language(text):
    assert read_reply(text, WORDS) == Reply(Step.DECLINE, "0000")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ACK",
        "4F71",
        "4F71 ACK",
        "ACK 4F7",
        "ACK 4F712",
        "ACK 4U71",
        "thanks, on my way",
        "STOP",
        "NACK 4F71",
        "ACK 4F7\u0661\u0661",
        "\0\0\0",
        "ACK " + "4" * 10_000,
    ],
)
def test_what_lacks_a_word_or_a_code_is_not_guessed(text):
    assert read_reply(text, WORDS) is None


@given(st.text())
def test_no_text_breaks_the_reader_and_every_code_is_one(text):
    reply = read_reply(text, WORDS)
    assert reply is None or (len(reply.code) == 4 and set(reply.code) <= set(SYMBOLS))


@given(st.text(alphabet=SYMBOLS, min_size=4, max_size=4))
def test_every_code_that_is_given_out_is_understood(code):
    assert read_reply(f"ACK {code}", WORDS) == Reply(Step.ACKNOWLEDGE, code)


@pytest.mark.parametrize("state", list(State))
def test_answer_that_comes_too_late_is_told_so(state):
    late = {State.WITHDRAWN: Heard.ELSEWHERE, State.CLOSED: Heard.OVER}
    assert told_instead(state, closed=False) is late.get(state)
    assert told_instead(state, closed=True) is not None
