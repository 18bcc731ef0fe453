import json
import logging

import pytest
import structlog
from structlog.testing import capture_logs

from waylight.log import OURS, PRIVATE, TALKATIVE, bind_request, configure_logging, get_logger


@pytest.fixture(autouse=True)
def _restored():
    """Leaves the loggers as they were found."""
    root = logging.getLogger()
    named = (*TALKATIVE, *OURS)
    before = root.handlers[:], root.level, {n: logging.getLogger(n).level for n in named}
    configured = structlog.get_config() if structlog.is_configured() else None
    yield
    root.handlers[:], root.level = before[:2]
    for name, level in before[2].items():
        logging.getLogger(name).setLevel(level)
    structlog.contextvars.clear_contextvars()
    if configured is None:
        structlog.reset_defaults()
    else:
        structlog.configure(**configured)


def logged(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_what_a_logger_says_is_heard_by_a_test_after_another_configuration(capsys):
    configure_logging("info")
    logger = get_logger("waylight.test")
    logger.info("first")
    configure_logging("info")
    with capture_logs() as logs:
        logger.info("second")
    logger.info("third")
    assert [one["event"] for one in logs] == ["second"]
    assert [line["event"] for line in logged(capsys)] == ["first", "third"]


def test_an_event_is_one_line_of_json_with_the_request_it_belongs_to(capsys):
    configure_logging("info")
    bind_request("req-1")
    get_logger("waylight.test").info("report_stored", priority=1)
    (line,) = logged(capsys)
    assert line["event"] == "report_stored"
    assert line["request_id"] == "req-1"
    assert (line["level"], line["priority"]) == ("info", 1)


def test_the_next_request_does_not_inherit_anything(capsys):
    configure_logging("info")
    bind_request("req-1")
    structlog.contextvars.bind_contextvars(team="t")
    bind_request("req-2")
    get_logger("x").info("seen")
    (line,) = logged(capsys)
    assert line["request_id"] == "req-2"
    assert "team" not in line


@pytest.mark.parametrize("name", sorted(PRIVATE))
def test_private_values_are_withheld_wherever_they_are(capsys, name):
    configure_logging("info")
    get_logger("x").warning("oops", **{name: "S3CRET"}, data={"deep": [{name.upper(): "S3CRET"}]})
    (line,) = logged(capsys)
    assert "S3CRET" not in json.dumps(line)


def test_an_exception_is_named_but_not_quoted(capsys):
    configure_logging("info")
    try:
        int("she wrote: S3CRET")
    except ValueError:
        get_logger("x").exception("failed", report_id="r")
        logging.getLogger("library").exception("failed in a library")
    ours, theirs = logged(capsys)
    assert ours["exception"] == theirs["exception"] == "ValueError"
    assert "test_log.py" in ours["raised_at"][0]
    assert "S3CRET" not in json.dumps([ours, theirs])


def test_debug_is_of_our_own_code_and_of_no_library(capsys):
    configure_logging("debug")
    for name in ("authlib.oauth2.rfc6749.grants.client_credentials", "urllib3.connectionpool"):
        logging.getLogger(name).debug("Issue token %r", "S3CRET")
    logging.getLogger("api.wire.observe").debug("said")
    assert [line["event"] for line in logged(capsys)] == ["said"]


def test_libraries_log_in_the_same_form_and_only_what_matters(capsys):
    configure_logging("info")
    logging.getLogger("psycopg.pool").warning("error connecting in %r", "waylight intake")
    logging.getLogger("psycopg.pool").info("connection requested from %r", "waylight intake")
    (line,) = logged(capsys)
    assert line["event"] == "error connecting in 'waylight intake'"
    assert line["logger"] == "psycopg.pool"
