"""What every part of the check shares: programs of this machine, words to the person who waits."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".local/image"
LOG = ROOT / ".local/log/image-check.log"
PR_SET_PDEATHSIG = 1


class Problem(Exception):
    """Something that ends the check; printed without a traceback."""


def say(text: str) -> None:
    """Tell the person at the terminal."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


class Report:
    """What was found, line by line."""

    def __init__(self) -> None:
        self.failed = 0

    def expect(self, what: str, found: object, detail: object = "") -> None:
        """Write down one finding; whatever is false has failed."""
        say(f"{'ok     ' if found else 'FAILED '} {what}")
        if not found:
            self.failed += 1
            say("".join(f"          {line}\n" for line in str(detail).strip().splitlines()[-15:]))


def run(*words: str | Path, **options: Any) -> str:  # noqa: ANN401 -- subprocess's own
    """Run a program to its end and return what it said; all goes to the log too."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        preexec_fn=die_with_us, **options,
    )  # fmt: skip
    with LOG.open("a") as log:
        log.write(f"$ {' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    if done.returncode:
        raise Problem(
            f"{words[0]} failed ({done.returncode}); all of it is in {LOG.relative_to(ROOT)}:\n"
            + "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        )
    return done.stdout.strip()


def die_with_us() -> None:
    """Let a child end when this program is killed: what nobody waits for would go on building."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def buildah(*words: str | Path) -> str:
    """Run buildah in a store of our own, by a driver that needs nothing of the kernel."""
    store: list[str | Path] = [
        "--root",
        HOME / "store",
        "--runroot",
        HOME / "run",
        "--storage-driver",
        "vfs",
    ]
    return run("buildah", *store, *words)


def install(*packages: str) -> None:
    """Install what is missing of Debian's packages."""
    lines = run("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n")
    missing = sorted(set(packages) - {x.removesuffix(" installed") for x in lines.splitlines()})
    if missing:
        say(f"Installing {', '.join(missing)} ...")
        quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        patient = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
        run(*patient, "update", **quiet)
        run(*patient, "install", "--no-install-recommends", *missing, **quiet)


def wait_for(condition: Callable[[], Any], *, seconds: float) -> bool:
    """Poll until the condition holds or the time is over; return whether it does."""
    end = time.monotonic() + seconds
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return bool(answer)
