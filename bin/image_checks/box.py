"""Run one command in a folder with the files of an image, as an engine would by compose.yaml.

    box.py ROOT WORKDIR USER WORD...             in a box of its own
    box.py --join PID ROOT WORKDIR USER WORD...  in that of the process PID: docker exec

Process 1 of its own process namespace, its own mounts, IPC and host name; the root read-only, with
memory for /tmp and /dev/shm alone; USER by number, without any capability or a way to get one. The
environment and the network are the caller's. Needs root; standard library only.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
HOST_NAME = "waylight-box"
TOOLS = "/usr/sbin:/usr/bin:/sbin:/bin"


def tool(name: str) -> str:
    """Return the path of one of the machine's own tools; PATH is the image's."""
    found = shutil.which(name, path=TOOLS)
    if found is None:
        sys.exit(f"bin/image_checks/box.py: {name} (util-linux) is missing.")
    return found


def mount(*words: str | Path) -> None:
    """Mount, or end."""
    subprocess.run([tool("mount"), *words], check=True)


def furnish(root: Path) -> None:
    """Make the mounts that an engine makes; they end with the box."""
    mount("--make-rprivate", "/")
    mount("--bind", root, root)
    mount("-o", "remount,bind,ro", root)
    mount("-t", "proc", "-o", "nosuid,nodev,noexec", "proc", root / "proc")
    mount("-t", "tmpfs", "-o", "nosuid,nodev,mode=1777", "tmpfs", root / "tmp")
    mount("-t", "tmpfs", "-o", "nosuid,noexec,mode=0755", "dev", root / "dev")
    (root / "dev/shm").mkdir()
    mount("-t", "tmpfs", "-o", "nosuid,nodev,noexec,mode=1777,size=64m", "shm", root / "dev/shm")
    for name in ("null", "zero", "full", "random", "urandom"):
        (root / "dev" / name).touch()
        mount("--bind", f"/dev/{name}", root / "dev" / name)
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (root / "dev" / name).symlink_to(f"/proc/self/{target}")
    mount("-o", "remount,nosuid,noexec,ro", root / "dev")


def become(root: Path, workdir: str, user: int) -> None:
    """Enter the root as the user, for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.chroot(root)
    os.chdir(workdir)
    for capability in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        sys.exit("bin/image_checks/box.py: the kernel knows no no_new_privs.")
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    os.umask(0o022)


def main(words: list[str]) -> None:
    """Carry out one command line: outside make or join the namespaces, inside become the image."""
    if words[0] == "--inside":
        joins, root, workdir, user, *command = words[1:]
        if joins == "no":
            subprocess.run([tool("hostname"), HOST_NAME], check=True)
            furnish(Path(root))
        become(Path(root), workdir, int(user))
        os.execvp(command[0], command)  # noqa: S606 -- nothing here is a shell's
    python = [sys.executable, "-I", str(Path(__file__).resolve()), "--inside"]
    if words[0] == "--join":
        namespaces = ["--mount", "--pid", "--ipc", "--uts"]
        program = [tool("nsenter"), "--target", words[1], *namespaces, *python, "yes", *words[2:]]
    else:
        namespaces = ["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child=KILL"]
        program = [tool("unshare"), *namespaces, *python, "no", *words]
    os.execv(program[0], program)  # noqa: S606 -- the same


if __name__ == "__main__":
    if len(sys.argv) < 5 or os.geteuid() != 0:
        sys.exit(f"{__doc__}\nbin/image_checks/box.py: it needs its arguments, and root.")
    main(sys.argv[1:])
