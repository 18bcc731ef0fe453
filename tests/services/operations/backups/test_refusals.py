"""What is refused, before anything has been changed."""

import base64
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.databases import environment_for, settings_for
from tests.desk import P1, open_desk
from tests.services.operations.backups import nights
from tests.services.operations.backups.nights import NOW
from waylight.config import Settings
from waylight.db.operations import backups as db
from waylight.db.operations import setup
from waylight.services import incidents
from waylight.services.operations import backups, migrations
from waylight.services.operations.backups import archive
from waylight.services.operations.backups.archive import BackupDamaged
from waylight.services.operations.backups.restoring import RestoreRefused
from waylight.services.reports import redactions
from waylight.vault import Vault

pytestmark = [pytest.mark.commits, pytest.mark.slow]


@pytest.fixture
def taken(database, vault, back_up):
    """A backup of a small city with two reports."""
    desk = open_desk(database, vault, database._settings)
    desk.report(P1)
    desk.report(P1)
    return back_up(database)


def restore(url, path, *, keys=None, **others):
    settings = Settings.from_environment(environment_for(url, **(keys or {})))
    return backups.restore(settings, Vault(settings), path, now=NOW, progress=print, **others)


def is_empty(url):
    with psycopg.connect(url) as conn:
        return db.occupied_by(conn) == []


def key(byte):
    return base64.b64encode(bytes([byte]) * 32).decode()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"WAYLIGHT_VAULT_KEYS": f"1:{key(1)}"}, "vault key 2 is missing"),
        ({"WAYLIGHT_VAULT_KEYS": f"1:{key(1)},2:{key(9)}"}, "vault key 2 is another key"),
        ({"WAYLIGHT_RECEIPT_KEYS": f"2:{key(3)}"}, "receipt key 1 is missing"),
        ({"WAYLIGHT_RECEIPT_KEYS": f"1:{key(9)}"}, "receipt key 1 is another key"),
    ],
)
def test_a_key_that_is_missing_or_wrong_is_named_before_anything_is_done(taken, empty, keys, said):
    with pytest.raises(RestoreRefused, match=said) as refused:
        restore(empty, taken, keys=keys)
    assert "fingerprint" in refused.value.detail
    with psycopg.connect(empty) as conn:
        extensions = conn.execute("select extname from pg_extension").fetchall()
    assert extensions == [("plpgsql",)]


def test_a_key_that_nothing_needs_may_be_missing(taken, empty):
    restore(empty, taken, keys={"WAYLIGHT_VAULT_KEYS": f"2:{key(2)}"})


@pytest.mark.parametrize("left", [0.0, 0.1, 0.5, 0.98])
def test_a_truncated_file_is_refused(taken, empty, left):
    os.truncate(taken, int(taken.stat().st_size * left))
    with pytest.raises(BackupDamaged):
        restore(empty, taken)
    assert is_empty(empty)


def test_a_file_with_one_bit_turned_is_refused_wherever_it_is(taken, vault):
    whole = taken.read_bytes()
    with tarfile.open(taken) as tar:
        parts = [(m.offset, m.offset_data, m.offset_data + m.size) for m in tar.getmembers()]
    assert len(parts) == 3
    for header, start, end in parts:
        for at in {header, header + 130, start, (start + end) // 2, end - 1}:
            turned = bytearray(whole)
            turned[at] ^= 4
            taken.write_bytes(turned)
            with pytest.raises(BackupDamaged):
                backups.check(taken, vault)
    taken.write_bytes(whole)
    assert backups.check(taken, vault).rows > 0


def test_a_file_of_something_else_is_refused(tmp_path, vault):
    path = tmp_path / "x.tar"
    for content in (b"", b"hello", bytes(5000)):
        path.write_bytes(content)
        with pytest.raises(BackupDamaged):
            backups.check(path, vault)
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("manifest.json")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"{}"))
    with pytest.raises(BackupDamaged):
        backups.check(path, vault)
    with pytest.raises(BackupDamaged):
        backups.check(tmp_path / "nowhere.tar", vault)


def test_a_database_with_anything_in_it_is_refused_and_keeps_it(taken, cluster, empty, database):
    with psycopg.connect(empty, autocommit=True) as conn:
        conn.execute("create table precious as select 1 as one")
    with pytest.raises(RestoreRefused, match=r"not empty \(it has precious\)"):
        restore(empty, taken)
    with psycopg.connect(empty) as conn:
        assert conn.execute("select one from precious").fetchone() == (1,)
    # The deployment's own database, with all that is in it.
    before = nights.digests(database)
    with pytest.raises(RestoreRefused, match="--into"):
        restore(database._settings.database_url, taken)
    assert nights.digests(database) == before


def test_a_fresh_database_is_made_beside_the_one_in_use(taken, cluster, database):
    name = f"{database._settings.database_url.rpartition('dbname=')[2].split()[0]}_fresh"
    try:
        done = restore(database._settings.database_url, taken, into=name)
        with psycopg.connect(done.settings.intake_url) as conn:
            assert conn.info.dbname == name
            assert conn.execute("select count(*) from reports").fetchone() == (2,)
        with pytest.raises(RestoreRefused, match="not empty"):
            restore(database._settings.database_url, taken, into=name)
    finally:
        with cluster.connect() as conn:
            conn.execute(f"drop database if exists {name} with (force)")


def test_a_drill_proves_a_backup_and_leaves_nothing(taken, cluster, database):
    url = database._settings.database_url
    settings = Settings.from_environment(environment_for(url))
    before = nights.digests(database)

    def drill():
        return backups.drill(settings, Vault(settings), taken, now=NOW, progress=print)

    def left():
        with cluster.connect() as conn:
            return conn.execute(
                "select from pg_database where datname = 'waylight_drill'"
            ).fetchall()

    with cluster.connect() as conn:
        conn.execute("create database waylight_drill")  # as a killed drill leaves it
    done = drill()
    assert done.receipts_tried == done.stories_opened == 2
    assert left() == []
    assert nights.digests(database) == before
    manifest = archive.read(taken)
    forged(taken, tables={**manifest.tables, "organisations": 77})
    with pytest.raises(BackupDamaged):
        drill()
    assert left() == []


def test_a_drill_with_other_keys_locks_nobody_out(taken, cluster, database, monkeypatch):
    def passwords():
        with cluster.connect() as conn:
            query = (
                "select rolname, rolpassword from pg_authid where rolname ~ '^waylight' order by 1"
            )
            return sorted(conn.execute(query).fetchall(), key=str)

    settings = Settings.from_environment(environment_for(database._settings.database_url))
    monkeypatch.setattr(setup, "_logs_in", lambda _: False)  # the test server lets everybody in
    before = passwords()
    backups.drill(settings, Vault(settings), taken, now=NOW, progress=print)
    assert passwords() == before


def test_a_backup_of_newer_code_is_refused(taken, empty, monkeypatch):
    monkeypatch.setattr(migrations, "revisions", lambda: frozenset({"0001"}))
    with pytest.raises(RestoreRefused, match="newer"):
        restore(empty, taken)
    assert is_empty(empty)


def test_a_backup_of_older_code_comes_back_and_asks_for_a_migration(taken, empty, monkeypatch):
    known = migrations.revisions() | {"9999"}
    monkeypatch.setattr(migrations, "revisions", lambda: known)
    assert restore(empty, taken).needs_migration


def forged(path: Path, **changes):
    """The same backup with another manifest, its sums in order."""
    with archive.opened_dump(path) as dump:
        content = dump.read()
    manifest = replace(archive.read(path), **changes)
    path.unlink()
    archive.write(path, lambda write: write(content), lambda *_: manifest)


def test_what_does_not_count_up_is_undone(taken, empty):
    manifest = archive.read(taken)
    forged(taken, tables={**manifest.tables, "organisations": 77})
    with pytest.raises(BackupDamaged, match="organisations: 4, not 77"):
        restore(empty, taken)
    assert is_empty(empty)


def test_a_receipt_or_a_story_that_does_not_open_undoes_it_all(database, vault, back_up, empty):
    desk = open_desk(database, vault, database._settings)
    desk.report(P1)
    desk.do("update receipts set hash = decode(md5(hash::text), 'hex')")
    with pytest.raises(BackupDamaged, match="receipt of report"):
        restore(empty, back_up(database))
    assert is_empty(empty)
    desk.do("delete from receipts")
    desk.do("update report_secrets set narrative = 'not a ciphertext'")
    with pytest.raises(BackupDamaged, match="story of report"):
        restore(empty, back_up(database, now=NOW.replace(year=2001)))
    assert is_empty(empty)


def test_a_note_or_a_redaction_that_does_not_open_undoes_it_all(database, vault, back_up, empty):
    desk = open_desk(database, vault, database._settings)
    report = desk.report(replace(P1, narrative="Anna was there."))
    redactions.redact(
        database,
        vault,
        principal=desk.control,
        report_id=report.id,
        field="narrative",
        ranges=[(0, 4)],
        reason="A bystander.",
        now=NOW,
    )
    (incident,) = desk.rows("select id from incidents")
    incidents.add_note(
        database,
        vault,
        principal=desk.control,
        incident_id=incident["id"],
        text="Seen at Euston.",
        now=NOW,
    )
    path = back_up(database)
    assert restore(empty, path).stories_opened == 1
    desk.do("update report_redactions set redacted = 'not a ciphertext'")
    with pytest.raises(BackupDamaged, match="story of report"):
        backups.drill(
            database._settings,
            vault,
            back_up(database, now=NOW.replace(year=2001)),
            now=NOW,
            progress=print,
        )
    desk.do("delete from report_redactions")
    desk.do("update incident_notes set note = 'not a ciphertext'")
    with pytest.raises(BackupDamaged, match="incident_notes cannot be opened"):
        backups.drill(
            database._settings,
            vault,
            back_up(database, now=NOW.replace(year=2002)),
            now=NOW,
            progress=print,
        )


def test_a_role_that_the_new_server_lacks_is_named(database, vault, cluster, back_up, empty):
    role = "waylight_test_dashboard"
    with cluster.connect() as conn:
        conn.execute(f"drop role if exists {role}")
        conn.execute(f"create role {role}")
    with database.owner() as conn:
        conn.execute(f"grant select on cities to {role}")
    path = back_up(database)
    with database.owner() as conn:
        conn.execute("revoke select on cities from waylight_test_dashboard")
    with cluster.connect() as conn:
        conn.execute(f"drop role {role}")
    with pytest.raises(RestoreRefused, match=f'role "{role}" does not exist'):
        restore(empty, path)
    assert is_empty(empty)


def test_an_older_server_is_refused(taken, empty):
    forged(taken, server_version=990001, postgresql="99.1")
    with pytest.raises(RestoreRefused, match=r"PostgreSQL 99\.1"):
        restore(empty, taken)
    assert is_empty(empty)


def test_a_key_that_was_lost_before_does_not_keep_the_rest_from_coming_back(
    database, vault, tmp_path, empty
):
    desk = open_desk(database, vault, database._settings)
    desk.report(P1)
    poorer = settings_for(
        database._settings.database_url,
        WAYLIGHT_RECEIPT_KEYS=f"2:{key(8)}",
    )
    said: list[str] = []
    path = backups.back_up(
        database, Vault(poorer), poorer, folder=tmp_path, now=NOW, progress=said.append
    )
    assert any("WARNING: 1 rows need receipt key 1" in line for line in said)
    assert restore(empty, path, keys={"WAYLIGHT_RECEIPT_KEYS": f"2:{key(8)}"}).receipts_tried == 0


def test_backup_comes_back_without_the_support_key_but_not_with_another_in_its_place(
    database, vault, tmp_path, empty
):
    desk = open_desk(database, vault, database._settings)
    report = desk.report(P1)
    case_id = uuid4()
    sealed = vault.support.seal(case_id, {})
    desk.do(
        "insert into support_cases (id, report_id, organisation_id, opened_at, opened_by,"
        " key_version, wrapped_key) values (%s, %s, %s, now(), %s, %s, %s)",
        case_id,
        report.id,
        desk.police.organisation_id,
        desk.police.staff_id,
        sealed.key_version,
        sealed.wrapped_key,
    )
    path = backups.back_up(
        database, vault, database._settings, folder=tmp_path, now=NOW, progress=lambda _: None
    )
    with pytest.raises(RestoreRefused, match="support key 1 is another key: 1 support cases"):
        restore(empty, path, keys={"WAYLIGHT_SUPPORT_KEYS": f"1:{key(9)}"})
    restore(empty, path, keys={"WAYLIGHT_SUPPORT_KEYS": ""})
    with psycopg.connect(empty) as conn:
        kept = conn.execute("select wrapped_key from support_cases").fetchone()
    assert kept == (sealed.wrapped_key,)
