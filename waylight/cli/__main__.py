import signal
import sys
from typing import Never

from waylight.cli import cli


def _end(number: int, _frame: object) -> Never:
    sys.exit(128 + number)


# As process 1 of a container a program that says nothing about SIGTERM never hears it, and a long
# load would be killed instead of undone. The server and the worker say more when they start.
signal.signal(signal.SIGTERM, _end)
cli(prog_name="waylight")
