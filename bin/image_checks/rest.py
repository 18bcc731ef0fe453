"""The image at rest: what can be seen of it before anything runs."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from image_checks.building import TAG
from image_checks.terminal import ROOT, buildah, run, say

if TYPE_CHECKING:
    from image_checks.terminal import Report


BOX = Path(__file__).with_name("box.py")


class Image:
    """A built image, its settings, and its files in a folder."""

    def __init__(self) -> None:
        answer = json.loads(buildah("inspect", "--type", "image", TAG))
        self.config: dict[str, Any] = answer["Docker"]["config"]
        container = buildah("from", "--pull-never", TAG)
        self.root = Path(buildah("mount", container))
        self.user = int(self.config["User"].partition(":")[0])
        self.environment = dict(entry.split("=", 1) for entry in self.config["Env"])
        self.workdir = self.config["WorkingDir"]

    def command(self, *words: str, join: int | None = None, entry: bool = True) -> list[str]:
        """Return the command that runs these words in a box, as an engine would."""
        joined = ["--join", str(join)] if join else []
        box = [sys.executable, str(BOX), *joined, str(self.root)]
        entrypoint = self.config["Entrypoint"] if entry else []
        return [*box, self.workdir, str(self.user), *entrypoint, *words]


def look_at(image: Image, report: Report) -> None:
    """Check what can be seen of the image before anything runs."""
    config, root = image.config, image.root
    listed = buildah("images", "--format", "{{.Size}}", TAG)
    say(f"        size {listed}, user {config['User']}, entrypoint {config['Entrypoint']}")
    labels = config.get("Labels") or {}
    report.expect("the user is a number and not root", image.user > 0, config["User"])
    report.expect("it is stopped by SIGTERM", config.get("StopSignal") == "SIGTERM")
    report.expect("it has a healthcheck", config.get("Healthcheck"), config)
    report.expect("it has labels", "org.opencontainers.image.revision" in labels, labels)
    wanted = expected_files()
    home = root / image.workdir.lstrip("/")
    have = {
        str(path.relative_to(home))
        for path in home.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    report.expect(
        f"it holds the {len(wanted)} files of the checkout that run, and no other",
        have == wanted,
        f"too many: {sorted(have - wanted)}\nmissing: {sorted(wanted - have)}",
    )
    tools = [name for name in ("gcc", "cc", "make") if list(root.glob(f"usr/bin/{name}"))]
    tools += [str(path) for path in root.glob("opt/venv/lib/python*/site-packages/pip")]
    report.expect("no compiler, no pip among its packages", not tools, tools)
    writable, raised, odd = [], [], []
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in [*folders, *files]):
            state = path.lstat()
            inside = "/" + str(path.relative_to(root))
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                continue  # devices of a root made by hand: an engine brings its own /dev
            if state.st_uid == image.user or (state.st_mode & 0o002 and not state.st_mode & 0o1000):
                writable.append(inside)
            if path.is_file() and state.st_mode & 0o6000:
                raised.append(inside)
            if path.name in (".env", "pip.conf", "secrets.env", "demo.json", "id_rsa", ".netrc"):
                odd.append(inside)
    report.expect(
        "nothing in it belongs to the user or is for all to write", not writable, writable
    )
    report.expect("no program in it makes its user root", not raised, raised)
    ours = [p for folder in ("opt", "run", "root", "tmp") for p in (root / folder).rglob("*")]
    ours = [p for p in ours if p.is_file() and not p.is_symlink() and p.stat().st_size < 1_000_000]
    odd += [str(p) for p in ours if b"PRIVATE KEY-----\n" in p.read_bytes()]
    secret = re.compile("(?!GPG_).*KEY|PASS|TOKEN|SECRET|PIP_.*(INDEX|PROXY|LINKS)")
    odd += [name for name in image.environment if secret.match(name)]
    report.expect(
        "no secret, and nothing of this machine's pip, in its files or settings", not odd, odd
    )


def expected_files() -> set[str]:
    """Return the files of this checkout that the image is to hold; .dockerignore has to agree."""
    listed = run("git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard")
    rooms = re.compile(
        r"(api|schemas|waylight|migrations|data)/|(LICENSE|gunicorn.conf.py|openapi.yaml)$"
    )
    made_by = re.compile(r"data/\w+/(build\.py|building/|demo/)")
    names = (n for n in listed.splitlines() if (ROOT / n).is_file())
    return {name for name in names if rooms.match(name) and not made_by.match(name)}
