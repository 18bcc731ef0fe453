"""`waylight exercise`: tells every team for practice, and prints who would have been reached."""

import json
import shutil
import signal
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from waylight.cli.terminal import opened, say
from waylight.domain.drills import Drill, Level, Rung, Why
from waylight.domain.errors import Unavailable

if TYPE_CHECKING:
    from waylight.services.clock import Clock
    from waylight.services.context import Waylight

LOOK_EVERY_S = 1.0

WORDS = {
    Why.NO_ADDRESS: "no channel in use has an address of it",
    Why.FAILED: "no channel could deliver it",
    Why.NO_ANSWER: "no answer",
}

NARROWEST, WIDEST = 32, 80
"""Columns: a terminal on a phone, and a line that is still read as one."""


@click.command()
@click.option("--city", help="Only the teams of the city of this slug.")
@click.option("--organisation", help="Only the teams of the organisation of this key.")
@click.option("--team", help="Only the team of this key.")
@click.option(
    "--until",
    "level",
    type=click.Choice([str(level) for level in Level]),
    default=str(Level.ACKNOWLEDGED),
    show_default=True,
    help="What counts as reached.",
)
@click.option(
    "--wait", "wait_s", type=click.IntRange(1, 3600), default=120, show_default=True, metavar="S"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
def exercise(
    *,
    city: str | None,
    organisation: str | None,
    team: str | None,
    level: str,
    wait_s: int,
    as_json: bool,
) -> None:
    """Tell every team on duty, marked as an exercise; exit 1 when somebody was not reached.

    The alert is real and travels by every channel in use; it goes to no other team, and is taken
    back at the end, or at Ctrl-C. A worker must run.
    """
    from waylight.services import drills
    from waylight.services.clock import Clock

    with opened() as waylight:
        clock = Clock(waylight.database)
        clock.ask()
        drill = drills.begin(
            waylight.database,
            waylight.vault,
            waylight.settings,
            city=city,
            organisation=organisation,
            team=team,
            level=Level(level),
            lasts=timedelta(seconds=wait_s),
            now=clock(),
        )
        assert drill is not None  # noqa: S101 - only one of a schedule may be there already
        told = sum(rung.alert_id is not None for rung in drill.rungs)
        say(f"{told} of {len(drill.rungs)} teams are told; waiting {wait_s} s at most ...")
        stopped = _watch(waylight, drill, clock)
        drill = drills.end(waylight.database, drill.id, now=clock())
    if as_json:
        click.echo(json.dumps(_plain(drill, stopped=stopped)))
    else:
        columns = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
        click.echo(summary(drill, columns=columns))
    if stopped:
        say("Stopped: what nobody had answered was taken back.")
    sys.exit(130 if stopped else 1 if drill.missed else 0)


def _watch(waylight: "Waylight", drill: Drill, clock: "Clock") -> bool:
    """Waits until all are reached, none can be any more, or time is up; True when told to stop."""
    from waylight.services import drills

    with _told_to_stop() as told:
        # By this machine's count of seconds: nobody sets it while we wait.
        ends_at = time.monotonic() + (drill.ends_at - drill.started_at).total_seconds()
        while not told and time.monotonic() < ends_at:
            try:
                clock.ask()
                if drills.look(waylight.database, drill.id).is_settled:
                    break
            except Unavailable:
                say("The database does not answer; still waiting ...")
            time.sleep(LOOK_EVERY_S)
        return bool(told)


@contextmanager
def _told_to_stop() -> Iterator[list[int]]:
    """Fills with the signal that asked us to stop; a second one is for whoever cannot wait."""
    told: list[int] = []

    def note(number: int, _frame: object) -> None:
        if told:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        told.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def summary(drill: Drill, *, columns: int) -> str:
    """Who was reached and who was not, last what somebody must act on; no line over `columns`."""
    missed = drill.missed
    parts = {
        "OFF DUTY, left in peace": [one for one in drill.rungs if one.why is Why.OFF_DUTY],
        "REACHED": [one for one in drill.rungs if one.is_reached],
        "NOT REACHED": missed,
    }
    told = sum(rung.alert_id is not None for rung in drill.rungs)
    lines = ["EXERCISE"]
    for head, rungs in parts.items():
        if rungs:
            lines += ["", head]
        for rung in rungs:
            lines += _team(rung, columns)
    sentence = f"{drill.reached} of {told} teams on duty were reached ({drill.level})."
    return "\n".join([*lines, "", *textwrap.wrap(sentence, columns)])


def _team(rung: Rung, columns: int) -> list[str]:
    lines = [f"{rung.team}, {rung.organisation}"]
    if rung.why is None:
        lines.append(f"{rung.level}" + _after(rung.after_s))
    elif rung.why is not Why.OFF_DUTY:
        lines.append(WORDS[rung.why] + (f", came as far as {rung.level}" if rung.level else ""))
    lines += [
        f"{one.channel}: {one.status}"
        + _after(one.after_s)
        + (f", {one.detail}" if one.detail else "")
        for one in rung.channels
    ]
    return [
        part
        for depth, line in enumerate(lines)
        for part in textwrap.wrap(
            line,
            columns,
            initial_indent="  " if depth == 0 else "    ",
            subsequent_indent="      ",
        )
    ]


def _after(seconds: float | None) -> str:
    return "" if seconds is None else f" after {seconds:.1f} s"


def _plain(drill: Drill, *, stopped: bool) -> dict[str, Any]:
    plain = asdict(drill)
    told = sum(rung.alert_id is not None for rung in drill.rungs)
    counts = {"told": told, "reached": drill.reached, "missed": len(drill.missed)}
    plain = {"exercise": True, "stopped": stopped, **counts, **plain}
    found: dict[str, Any] = json.loads(json.dumps(plain, default=str))
    return found
