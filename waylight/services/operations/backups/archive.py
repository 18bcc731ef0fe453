"""The file of a backup: a plain tar with the dump, what is known of it, and the sums of both.

    database.dump      pg_dump's custom format
    manifest.json      what is in it and what it needs
    manifest.sha256    of manifest.json, which has that of database.dump

The dump comes first because its length is known only at its end. Without Waylight at hand,
`tar -xf` and `pg_restore` open it.
"""

import fcntl
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from waylight.domain.errors import WaylightError

FORMAT = 1
DUMP, MANIFEST, SUM = "database.dump", "manifest.json", "manifest.sha256"
CHUNK = 1 << 20
STAMP = "%Y%m%dT%H%M%SZ"


class BackupDamaged(WaylightError):
    """The file is no whole backup of Waylight: use another one."""

    code = "backup_damaged"


class BackupFailed(WaylightError):
    """The backup could not be made, and no file was left."""

    code = "backup_failed"


@dataclass(frozen=True)
class KeyUse:
    """A key that a backup needs: its public name, and how many stories or receipts need it."""

    fingerprint: str | None
    count: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is known of a backup. `tables` has the rows of the moment that was dumped.

    `keys` is by `vault` or `receipt`, then by version; no key itself is in it.
    """

    taken_at: str
    database: str
    waylight: str
    revision: str
    server_version: int
    postgresql: str
    postgis: str
    pg_dump: str
    tables: Mapping[str, int]
    keys: Mapping[str, Mapping[int, KeyUse]]
    incidents_open: int
    incidents_climbing: int
    climbing_since: str | None
    messages_waiting: int
    last_sequence: int
    audit: Mapping[str, str | int] | None = None
    """The newest seal of the audit log: its number and hash. None of an older release."""
    dump_bytes: int = 0
    dump_sha256: str = ""

    @property
    def rows(self) -> int:
        """All rows together."""
        return sum(self.tables.values())


def name_for(database: str, taken_at: datetime) -> str:
    """The file's name: the database and the moment, so that names sort by age."""
    return f"{_stem(database)}-{taken_at.astimezone(UTC).strftime(STAMP)}.tar"


def siblings(folder: Path, database: str) -> list[Path]:
    """The backups of this database in a folder, newest first; nothing else that lies there."""
    pattern = re.compile(re.escape(_stem(database)) + r"-\d{8}T\d{6}Z\.tar")
    found = [path for path in folder.iterdir() if pattern.fullmatch(path.name) and path.is_file()]
    return sorted(found, key=lambda path: path.name, reverse=True)


def write(
    path: Path,
    dump: Callable[[Callable[[bytes], object]], object],
    manifest: Callable[[int, str], Manifest],
) -> None:
    """Writes a backup that appears under its name whole and on the disk, or not at all.

    `dump` is given a function that takes the database piece by piece, `manifest` the length and
    sum of it all. Nobody but the owner may
    read the file. Raises BackupFailed when there is a file of that name already.
    """
    with _appearing(path) as file:
        file.write(_header(DUMP, 0))
        summing = _Summing(file)
        dump(summing.write)
        _pad(file, summing.length)
        end = file.tell()
        file.seek(0)
        file.write(_header(DUMP, summing.length))
        file.seek(end)
        known = json.dumps(
            {"format": FORMAT, **asdict(manifest(summing.length, summing.sha256.hexdigest()))},
            indent=1,
        ).encode()
        for name, content in ((MANIFEST, known), (SUM, sha256(known).hexdigest().encode())):
            file.write(_header(name, len(content)))
            file.write(content)
            _pad(file, len(content))
        file.write(bytes(2 * tarfile.BLOCKSIZE))


def read(path: Path) -> Manifest:
    """The manifest of a backup whose every byte was checked. Raises BackupDamaged."""
    try:
        with tarfile.open(path, "r:") as tar:
            known = _member(tar, MANIFEST).read()
            if _member(tar, SUM).read().decode() != sha256(known).hexdigest():
                raise BackupDamaged(f"{path}: the manifest has changed since the backup was made.")
            manifest = _understood(known)
            if _sum(_member(tar, DUMP)) != (manifest.dump_bytes, manifest.dump_sha256):
                raise BackupDamaged(f"{path}: the dump has changed since the backup was made.")
    except (OSError, EOFError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise BackupDamaged(f"{path} is no whole backup of Waylight: {error}.") from error
    return manifest


@contextmanager
def opened_dump(path: Path) -> Iterator[IO[bytes]]:
    """The dump inside a backup, for reading. Raises BackupDamaged."""
    with tarfile.open(path, "r:") as tar:
        yield _member(tar, DUMP)


@contextmanager
def _appearing(path: Path) -> Iterator[IO[bytes]]:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    _clear_unfinished(path.parent)
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
            file.flush()
            os.fsync(file.fileno())
            if path.exists():
                raise BackupFailed(f"{path} exists already, and is left as it is.")
            unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _clear_unfinished(folder: Path) -> None:
    """Takes away what killed backups left; one that is still being written is locked."""
    for path in folder.glob(".waylight-*.unfinished"):
        with suppress(OSError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


class _Summing:
    """A file to write to that knows how much was written, and its sum."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.length = 0
        self.sha256 = sha256()

    def write(self, chunk: bytes) -> None:
        self.length += len(chunk)
        self.sha256.update(chunk)
        self._file.write(chunk)


def _stem(database: str) -> str:
    return "waylight-backup-" + re.sub(r"[^A-Za-z0-9_.-]", "_", database)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member.tobuf(tarfile.GNU_FORMAT)


def _pad(file: IO[bytes], size: int) -> None:
    file.write(bytes(-size % tarfile.BLOCKSIZE))


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    found = tar.extractfile(name)
    if found is None:
        raise BackupDamaged(f"{name} in the backup is no file.")
    return found


def _sum(file: IO[bytes]) -> tuple[int, str]:
    length, digest = 0, sha256()
    while chunk := file.read(CHUNK):
        length += len(chunk)
        digest.update(chunk)
    return length, digest.hexdigest()


def _understood(known: bytes) -> Manifest:
    content: dict[str, Any] = json.loads(known)
    version = content.pop("format")
    if version != FORMAT:
        raise BackupDamaged(
            f"This backup has format {version}, and this Waylight knows {FORMAT}: use the Waylight"
            f" that made it ({content.get('waylight')})."
        )
    keys = {
        purpose: {int(number): KeyUse(**use) for number, use in versions.items()}
        for purpose, versions in content.pop("keys").items()
    }
    return Manifest(keys=keys, **content)
