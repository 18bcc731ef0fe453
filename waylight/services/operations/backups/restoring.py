"""Bringing a backup back into an empty database: all of it and proved to be whole, or nothing.

pg_restore turns the dump into a script, and the script runs over our own connection in one
transaction, which is committed only when every row is counted and a sample of receipts and stories
opens. A restore that is killed leaves an empty database, and the next one begins anew.
"""

import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO

import psycopg
from psycopg.conninfo import make_conninfo

from waylight.config import Settings
from waylight.db import audit as db_audit
from waylight.db.operations import backups as db
from waylight.db.operations import setup
from waylight.db.session import Connection, Database
from waylight.domain.errors import WaylightError
from waylight.domain.redactions import sealed_as
from waylight.services.audit.verifying import Verdict, verify_with
from waylight.services.operations import migrations
from waylight.services.operations.backups import archive, programs
from waylight.services.operations.backups.archive import BackupDamaged, Manifest
from waylight.services.operations.chores import MONTHS_AHEAD
from waylight.services.operations.rotation import FIELDS, SEALED
from waylight.vault import Vault, VaultError

DRILL = "waylight_drill"
"""The name of the database of a drill: nothing else is called so."""

SAMPLE = 500
"""How many receipts and stories of each key's version are tried."""

COPY = re.compile(rb"COPY .* FROM stdin;\n")
END_OF_COPY = b"\\.\n"
NOT_FOR_US = (
    b"\\restrict ",  # to psql, from pg_restore's releases since August 2025
    b"\\unrestrict ",
    b"CREATE SCHEMA public;",  # every database has it
)
SINCE_17 = b"SET transaction_timeout ="
"""What pg_restore 17 and newer begin with, and older servers do not know."""


class RestoreRefused(WaylightError):
    """The backup was not restored, and nothing was changed."""

    code = "restore_refused"


@dataclass(frozen=True)
class Restored:
    """What came back, and what to know before it is used."""

    manifest: Manifest
    settings: Settings
    receipts_tried: int
    stories_opened: int
    ladders_stopped: int
    messages_dropped: int
    needs_migration: bool
    audit: Verdict | None
    """What the chain of the audit log is like; None in a backup of a release without one."""


def check(path: Path, vault: Vault) -> Manifest:
    """What is in a backup, once the file is proved whole and every key it needs to be held.

    Raises BackupDamaged, RestoreRefused.
    """
    manifest = archive.read(path)
    _check_revision(manifest)
    _check_keys(manifest, vault)
    return manifest


def restore(
    settings: Settings,
    vault: Vault,
    path: Path,
    *,
    into: str | None = None,
    quiet_alerts: bool = False,
    logins: bool = True,
    now: datetime,
    progress: Callable[[str], None],
) -> Restored:
    """Restores a backup into the database of the settings, or into the database `into` beside it.

    Either must be empty; one that does not exist yet is made by `into`. With `quiet_alerts` no
    restored alert is sent and no ladder climbs: the incidents stay open, as unanswered, in every
    inbox. Without `logins` the passwords of the two roles stay as they are. Raises BackupDamaged,
    RestoreRefused, ProgramMissing, SetupRefused, Unavailable, and ConfigurationError without
    WAYLIGHT_DATABASE_URL; nothing has been changed then.
    """
    progress(f"checking {path}")
    manifest = check(path, vault)
    pg_restore = programs.find(
        "pg_restore",
        at_least=int(re.sub(r"\D.*", "", manifest.pg_dump)),  # 17.5, and 18beta1
        why=f"because the backup was made by pg_dump {manifest.pg_dump}",
    )
    if into is not None:
        settings = _beside(settings, into)
    database = Database(settings)
    with database.connect("admin") as conn:
        server = db.server_version(conn)
        _check_server(manifest, server)
        _check_empty(conn)
        conn.commit()
        progress("making roles, extensions and logins")
        setup.prepare(conn, settings, logins=logins)
        conn.autocommit = False
        with _refusals(), db.whole_or_nothing(conn):
            _check_empty(conn)  # another restore may have been faster
            progress(f"restoring {manifest.rows} rows with {pg_restore.path} {pg_restore.version}")
            with archive.opened_dump(path) as dump, _script(pg_restore, dump) as script:
                _run(conn, script, server)
            db.after_script(conn)
            progress("counting them again, and trying receipts and stories")
            _check_counts(conn, manifest)
            receipts = _try_receipts(conn, manifest, vault)
            stories = _open_stories(conn, manifest, vault)
            chain = _verify_chain(conn, manifest, vault, now=now)
            db.make_partitions(conn, months_ahead=MONTHS_AHEAD)
            ladders, messages = db.quiet(conn, now=now) if quiet_alerts else (0, 0)
            db.analyse(conn)
    return Restored(
        manifest=manifest,
        settings=settings,
        receipts_tried=receipts,
        stories_opened=stories,
        ladders_stopped=ladders,
        messages_dropped=messages,
        needs_migration=manifest.revision != migrations.head(),
        audit=chain,
    )


def drill(
    settings: Settings,
    vault: Vault,
    path: Path,
    *,
    now: datetime,
    progress: Callable[[str], None],
) -> Restored:
    """Restores a backup into the database `waylight_drill` beside the one in use, and drops it.

    Nobody is alerted: no worker ever sees it. Nobody is locked out either: the passwords of the
    roles are those of the database in use. Raises what `restore` raises.
    """
    with Database(settings).connect("admin") as conn:
        db.drop_database(conn, DRILL)  # one that was killed has left its own
        try:
            return restore(
                settings, vault, path, into=DRILL, logins=False, now=now, progress=progress
            )
        finally:
            db.drop_database(conn, DRILL)


def _beside(settings: Settings, name: str) -> Settings:
    """The settings for a database of this name on the same server, made unless it exists."""
    with Database(settings).connect("admin") as conn:
        if not db.database_exists(conn, name):
            try:
                db.create_database(conn, name)
            except psycopg.errors.InsufficientPrivilege as error:
                raise RestoreRefused(
                    f"The login of WAYLIGHT_DATABASE_URL may not make the database {name!r}: let an"
                    " administrator make it, empty, and try again."
                ) from error
    assert settings.database_url is not None  # noqa: S101 - there was a connection to it
    return replace(
        settings,
        database_url=make_conninfo(settings.database_url, dbname=name),
        intake_url=make_conninfo(settings.intake_url, dbname=name),
        staff_url=make_conninfo(settings.staff_url, dbname=name),
    )


def _check_revision(manifest: Manifest) -> None:
    if manifest.revision not in migrations.revisions():
        raise RestoreRefused(
            f"The backup's schema is at {manifest.revision}, which this Waylight does not know: use"
            f" the Waylight that made it ({manifest.waylight}) or a newer one."
        )


def _check_keys(manifest: Manifest, vault: Vault) -> None:
    wrong = [
        f"{purpose} key {version} is {'missing' if held is None else 'another key'}:"
        f" {use.count} {what} need the one with the"
        f" fingerprint {use.fingerprint}; put it into WAYLIGHT_{purpose.upper()}_KEYS"
        for purpose, what in (
            ("vault", "stories"),
            ("receipt", "receipts"),
            ("support", "support cases"),
        )
        for version, use in manifest.keys.get(purpose, {}).items()
        if use.fingerprint is not None  # one that was lost before the backup was made
        for held in [vault.fingerprints[purpose].get(version)]
        # The support keys are kept apart: whoever restores may not have them, and what they close
        # stays shut. Another key in the place of one would be taken for it.
        if held != use.fingerprint and not (held is None and purpose == "support")
    ]
    if wrong:
        raise RestoreRefused(
            "The backup was made with other keys than are set here, and nothing was changed:\n  "
            + "\n  ".join(wrong)
        )


def _check_server(manifest: Manifest, server: int) -> None:
    if server // 10_000 < manifest.server_version // 10_000:
        raise RestoreRefused(
            f"The backup is of PostgreSQL {manifest.postgresql}, and this server is"
            f" {server // 10_000}: restore it into one that is as new."
        )


def _check_empty(conn: Connection) -> None:
    found = db.occupied_by(conn)
    if found:
        few = ", ".join(found[:5]) + (" ..." if len(found) > 5 else "")
        raise RestoreRefused(
            f"The database {conn.info.dbname!r} is not empty (it has {few}), and a restore never"
            " writes over anything. Use --into NAME, which makes a fresh database NAME beside it,"
            " or let WAYLIGHT_DATABASE_URL name an empty one."
        )


@contextmanager
def _refusals() -> Iterator[None]:
    """Puts into words what the server said on purpose."""
    try:
        yield
    except psycopg.errors.UndefinedObject as error:
        raise RestoreRefused(
            f"Nothing was restored: {error.diag.message_primary}. If it is a role, make it (`create"
            " role NAME nologin` is enough for its rights to be restored) and try again."
        ) from error
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise RestoreRefused(f"Nothing was restored: {str(error).strip()}") from error


@contextmanager
def _script(pg_restore: programs.Program, dump: IO[bytes]) -> Iterator[IO[bytes]]:
    """The dump as SQL. Raises BackupDamaged at the end when pg_restore could not read it."""
    arguments = [str(pg_restore.path), "--no-owner", "--file=-"]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 - pg_restore, by its full path
            arguments,
            env=programs.without_keys(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
        ) as running,
    ):
        assert running.stdin is not None  # noqa: S101 - it is a pipe
        assert running.stdout is not None  # noqa: S101 - the same
        feeder = threading.Thread(target=_feed, args=(dump, running.stdin), daemon=True)
        feeder.start()
        try:
            yield running.stdout
        except BaseException:
            running.kill()
            raise
        finally:
            running.stdout.close()
            feeder.join()
        code = running.wait()
        said.seek(0)
        if code:
            raise BackupDamaged(
                f"pg_restore cannot read the dump: {programs.last_words(said.read())}"
            )


def _feed(dump: IO[bytes], sink: IO[bytes]) -> None:
    with suppress(BrokenPipeError), sink:
        while chunk := dump.read(archive.CHUNK):
            sink.write(chunk)


def _run(conn: Connection, script: IO[bytes], server: int) -> None:
    """Runs a script of pg_restore: statements by the block, rows by COPY. Stops at any error."""
    statements: list[bytes] = []
    for line in script:
        if line.startswith(NOT_FOR_US) or (server < 170_000 and line.startswith(SINCE_17)):
            continue
        if COPY.fullmatch(line):
            _execute(conn, statements)
            with conn.cursor() as cursor, cursor.copy(line) as copy:
                for row in script:
                    if row == END_OF_COPY:
                        break
                    copy.write(row)
                else:
                    raise BackupDamaged("The dump ends in the middle of a table.")
        else:
            statements.append(line)
    _execute(conn, statements)


def _execute(conn: Connection, statements: list[bytes]) -> None:
    conn.execute(b"".join(statements), prepare=False)
    statements.clear()


def _check_counts(conn: Connection, manifest: Manifest) -> None:
    found = db.counts(conn)
    wrong = [
        f"{name}: {found.get(name, 'no table')}, not {manifest.tables.get(name, 'in the backup')}"
        for name in sorted({*found, *manifest.tables})
        if found.get(name) != manifest.tables.get(name)
    ]
    if wrong:
        raise BackupDamaged(
            "What was restored is not what was backed up, and was undone: " + "; ".join(wrong)
        )


def _verify_chain(
    conn: Connection, manifest: Manifest, vault: Vault, *, now: datetime
) -> Verdict | None:
    """The chain as it came back. One that was broken when it was backed up comes back broken.

    Raises BackupDamaged when its newest seal is another than the backup knows.
    """
    if not db_audit.is_there(conn):
        return None
    newest = db_audit.last_seal(conn)
    found = newest and {"seal": newest[0].number, "hash": newest[0].hash().hex()}
    if manifest.audit != found:
        raise BackupDamaged(
            "The audit log that was restored ends with another seal than the one that was backed"
            " up, and was undone."
        )
    return verify_with(conn, vault, now=now)


def _try_receipts(conn: Connection, manifest: Manifest, vault: Vault) -> int:
    tried = 0
    for version in manifest.keys["receipt"]:
        if version not in vault.fingerprints["receipt"]:
            continue
        for row in db.receipts(conn, version, limit=SAMPLE):
            receipt = vault.receipt_for(row["report_id"], version)
            if row["hash"] not in vault.receipt_hashes(receipt).hashes:
                raise BackupDamaged(
                    f"The receipt of report {row['report_id']} no longer finds it; what was"
                    " restored was undone."
                )
            tried += 1
    return tried


def _open_stories(conn: Connection, manifest: Manifest, vault: Vault) -> int:
    opened = 0
    for version in manifest.keys["vault"]:
        if version not in vault.fingerprints["vault"]:
            continue
        for row in db.stories(conn, version, limit=SAMPLE):
            report_id, wrapped_key = row["report_id"], row["wrapped_key"]
            try:
                for field in FIELDS:
                    if row[field] is not None:
                        vault.open(report_id, version, wrapped_key, field, row[field])
                for made in db.redactions(conn, report_id):
                    name = sealed_as(made["id"])
                    vault.open(report_id, version, wrapped_key, name, made["redacted"])
                    vault.open(report_id, version, wrapped_key, f"{name} reason", made["reason"])
            except VaultError as error:
                raise BackupDamaged(
                    f"The story of report {report_id} cannot be opened ({error}); what was"
                    " restored was undone."
                ) from error
            opened += 1
        _open_the_rest(conn, version, vault)
    return opened


def _open_the_rest(conn: Connection, version: int, vault: Vault) -> None:
    """Notes of staff, addresses: whatever else is sealed with a key of its own."""
    for table, (_, fields) in SEALED.items():
        if table == "report_secrets":
            continue
        for row in db.sealed(conn, table, version, limit=SAMPLE):
            try:
                for field in fields:
                    if row[field] is not None:
                        vault.open(row["id"], version, row["wrapped_key"], field, row[field])
            except VaultError as error:
                raise BackupDamaged(
                    f"{row['id']} of {table} cannot be opened ({error}); what was restored was"
                    " undone."
                ) from error
