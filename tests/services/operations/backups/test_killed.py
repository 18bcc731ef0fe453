"""kill -9 in the middle."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import psycopg
import pytest

from tests.databases import ROOT, environment_for, settings_for
from tests.desk import P1, open_desk
from tests.proxy import soon
from tests.services.operations.backups import nights
from tests.services.operations.backups.nights import NOW
from waylight.db.operations import backups as db
from waylight.services.operations import backups
from waylight.services.operations.backups import archive, programs
from waylight.services.operations.backups.archive import BackupDamaged

pytestmark = [pytest.mark.commits, pytest.mark.slow]


@pytest.fixture
def slow_programs(tmp_path):
    """A folder for PATH with a pg_dump and a pg_restore that stop half way."""
    folder = tmp_path / "slow"
    folder.mkdir()
    halves = {"pg_dump": "head -c 20000", "pg_restore": "sed '/^COPY public.events/,$d'"}
    for name, half in halves.items():
        real = programs.find(name, at_least=15, why="for the test").path
        (folder / name).write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && exec {real} --version\n'
            f'{real} "$@" | {half}\nexec sleep 600\n'
        )
        (folder / name).chmod(0o755)
    return folder


@contextmanager
def killed_after(url, slow_programs, *arguments, when):
    """Runs a command with the slow programs, and kills all of it once `when` comes true."""
    environment = {**os.environ, **environment_for(url)}
    environment["PATH"] = f"{slow_programs}:{environment['PATH']}"
    process = subprocess.Popen(
        [sys.executable, "-m", "waylight.cli", *arguments],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:

        def ready():
            assert process.poll() is None, process.communicate()
            return when()

        soon(ready)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=120)
    yield


@pytest.mark.parametrize("ending", ["exit 1", "exit 0"])
def test_a_script_that_ends_in_the_middle_of_a_table_undoes_it_all(
    database, vault, back_up, empty, ending
):
    desk = open_desk(database, vault, database._settings)
    desk.report(P1)
    path = back_up(database)
    real = programs.find("pg_restore", at_least=15, why="for the test").path
    fake = path.parent / "pg_restore"
    fake.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec {real} --version\n'
        f"{real} \"$@\" | sed '/^COPY public.events/q'\n{ending}\n"
    )
    fake.chmod(0o755)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", str(path.parent), prepend=":")
        with pytest.raises(BackupDamaged, match="middle of a table"):
            backups.restore(settings_for(empty), vault, path, now=NOW, progress=print)
    with psycopg.connect(empty) as conn:
        assert db.occupied_by(conn) == []


def test_a_killed_backup_leaves_no_file_under_its_name_and_the_next_works(
    database, vault, slow_programs, back_up, empty
):
    desk = open_desk(database, vault, database._settings)
    desk.report(P1)
    folder = slow_programs.parent / "backups"

    def half_written():
        return any(path.stat().st_size > 10_000 for path in folder.glob(".*.unfinished"))

    with killed_after(
        database._settings.database_url,
        slow_programs,
        *("backup", "--to", str(folder)),
        when=half_written,
    ):
        (unfinished,) = folder.iterdir()
        assert unfinished.name.endswith(".unfinished")
    path = back_up(database)
    assert list(folder.iterdir()) == [path]
    backups.restore(settings_for(empty), vault, path, now=NOW, progress=print)


def test_a_killed_restore_leaves_an_empty_database_and_the_next_works(
    database, vault, slow_programs, back_up, empty
):
    desk = open_desk(database, vault, database._settings)
    desk.report(P1)
    path = back_up(database)
    name = psycopg.conninfo.conninfo_to_dict(empty)["dbname"]

    def half_restored():
        """A transaction that has written, and waits for the rest of the script."""
        with psycopg.connect(database._settings.database_url) as conn:
            found = conn.execute(
                "select from pg_locks l join pg_stat_activity a using (pid) where a.datname = %s"
                " and l.locktype = 'relation' and l.mode = 'AccessExclusiveLock'"
                " and a.state = 'idle in transaction' having count(*) > 50",
                [name],
            ).fetchone()
        return found is not None

    with (
        killed_after(empty, slow_programs, "restore", str(path), when=half_restored),
        psycopg.connect(empty) as conn,
    ):
        # Nobody else ever saw any of it, and the server takes it back.
        assert db.occupied_by(conn) == []
    # The next begins anew, also when the server has not yet noticed the death of the first.
    backups.restore(settings_for(empty), vault, path, now=NOW, progress=print)
    back = nights.opened(empty)
    try:
        assert nights.digests(back) == nights.digests(database)
    finally:
        back.close()
    assert archive.read(path).rows > 0
