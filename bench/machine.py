"""What the numbers were measured on, and the CPU time that processes took (Linux: /proc)."""

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
FSYNC_WRITES = 200


def describe(folder: Path) -> dict[str, Any]:
    """Cores, memory, kernel, Python, and the milliseconds of one fdatasync in this folder."""
    return {
        "cores": os.cpu_count(),
        "cpu": _line(PROC / "cpuinfo", "model name"),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "fsync_ms": round(fsync_ms(folder), 3),
    }


def fsync_ms(folder: Path) -> float:
    """The median time of writing 8 KB and fdatasync in this folder."""
    times = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(FSYNC_WRITES):
            began = time.perf_counter()
            file.write(b"\0" * 8192)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def load() -> float:
    """The load average of the last minute."""
    return round(os.getloadavg()[0], 2)


def busy_s() -> float:
    """CPU seconds that this machine has spent on anything, all cores together."""
    words = [int(word) for word in (PROC / "stat").read_text().splitlines()[0].split()[1:9]]
    idle, waiting = words[3], words[4]
    return (sum(words) - idle - waiting) / TICKS


def cpu_s(root: int) -> float:
    """CPU seconds of a process, all it has ever started and waited for, and all that live of it."""
    parents: dict[int, list[int]] = {}
    spent: dict[int, tuple[int, int]] = {}
    for pid, parent, own, waited_for in _processes():
        parents.setdefault(parent, []).append(pid)
        spent[pid] = (own, waited_for)
    ticks, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        ticks += sum(spent.get(pid, (0, 0)))
        waiting += parents.get(pid, [])
    return ticks / TICKS


def _processes() -> Iterable[tuple[int, int, int, int]]:
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        own = int(words[11]) + int(words[12])
        yield int(entry.name), int(words[1]), own, int(words[13]) + int(words[14])


def _line(path: Path, name: str) -> str:
    for line in path.read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "unknown"
