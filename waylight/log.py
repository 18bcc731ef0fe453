"""Logs as events: one JSON object a line on standard error, and nothing personal in any of them."""

import logging
import sys

import structlog
from structlog.stdlib import BoundLogger
from structlog.typing import EventDict, Processor, WrappedLogger

PRIVATE = frozenset(
    {
        "address",
        "authorization",
        "body",
        "code",
        "contact",
        "coordinates",
        "description",
        "description_of_person",
        "email",
        "idempotency_key",
        "ip",
        "lat",
        "location",
        "lon",
        "narrative",
        "password",
        "phone",
        "position",
        "receipt",
        "recovery_codes",
        "remote_addr",
        "secret",
        "text",
        "token",
        "user_agent",
    }
)
"""Names that no log line may carry, whatever a caller passes (design, section 6)."""

TALKATIVE = ("psycopg", "alembic")
"""Libraries whose `info` is a line for every statement or step; only their warnings are kept."""

OURS = ("waylight", "api", "schemas")
"""What `debug` is of. Libraries say there what they were given: Authlib the tokens that it issues,
urllib3 the addresses that it calls."""


_PLAIN = (str, int, float, type(None))

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
]

# One list for the life of the process: a logger keeps the list that it first saw, and with a new
# one for each configuration `structlog.testing.capture_logs` would hear nothing of it.
_PROCESSORS: list[Processor] = [
    structlog.stdlib.filter_by_level,
    *_SHARED,
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]


def withhold_private(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replaces the value of every private name, at any depth of mappings and lists."""
    for name, value in event.items():
        if name.lower() in PRIVATE:
            event[name] = "[withheld]"
        elif not isinstance(value, _PLAIN):
            event[name] = _cleaned(value)
    return event


def configure_logging(level: str = "info") -> None:
    """Sends structlog and the standard library's loggers through one JSON formatter to stderr."""
    # No line says them, and finding them out for each costs a tenth of its time.
    logging.logThreads = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _name_the_failure,
                withhold_private,
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    wanted = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(logging.INFO, wanted))
    for name in OURS:
        logging.getLogger(name).setLevel(wanted if wanted < logging.INFO else logging.NOTSET)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> BoundLogger:
    """A logger of events: `get_logger(__name__).info("report_stored", report_id=str(id))`."""
    logger: BoundLogger = structlog.get_logger(name)
    return logger


def bind_request(request_id: str) -> None:
    """Puts the request's id on every line of this context, and forgets the last request's."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)


def _name_the_failure(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keeps the kind of an exception and where it was raised; its message may quote a report."""
    failure = event.pop("exc_info", None)
    if failure is True:
        failure = sys.exc_info()
    error = failure[1] if isinstance(failure, tuple) else failure
    if isinstance(error, BaseException):
        event["exception"] = type(error).__qualname__
        frames, step = [], error.__traceback__
        while step is not None:
            code = step.tb_frame.f_code
            frames.append(f"{code.co_filename.rpartition('/')[2]}:{step.tb_lineno} {code.co_name}")
            step = step.tb_next
        event["raised_at"] = frames[-12:]
    return event


def _cleaned(value: object) -> object:
    if isinstance(value, dict):
        return {
            name: "[withheld]" if str(name).lower() in PRIVATE else _cleaned(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_cleaned(inner) for inner in value]
    return value
