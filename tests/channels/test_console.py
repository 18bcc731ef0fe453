import io
from dataclasses import replace
from uuid import UUID

import pytest

from waylight.channels import open_channels
from waylight.channels.console import Console
from waylight.config import ConfigurationError
from waylight.domain.alerts import Message, Result

MESSAGE = Message(
    delivery_id=UUID(int=1),
    alert_id=UUID(int=2),
    attempt=1,
    channel="console",
    kind="alert.created",
    recipient="First",
    priority=1,
    category_groups=("pursuit", "spiking"),
    exercise=False,
    link="https://waylight.example/v1/alerts/alert_1",
)


def test_console_writes_one_line_of_what_how_urgent_and_a_link():
    stream = io.StringIO()
    assert Console(stream).send(MESSAGE).result is Result.SENT
    assert stream.getvalue() == (
        "ALERT | alert.created | priority 1 (at once) | pursuit spiking | First"
        " | https://waylight.example/v1/alerts/alert_1\n"
    )


def test_exercise_says_so_first():
    stream = io.StringIO()
    exercise = Message(**{**vars(MESSAGE), "exercise": True})
    Console(stream).send(exercise)
    assert stream.getvalue().startswith("EXERCISE | ")


def test_console_that_is_gone_is_a_failure_that_may_pass():
    stream = io.StringIO()
    stream.close()
    outcome = Console(stream).send(MESSAGE)
    assert outcome.result is Result.FAILED
    assert outcome.detail == "ValueError"


def test_console_writes_where_standard_output_is_now(capsys):
    Console().send(MESSAGE)
    assert "First" in capsys.readouterr().out


def test_channels_are_opened_by_their_names(settings):
    assert set(open_channels(replace(settings, channels=("console",)))) == {"console"}


def test_channel_that_nobody_knows_is_a_wrong_setting(settings):
    with pytest.raises(ConfigurationError, match="pigeon"):
        open_channels(replace(settings, channels=("console", "pigeon")))
