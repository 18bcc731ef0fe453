"""Taking a backup of a running deployment: nobody waits for it."""

import os
import subprocess
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from waylight import __version__
from waylight.config import Settings
from waylight.db.audit import is_there, last_seal
from waylight.db.operations import backups as db
from waylight.db.operations import rotation
from waylight.db.operations.setup import OWNER
from waylight.db.session import Database
from waylight.services.operations import migrations
from waylight.services.operations.backups import archive, programs
from waylight.services.operations.backups.archive import BackupFailed, KeyUse, Manifest
from waylight.vault import Vault


def back_up(
    database: Database,
    vault: Vault,
    settings: Settings,
    *,
    folder: Path,
    keep: int | None = None,
    now: datetime,
    progress: Callable[[str], None],
) -> Path:
    """Writes all of one moment of the database into a new file of the folder; returns its path.

    Reports may come in meanwhile. With `keep`, the oldest backups of this database beyond so many
    are deleted once the new one is safe. Raises BackupFailed, ProgramMissing, Unavailable, and
    ConfigurationError without WAYLIGHT_DATABASE_URL.
    """
    revision = migrations.current(database)
    if revision is None:
        raise BackupFailed("There is nothing to back up: the database has not been migrated.")
    with database.connect("admin") as conn:
        name = conn.info.dbname
        server = db.server_version(conn)
        pg_dump = programs.find(
            "pg_dump", at_least=server // 10_000, why="the version of the server"
        )
        _prepare(folder)
        path = folder / archive.name_for(name, now)
        with db.snapshot(conn) as snapshot:
            progress("counting the rows of this moment")
            state = db.about(conn)
            tables = db.counts(conn)
            sealed = last_seal(conn) if is_there(conn) else None
            keys = {
                purpose: {
                    version: KeyUse(vault.fingerprints[purpose].get(version), count)
                    for version, count in versions.items()
                }
                for purpose, versions in rotation.needed(conn).items()
            }

            def manifest(length: int, digest: str) -> Manifest:
                since = state["climbing_since"]
                return Manifest(
                    taken_at=now.isoformat(),
                    database=name,
                    waylight=__version__,
                    revision=state["revision"],
                    server_version=server,
                    postgresql=state["postgresql"],
                    postgis=state["postgis"],
                    pg_dump=pg_dump.version,
                    tables=tables,
                    keys=keys,
                    incidents_open=state["incidents_open"],
                    incidents_climbing=state["incidents_climbing"],
                    climbing_since=since and since.isoformat(),
                    messages_waiting=state["messages_waiting"],
                    last_sequence=state["last_sequence"],
                    audit=sealed and {"seal": sealed[0].number, "hash": sealed[0].hash().hex()},
                    dump_bytes=length,
                    dump_sha256=digest,
                )

            progress(f"dumping {sum(tables.values())} rows with {pg_dump.path} {pg_dump.version}")
            try:
                archive.write(
                    path, lambda write: _dump(pg_dump, settings, snapshot, write), manifest
                )
            except OSError as error:
                raise BackupFailed(f"{path} cannot be written: {error}.") from error
    for purpose, versions in keys.items():
        for version, use in versions.items():
            if use.fingerprint is None:
                progress(
                    f"WARNING: {use.count} rows need {purpose} key {version}, which is not set:"
                    " without it nobody can read them"
                )
    if keep is not None:
        _prune(folder, name, path, keep=keep, progress=progress)
    return path


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BackupFailed(f"The folder {folder} cannot be used: {error}.") from error


def _dump(
    pg_dump: programs.Program, settings: Settings, snapshot: str, write: Callable[[bytes], object]
) -> None:
    assert settings.database_url is not None  # noqa: S101 - there is a connection to it
    login, environment = programs.connected(settings.database_url)
    arguments = [
        str(pg_dump.path),
        *login,
        "--format=custom",
        f"--snapshot={snapshot}",
        # The owner of every table, whom row-level security does not bind: pg_dump fails rather
        # than leave rows out, and an unprivileged role would see none.
        f"--role={OWNER}",
        "--schema=public",
        "--no-comments",
        "--lock-wait-timeout=60s",
        "--exclude-table=spatial_ref_sys",  # comes with PostGIS
        *(f"--exclude-table-data={name}" for name in db.EPHEMERAL),
    ]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 - pg_dump, by its full path
            arguments, env=environment, stdout=subprocess.PIPE, stderr=said
        ) as running,
    ):
        assert running.stdout is not None  # noqa: S101 - it is a pipe
        try:
            while chunk := os.read(running.stdout.fileno(), archive.CHUNK):
                write(chunk)
        except BaseException:
            running.kill()
            raise
        code = running.wait()
        said.seek(0)
        if code:
            raise BackupFailed(f"pg_dump failed: {programs.last_words(said.read())}")


def _prune(
    folder: Path, database: str, newest: Path, *, keep: int, progress: Callable[[str], None]
) -> None:
    """Deletes the oldest. Never the new one, whatever the clock says of it."""
    others = [path for path in archive.siblings(folder, database) if path != newest]
    for path in others[max(keep, 1) - 1 :]:
        path.unlink()
        progress(f"deleted {path}")
