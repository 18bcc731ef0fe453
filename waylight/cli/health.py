"""`waylight healthy`: an engine's question to a container."""

import http.client
import socket
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import click

from waylight.cli.terminal import opened, read_settings
from waylight.config import Settings

PROCESS_1 = Path("/proc/1/cmdline")
ANSWER_LIMIT_S = 5.0


@click.command()
@click.argument("role", type=click.Choice(["serve", "stream", "worker"]), required=False)
def healthy(role: str | None) -> None:
    """Say whether this container's ROLE does its work: nothing and 0 when it does, else why and 1.

    `serve` and `stream` have to answer GET /healthz. `worker` has to have beaten, which it does
    only while it can deliver. Without ROLE it is that of process 1; commands that end by themselves
    are healthy.
    """
    words = PROCESS_1.read_bytes().decode(errors="replace").split("\0") if role is None else []
    role = role or _role_of(words)
    problem = None
    if role in ("serve", "stream"):
        settings = read_settings()
        port = settings.port if role == "serve" else settings.stream_port
        problem = _does_not_answer(settings, port)
    elif role == "worker":
        problem = _does_not_beat()
    if problem:
        raise click.ClickException(problem)


def _role_of(words: Sequence[str]) -> str | None:
    """What a command line runs: `waylight ROLE`, also by way of an init, or gunicorn itself."""
    for before, word in pairwise(words):
        ours = before.rpartition("/")[2] in ("waylight", "waylight.cli")
        if ours and word in ("serve", "stream", "worker"):
            return word
        if (before, word) == ("-m", "gunicorn"):
            return "stream" if "--bind" in words else "serve"
    return None


def _does_not_answer(settings: Settings, port: int) -> str | None:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_LIMIT_S)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"Port {port} does not answer: {error}"
    finally:
        connection.close()
    return None if status == http.HTTPStatus.OK else f"/healthz answers {status}."


def _does_not_beat() -> str | None:
    from waylight.services.operations import chores

    with opened() as waylight:
        if chores.is_beating(waylight.database, socket.gethostname()):
            return None
    return "The worker of this host has not been heard of for 15 seconds."
