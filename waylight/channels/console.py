"""The twin of every channel for development: one line on standard output."""

import sys
from typing import TextIO

from waylight.domain.alerts import Message, Outcome, Result

URGENCY = {1: "at once", 2: "soon", 3: "today", 4: "inbox"}


class Console:
    """Writes what kind, how urgent and a link; no story and no exact place (design, D13)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def send(self, message: Message) -> Outcome:
        """Writes one line. It is `sent`, never `delivered`: nobody confirms a line on a console."""
        try:
            stream = self._stream or sys.stdout
            stream.write(line(message))
            stream.flush()
        except (OSError, ValueError) as error:
            return Outcome(Result.FAILED, type(error).__name__)
        return Outcome(Result.SENT)


def line(message: Message) -> str:
    """The line, with its end: one write, so that lines of several threads stay whole."""
    parts = [
        "EXERCISE" if message.exercise else "ALERT",
        message.kind,
        f"priority {message.priority} ({URGENCY[message.priority]})",
        " ".join(message.category_groups),
        message.recipient,
        message.link,
    ]
    return " | ".join(parts) + "\n"
