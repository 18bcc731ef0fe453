"""Traces by OpenTelemetry, when `OTEL_EXPORTER_OTLP_ENDPOINT` asks for them.

The spans are made here, from an allow-list, and not by the instrumentations of Flask and psycopg:
those note path, query, address and user agent of each call, more with each release, and a position
is in the query of `GET /v1/hubs/nearest`. The packages are in requirements-telemetry.txt.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal

from waylight.config import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

ASKED_FOR_BY = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

Kind = Literal["server", "client", "internal"]
Attribute = Literal[
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "db.system.name",
    "waylight.channel",
    "waylight.message",
    "waylight.part",
    "waylight.request_id",
    "waylight.role",
]
"""All that a span may say. Words of ours, but for a request id, which a caller may choose."""

_NOTHING: AbstractContextManager[None] = nullcontext()
_tracer: "Tracer | None" = None


def start(service: str, environ: Mapping[str, str]) -> "TracerProvider | None":
    """Sends spans from now on, in the background, when the environment asks for it.

    The library reads endpoint, headers, sampling and the rest from its own `OTEL_...` variables.
    Raises ConfigurationError when the packages are missing.
    """
    exporter = exporter_of(environ)
    return None if exporter is None else send_to(exporter(), service)


def exporter_of(environ: Mapping[str, str]) -> "type[SpanExporter] | None":
    """What sends spans where the environment asks for it; None when it does not.

    Raises ConfigurationError when the packages are missing.
    """
    asked = [name for name in ASKED_FOR_BY if environ.get(name, "").strip()]
    if not asked or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - optional
            OTLPSpanExporter,
        )
    except ImportError as error:
        raise ConfigurationError(
            [
                (
                    f"{asked[0]} asks for traces, and the packages are missing: install"
                    " requirements-telemetry.txt, or unset it."
                )
            ]
        ) from error
    return OTLPSpanExporter


def send_to(exporter: "SpanExporter", service: str) -> "TracerProvider":
    """Sends spans to an exporter from now on. Its `shutdown` sends what is left."""
    global _tracer  # noqa: PLW0603 - one for each process, as the log
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - optional
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - optional
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - optional

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _tracer = provider.get_tracer("waylight")
    return provider


def stop() -> None:
    """Makes no more spans in this process."""
    global _tracer  # noqa: PLW0603 - see send_to
    _tracer = None


def span(
    name: str, kind: Kind = "internal", attributes: Mapping[Attribute, str | int] | None = None
) -> "AbstractContextManager[Span | None]":
    """A span around a block; costs nothing when nobody asked for traces.

    What a block raises is not recorded: the message of an exception may quote a report.
    """
    if _tracer is None:
        return _NOTHING
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 - optional

    return _tracer.start_as_current_span(
        name,
        kind=SpanKind[kind.upper()],
        attributes={str(name): value for name, value in (attributes or {}).items()},
        record_exception=False,
        set_status_on_exception=False,
    )
