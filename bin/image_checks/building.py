"""The base and the build: the Dockerfile of this checkout, made without an engine."""

from __future__ import annotations

import ast
import os
import re
import shutil
from pathlib import Path

from image_checks.terminal import HOME, ROOT, buildah, install, run, say

TAG = "localhost/waylight:check"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
APT_NETWORK = re.compile(r"Acquire::(Check-|https?::|Retries|ForceIPv|AllowReleaseInfo)")
PIP_NETWORK = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")


def make_root(suite: str | None) -> Path:
    """Make a root file system of a release, by the sources and settings of this machine's apt."""
    install("mmdebstrap")
    release = dict(
        re.findall(r'^(\w+)="?([^"\n]*)', Path("/etc/os-release").read_text(), re.MULTILINE)
    )
    ours = release.get("VERSION_CODENAME", "")
    suite = suite or ours
    say(f"Making a base of {release.get('ID')} {suite} without Python ...")
    asked = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)")
    sources = sorted(
        {
            f"deb {' '.join(line.split()).replace(f' {ours}', f' {suite}')}"
            for line in asked.splitlines()
            if line.split()[1].startswith(ours)
        }
    )
    (HOME / "sources.list").write_text("\n".join(sources) + "\n")
    settings = run("apt-config", "dump").splitlines()
    (HOME / "apt.conf").write_text("\n".join(s for s in settings if APT_NETWORK.match(s)) + "\n")
    made = HOME / "base.tar"
    options = ["--variant=minbase", f"--aptopt={HOME / 'apt.conf'}", "--quiet"]
    run("mmdebstrap", *options, suite, made, HOME / "sources.list")
    return made


def name_of_base(base: str | Path) -> str:
    """Return the name by which buildah finds the base: an image, or one made of a root."""
    if not Path(base).exists():
        say(f"Getting {base} ...")
        return buildah("pull", "--quiet", str(base))
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, Path(base).resolve(), "/")
    buildah("commit", "--quiet", container, "localhost/waylight-base")
    buildah("rm", container)
    return "localhost/waylight-base"


def build(base: str) -> None:
    """Build the Dockerfile of this checkout. The machine's own pip settings travel as secrets."""
    say("Building the Dockerfile ...")
    listed = (
        re.findall(
            r"^(?:global|install|:env:)\.([a-z-]+)=(.*)$",
            run("pip", "config", "list"),
            re.MULTILINE,
        )
        if shutil.which("pip")
        else []
    )
    settings = {name: ast.literal_eval(value) for name, value in listed}
    lines = []
    for name in PIP_NETWORK:
        # A folder of this machine is not there during the build.
        words = [w for w in str(settings.get(name, "")).split() if not w.startswith(("/", "file:"))]
        lines += [f"{name} = {' '.join(words)}"] if words else []
    (HOME / "pip.conf").write_text("\n".join(["[global]", *lines]) + "\n")
    trusted = [os.environ.get("PIP_CERT"), settings.get("cert"), os.environ.get("SSL_CERT_FILE")]
    authorities = next((x for x in [*trusted, AUTHORITIES] if x and Path(x).is_file()), None)
    secret = [f"--secret=id=pip.conf,src={HOME / 'pip.conf'}"]
    secret += [f"--secret=id=ca.pem,src={authorities}"] if authorities else []
    revision = run("git", "-C", ROOT, "rev-parse", "HEAD") if (ROOT / ".git").exists() else "none"
    arguments = [f"BASE_IMAGE={base}", f"REVISION={revision}"]
    # The OCI format knows no HEALTHCHECK.
    kind = ["--format", "docker", "--isolation", "chroot", "--pull-never"]
    given = [f"--build-arg={argument}" for argument in arguments]
    buildah("bud", *kind, *given, *secret, "--tag", TAG, ROOT)
