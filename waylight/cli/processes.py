"""The commands that run until they are stopped: the front door and the back door."""

import os
import sys
from pathlib import Path

import click

from waylight import telemetry
from waylight.cli.terminal import read_settings
from waylight.config import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def serve(options: tuple[str, ...]) -> None:
    """Serve the API with gunicorn, which takes any further OPTIONS."""
    read_settings()  # wrong ones are named here, once, rather than by every worker
    _run_gunicorn(*options)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def stream(options: tuple[str, ...]) -> None:
    """Serve the live stream apart from the rest: the same app, in processes of its own.

    A proxy in front sends `/v1/alerts/stream` here and everything else to `waylight serve`.
    """
    settings = read_settings()
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    _run_gunicorn(
        *("--bind", f"{host}:{settings.stream_port}"),
        *("--workers", str(settings.stream_workers)),
        *options,
    )


def _run_gunicorn(*options: str) -> None:
    try:
        telemetry.exporter_of(os.environ)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    config = ["--config", str(ROOT / "gunicorn.conf.py"), "--chdir", str(ROOT)]
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *config, *options])  # noqa: S606 - nothing here is a shell's


@click.command()
def worker() -> None:
    """Deliver alerts, climb ladders, keep hours expanded; until SIGTERM or Ctrl-C."""
    from waylight.worker import run

    try:
        run(read_settings())
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
