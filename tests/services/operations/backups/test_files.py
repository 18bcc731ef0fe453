"""The file: who may read it, what is in it, when it appears, and when it goes."""

import base64
import fcntl
import re
import stat
import tarfile
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.databases import settings_for
from tests.desk import P1, open_desk
from tests.services.operations.backups.nights import NOW
from waylight.db.session import Database
from waylight.domain.errors import Unavailable
from waylight.services.operations import backups
from waylight.services.operations.backups import archive, programs
from waylight.services.operations.backups.archive import BackupFailed
from waylight.services.operations.backups.programs import Program, ProgramMissing
from waylight.vault import Vault

pytestmark = [pytest.mark.commits, pytest.mark.slow]


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Puts a program of this name and text before the real one, which it can call as $REAL."""

    def fake(name, text):
        real = programs.find(name, at_least=15, why="for the test").path
        folder = tmp_path / "fakes"
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_text(
            f'#!/bin/sh\nREAL={real}\n[ "$1" = --version ] && exec $REAL --version\n{text}\n'
        )
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=":")

    return fake


def password_of(url):
    return str(conninfo_to_dict(url)["password"])


def test_only_its_owner_may_read_it_and_its_new_folder(database, back_up):
    path = back_up(database)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert re.fullmatch(r"waylight-backup-\w+-\d{8}T\d{6}Z\.tar", path.name)
    assert list(path.parent.iterdir()) == [path]


def test_no_key_no_story_and_no_password_is_in_it(database, vault, back_up):
    desk = open_desk(database, vault, database._settings)
    desk.report(P1)
    settings = database._settings
    content = back_up(database).read_bytes()
    with tarfile.open(back_up(database, now=NOW + timedelta(seconds=1))) as tar:
        manifest = archive._member(tar, "manifest.json").read()
    for key in (*settings.vault_keys.values(), *settings.receipt_keys.values()):
        for form in (key, key.hex().encode(), base64.b64encode(key)):
            assert form not in content
    assert b"follows" not in content
    for url in (settings.database_url, settings.intake_url, settings.staff_url):
        assert password_of(url).encode() not in content
    assert vault.fingerprints["vault"][2].encode() in manifest


def test_no_password_is_on_a_command_line_and_no_key_in_an_environment(
    database, back_up, fake, tmp_path, monkeypatch
):
    monkeypatch.setenv("WAYLIGHT_VAULT_KEYS", "1:precious")
    fake("pg_dump", f'echo "$@" > {tmp_path}/argv; env > {tmp_path}/env; exec $REAL "$@"')
    back_up(database)
    password = password_of(database._settings.database_url)
    argv, env = ((tmp_path / name).read_text() for name in ("argv", "env"))
    assert password not in argv
    assert "--no-password" in argv
    assert f"PGPASSWORD={password}" in env
    assert "precious" not in env


def test_a_login_whose_rows_are_hidden_makes_no_backup(database, back_up, tmp_path):
    intake = settings_for(database._settings.intake_url)
    folder = tmp_path / "backups"
    with pytest.raises(Exception, match="permission denied to set role"):
        backups.back_up(
            Database(intake), Vault(intake), intake, folder=folder, now=NOW, progress=print
        )
    assert not folder.exists() or list(folder.iterdir()) == []


def test_pg_dump_that_fails_leaves_no_file_and_its_words(database, back_up, fake, tmp_path):
    fake("pg_dump", 'echo "partial"; echo "disk on fire" >&2; exit 3')
    with pytest.raises(BackupFailed, match="disk on fire"):
        back_up(database)
    assert list((tmp_path / "backups").iterdir()) == []


def test_a_database_that_was_never_migrated_has_nothing_to_back_up(empty, vault, tmp_path):
    settings = settings_for(empty)
    with pytest.raises((BackupFailed, Unavailable)):
        backups.back_up(
            Database(settings), vault, settings, folder=tmp_path / "b", now=NOW, progress=print
        )
    assert not (tmp_path / "b").exists()


def test_a_folder_that_cannot_be_used_is_said(database, back_up, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BackupFailed, match="cannot be used"):
        back_up(database, folder=tmp_path / "file")


def test_a_file_that_is_there_is_never_written_over(database, back_up):
    path = back_up(database)
    before = path.read_bytes()
    with pytest.raises(BackupFailed, match="exists already"):
        back_up(database)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_oldest_are_deleted_and_nothing_else(database, back_up, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    name = back_up(database).name
    others = [
        folder / "waylight-backup-another-20010101T000000Z.tar",
        folder / f"{name}.copy",
        folder / name.replace(".tar", ".txt"),
        folder / name.replace("waylight-backup-", "waylight-backup-x"),
        folder / "notes.txt",
    ]
    for other in others:
        other.write_text("mine")
    paths = [back_up(database, now=NOW + timedelta(days=n)) for n in (1, 2, 3)]
    newest = back_up(database, now=NOW + timedelta(days=4), keep=2)
    assert set(folder.iterdir()) == {*others, paths[-1], newest}


def test_a_clock_that_went_back_deletes_no_new_backup(database, back_up, tmp_path):
    first = back_up(database)
    second = back_up(database, now=NOW - timedelta(days=30), keep=1)
    assert second.exists()
    assert not first.exists()


def test_a_failed_backup_deletes_none(database, back_up, fake):
    first = back_up(database)
    fake("pg_dump", "exit 1")
    with pytest.raises(BackupFailed):
        back_up(database, now=NOW + timedelta(days=1), keep=1)
    assert first.exists()


@pytest.fixture
def installed(monkeypatch):
    def installed(*majors):
        monkeypatch.setattr(
            programs,
            "_installed",
            lambda _: [Program(Path(f"/{n}/pg_dump"), n, f"{n}.3") for n in majors],
        )

    return installed


def test_the_program_of_the_servers_version_is_taken_before_a_newer_one(installed):
    installed(17, 15, 16, 14)
    assert programs.find("pg_dump", at_least=15, why="x").major == 15
    installed(17, 18)
    assert programs.find("pg_dump", at_least=15, why="x").major == 17


@pytest.mark.parametrize(("majors", "said"), [((), "there is: none"), ((13, 14), "14.3")])
def test_a_program_that_is_missing_or_too_old_is_said_with_the_way_out(
    installed, database, back_up, majors, said
):
    installed(*majors)
    with pytest.raises(ProgramMissing, match=said) as missing:
        back_up(database)
    assert re.search(r"postgresql-client-\d\d", missing.value.detail)


def test_a_secret_that_only_a_command_line_could_carry_is_refused():
    with pytest.raises(ProgramMissing, match="sslpassword"):
        programs.connected("postgresql://u:p@h/d?sslpassword=s")
    arguments, environment = programs.connected("postgresql://u:p%20w@h:5433/d?sslmode=require")
    assert "p w" not in " ".join(arguments)
    assert environment["PGPASSWORD"] == "p w"
    assert "sslmode=require" in arguments[-1]


def test_unfinished_files_of_killed_backups_are_cleared_and_those_being_written_are_not(
    database, back_up, tmp_path
):
    folder = tmp_path / "backups"
    folder.mkdir()
    dead = folder / ".waylight-backup-x-20010101T000000Z.tar.1.unfinished"
    dead.write_text("half")
    alive = folder / ".waylight-backup-x-20010102T000000Z.tar.2.unfinished"
    with alive.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        path = back_up(database)
    assert set(folder.iterdir()) == {alive, path}
    assert archive.siblings(folder, archive.read(path).database) == [path]
