"""The chain over the audit log: what seals it, and how each attack on it is found."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner

from tests.databases import settings_for
from tests.desk import NOW, P1, P4
from waylight.cli import cli
from waylight.db import audit as db
from waylight.domain.audit import digest_of, digest_over
from waylight.services import audit, incidents
from waylight.services.alerts import list_alerts
from waylight.vault import Vault

LATER = NOW + timedelta(minutes=5)
TABLES = ("audit_entries", "audit_positions", "audit_seals")


def seal(desk, *, now=NOW, vault=None):
    return audit.seal(desk.database, vault or desk.vault, now=now, everything=True)


def verify(desk, **others):
    return audit.verify(desk.database, others.pop("vault", desk.vault), now=LATER, **others)


def as_superuser(desk, statement, *values):
    """What nobody but the owner of the server can do, and verify has to find."""
    for table in TABLES:
        desk.do(f"alter table {table} disable trigger all")
    desk.do(statement, *values)


def entries(desk):
    return desk.rows(
        "select e.*, p.position from audit_entries e"
        " left join audit_positions p on p.entry_id = e.id order by p.position, e.id"
    )


@pytest.fixture
def sealed(desk):
    """Six entries under three seals of two each."""
    desk.report()
    for minute in range(3):
        now = NOW + timedelta(minutes=minute)
        for who, team in ((desk.police, desk.first), (desk.control, desk.first)):
            desk.read(who, desk.alert_of(team), now=now)
        assert seal(desk, now=now) == 2
    return desk


def test_a_whole_chain_is_whole(sealed):
    found = verify(sealed)
    assert (found.broken, found.unsealed, found.unsigned) == (None, 0, 0)
    assert (found.seals, found.entries) == (3, 6)
    assert [row["position"] for row in entries(sealed)] == [1, 2, 3, 4, 5, 6]


def test_entries_that_are_not_sealed_yet_are_counted(sealed):
    sealed.read(sealed.police, sealed.alert_of(sealed.first))
    found = verify(sealed)
    assert (found.broken, found.unsealed, found.entries) == (None, 1, 6)


@pytest.mark.parametrize(
    "change",
    [
        "action = 'report.listed'",
        "staff_id = uuid_v7()",
        "organisation_id = uuid_v7()",
        "at = at - interval '1 microsecond'",
        "report_id = null",
        "request_id = 'another-one'",
        "key_id = uuid_v7()",
        "subject_id = uuid_v7()",
    ],
)
def test_a_changed_entry_is_found_and_named(sealed, change):
    forged = entries(sealed)[3]
    as_superuser(sealed, f"update audit_entries set {change} where id = %s", forged["id"])  # noqa: S608 - ours
    broken = verify(sealed).broken
    assert (broken.code, broken.seal, broken.position, broken.entry_id) == (
        "entry_changed",
        2,
        4,
        forged["id"],
    )


def test_a_deleted_entry_is_found_and_named(sealed):
    gone = entries(sealed)[2]
    as_superuser(sealed, "delete from audit_entries where id = %s", gone["id"])
    broken = verify(sealed).broken
    assert (broken.code, broken.seal, broken.entry_id) == ("entry_deleted", 2, gone["id"])


def test_an_entry_that_is_deleted_with_its_place_is_found(sealed):
    gone = entries(sealed)[2]
    as_superuser(sealed, "delete from audit_entries where id = %s", gone["id"])
    as_superuser(sealed, "delete from audit_positions where entry_id = %s", gone["id"])
    broken = verify(sealed).broken
    assert (broken.code, broken.seal, broken.position) == ("place_deleted", 2, 3)


@pytest.mark.parametrize("with_digests", [False, True])
def test_reordered_entries_are_found(sealed, with_digests):
    first, second = (row["id"] for row in entries(sealed)[2:4])
    as_superuser(sealed, "alter table audit_positions drop constraint uq_audit_positions_entry_id")
    for position, entry_id in ((3, second), (4, first)):
        sealed.do(
            "update audit_positions set entry_id = %s where position = %s", entry_id, position
        )
    if with_digests:
        _make_digests_fit(sealed)
    broken = verify(sealed).broken
    assert (broken.code, broken.seal) == ("entry_changed", 2)
    assert broken.entry_id in (first, second)


def test_a_changed_entry_whose_digest_was_made_to_fit_is_found_and_named(sealed):
    forged = entries(sealed)[3]
    as_superuser(sealed, "update audit_entries set report_id = null where id = %s", forged["id"])
    _make_digests_fit(sealed)
    broken = verify(sealed).broken
    assert (broken.code, broken.seal, broken.entry_id) == ("entry_changed", 2, forged["id"])


def test_a_seal_that_was_made_to_fit_as_well_is_not_signed(sealed):
    forged = entries(sealed)[3]
    as_superuser(sealed, "update audit_entries set report_id = null where id = %s", forged["id"])
    _make_digests_fit(sealed)
    _make_seals_fit(sealed)
    broken = verify(sealed).broken
    assert (broken.code, broken.seal) == ("seal_changed", 2)


def test_whoever_has_only_the_database_cannot_make_the_chain_anew(sealed):
    """All of it, with a key of their own: nothing of it is ours."""
    as_superuser(sealed, "delete from audit_positions")
    as_superuser(sealed, "delete from audit_seals")
    other = base64.b64encode(b"x" * 32).decode()
    theirs = Vault(settings_for("postgresql://x", WAYLIGHT_VAULT_KEYS=f"1:{other},2:{other}"))
    seal(sealed, vault=theirs)
    broken = verify(sealed).broken
    assert (broken.code, broken.seal) == ("seal_changed", 1)


@pytest.mark.parametrize("is_sealed", [False, True])
def test_an_entry_that_waylight_has_not_written_is_found(sealed, is_sealed):
    forged = uuid4()
    sealed.do(
        "insert into audit_entries (id, at, staff_id, organisation_id, action)"
        " values (%s, %s, %s, %s, 'report.read')",
        forged,
        NOW,
        sealed.police.staff_id,
        sealed.police.organisation_id,
    )
    if is_sealed:
        assert seal(sealed, now=LATER) == 1
    broken = verify(sealed).broken
    assert (broken.code, broken.entry_id) == ("entry_inserted", forged)
    assert broken.seal == (4 if is_sealed else None)


def test_a_copy_of_an_entry_under_another_id_is_found(sealed):
    as_superuser(
        sealed,
        "insert into audit_entries select uuid_v7(), at, staff_id, organisation_id, action,"
        " report_id, incident_id, alert_id, request_id, key_id, subject_id, signature"
        " from audit_entries limit 1",
    )
    seal(sealed, now=LATER)
    assert verify(sealed).broken.code == "entry_inserted"


def test_an_entry_inserted_between_sealed_ones_is_found(sealed):
    as_superuser(
        sealed,
        "insert into audit_positions select 7, uuid_v7(), true, digest from audit_positions"
        " where position = 1",
    )
    broken = verify(sealed).broken
    assert (broken.code, broken.position) == ("place_inserted", 7)


@pytest.mark.parametrize(
    ("number", "code", "seal_number"),
    [(1, "seal_deleted", 1), (2, "seal_deleted", 2)],
)
def test_a_deleted_seal_is_found(sealed, number, code, seal_number):
    as_superuser(sealed, "delete from audit_seals where number = %s", number)
    broken = verify(sealed).broken
    assert (broken.code, broken.seal) == (code, seal_number)


def test_a_tail_that_was_cut_off_is_found_by_a_checkpoint(sealed):
    kept = verify(sealed).newest
    assert verify(sealed, checkpoint=kept).broken is None
    as_superuser(
        sealed,
        "delete from audit_entries where id in"
        " (select entry_id from audit_positions where position > 4)",
    )
    as_superuser(sealed, "delete from audit_positions where position > 4")
    as_superuser(sealed, "delete from audit_seals where number > 2")
    assert verify(sealed).broken is None
    broken = verify(sealed, checkpoint=kept).broken
    assert (broken.code, broken.seal, broken.position) == ("tail_cut", 3, 5)
    sealed.read(sealed.police, sealed.alert_of(sealed.first), now=LATER)
    assert seal(sealed, now=LATER) == 1
    broken = verify(sealed, checkpoint=kept).broken
    assert (broken.code, broken.seal) == ("tail_replaced", 3)


def test_a_checkpoint_that_somebody_made_up_is_no_checkpoint(sealed):
    kept = verify(sealed).newest
    made_up = replace(kept, hash=bytes(32))
    assert verify(sealed, checkpoint=made_up).broken.code == "checkpoint_foreign"


def test_nothing_is_sealed_on_top_of_a_forged_seal(sealed):
    as_superuser(sealed, "update audit_seals set sealed_at = now() where number = 3")
    sealed.read(sealed.police, sealed.alert_of(sealed.first))
    with pytest.raises(audit.ChainBroken):
        seal(sealed, now=LATER)
    assert len(sealed.rows("select from audit_seals")) == 3


def test_after_a_change_of_keys_the_old_one_may_go(sealed):
    """The newest seal is by the new key, and covers all before it."""
    keys = {n: base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3)}

    def vault(*versions):
        held = ",".join(f"{n}:{keys[n]}" for n in versions)
        return Vault(settings_for("postgresql://x", WAYLIGHT_VAULT_KEYS=held))

    assert seal(sealed, now=LATER, vault=vault(1, 2, 3)) == 0
    found = verify(sealed, vault=vault(3))
    assert (found.broken, found.seals, found.newest.key_version) == (None, 4, 3)
    assert verify(sealed, vault=vault(1)).broken.code == "key_missing"
    forged = entries(sealed)[1]
    as_superuser(sealed, "update audit_entries set alert_id = null where id = %s", forged["id"])
    assert verify(sealed, vault=vault(3)).broken.entry_id == forged["id"]


def test_entries_of_a_release_without_signatures_are_sealed_and_counted(desk):
    desk.do(
        "insert into audit_entries (at, staff_id, organisation_id, action)"
        " select %s, %s, %s, 'report.read' from generate_series(1, 3)",
        NOW,
        desk.police.staff_id,
        desk.police.organisation_id,
    )
    assert verify(desk).unsigned == 3
    assert seal(desk) == 3
    found = verify(desk)
    assert (found.broken, found.entries, found.unsigned) == (None, 3, 3)


def test_the_first_seal_needs_no_entry_and_closes_the_door(desk):
    assert seal(desk) == 0
    desk.do(
        "insert into audit_entries (at, staff_id, organisation_id, action)"
        " values (%s, %s, %s, 'report.read')",
        NOW,
        desk.police.staff_id,
        desk.police.organisation_id,
    )
    assert verify(desk).broken.code == "entry_inserted"


def test_sealing_again_changes_nothing(sealed):
    assert seal(sealed, now=LATER) == 0
    assert len(sealed.rows("select from audit_seals")) == 3


def test_more_than_a_batch_is_sealed_in_several(desk, monkeypatch):
    monkeypatch.setattr(audit.sealing, "BATCH", 2)
    desk.report()
    for _ in range(5):
        desk.read(desk.police, desk.alert_of(desk.first))
    assert seal(desk) == 5
    found = verify(desk)
    assert (found.broken, found.seals, found.entries) == (None, 3, 5)


def test_entries_carry_no_story(desk):
    marked = "zebrafinch"
    report = replace(P1, narrative=f"He wore a {marked} coat.")
    desk.report(report)
    desk.report(P4)
    alert = desk.alert_of(desk.first)
    list_alerts(desk.database, desk.vault, desk.police, now=NOW)
    desk.read(desk.police, alert)
    incident = desk.rows("select incident_id from alerts where id = %s", alert)[0]["incident_id"]
    looking = {"principal": desk.control, "incident_id": incident, "now": NOW}
    incidents.add_note(desk.database, desk.vault, **looking, text=f"The {marked} again.")
    incidents.read_incident(desk.database, desk.vault, **looking)
    incidents.read_timeline(desk.database, desk.vault, **looking)
    seal(desk)
    written = [*entries(desk), *desk.rows("select * from audit_seals")]
    assert {"report.read", "report.listed", "notes.read"} <= {
        row["action"] for row in entries(desk)
    }
    assert marked not in repr(written)


def test_an_entry_has_no_room_for_a_text(desk):
    for column, value in (("action", "He followed me"), ("request_id", "he followed me home")):
        with pytest.raises(Exception, match=f"ck_audit_entries_{column}"):
            desk.do(
                "insert into audit_entries (at, staff_id, organisation_id, action, request_id)"
                " values (now(), uuid_v7(), uuid_v7(), %s, %s)",
                value if column == "action" else "report.read",
                value if column == "request_id" else None,
            )


def test_a_seal_that_is_made_while_the_chain_is_read_breaks_nothing(sealed, monkeypatch):
    """The places are read before the seals: what is sealed in between is half seen."""
    seals = db.seals

    def late(conn, **others):
        sealed.read(sealed.police, sealed.alert_of(sealed.first), now=LATER)
        assert seal(sealed, now=LATER) == 1
        yield from seals(conn, **others)

    monkeypatch.setattr(db, "seals", late)
    assert verify(sealed).broken is None
    monkeypatch.undo()
    found = verify(sealed)
    assert (found.broken, found.seals) == (None, 4)


@pytest.mark.parametrize("is_sealed", [False, True])
def test_an_entry_inserted_with_an_old_time_is_found(sealed, is_sealed):
    """Older than all that sealing looks at every few seconds."""
    (forged,) = sealed.rows(
        "insert into audit_entries (id, at, staff_id, organisation_id, action)"
        " values (uuid_v7('2020-01-01'), '2020-01-01', %s, %s, 'report.read') returning id",
        sealed.police.staff_id,
        sealed.police.organisation_id,
    )
    assert audit.seal(sealed.database, sealed.vault, now=LATER) == 0
    if is_sealed:
        assert seal(sealed, now=LATER) == 1
    broken = verify(sealed).broken
    assert (broken.code, broken.entry_id) == ("entry_inserted", forged["id"])


@pytest.mark.parametrize("off", [timedelta(hours=-3), timedelta(hours=3)])
def test_a_clock_that_jumps_breaks_nothing_and_leaves_nothing_unsealed(sealed, off, monkeypatch):
    """The clock of one process gives ids; another's says when it is sealed."""
    at = int((NOW + off).timestamp() * 1000)
    with monkeypatch.context() as wrong:
        wrong.setattr(
            "uuid_utils.compat.uuid7",
            lambda: _uuid7(at, uuid4().int & (1 << 74) - 1),
        )
        sealed.read(sealed.police, sealed.alert_of(sealed.first), now=NOW + off)
    assert seal(sealed, now=NOW + off) == 1
    sealed.read(sealed.police, sealed.alert_of(sealed.first), now=NOW)
    assert seal(sealed, now=NOW) == 1
    found = verify(sealed)
    assert (found.broken, found.unsealed, found.entries) == (None, 0, 8)


def _uuid7(at_ms, random):
    return UUID(int=at_ms << 80 | 7 << 76 | random >> 62 << 64 | 2 << 62 | random & (1 << 62) - 1)


def test_a_checkpoint_under_the_number_of_another_seal_is_not_believed(sealed):
    kept = verify(sealed).newest
    assert kept.seal == 3
    for number, code in ((2, "tail_replaced"), (9, "tail_cut")):
        assert verify(sealed, checkpoint=replace(kept, seal=number)).broken.code == code


# --- at the command line


def test_the_command_line_says_what_is_broken_and_ends_with_1(sealed, monkeypatch, tmp_path):
    monkeypatch.setattr("waylight.cli.audit.opened", lambda: _Opened(sealed))
    kept = _run("checkpoint")
    assert json.loads(kept.stdout)["waylight_audit_checkpoint_1"]["seal"] == 3
    file = tmp_path / "kept.json"
    file.write_text(kept.stdout)
    whole = _run("verify", "--checkpoint", str(file))
    assert (whole.exit_code, whole.stdout.splitlines()) == (
        0,
        ["whole: 3 seals over 6 entries", "0 entries are not sealed yet"],
    )
    gone = entries(sealed)[2]["id"]
    as_superuser(sealed, "delete from audit_entries where id = %s", gone)
    broken = _run("verify")
    assert broken.exit_code == 1
    assert f"BROKEN: entry_deleted at seal 2, place 3, entry {gone}" in broken.stdout
    assert _run("checkpoint").exit_code == 1


@pytest.mark.parametrize("kept", ["[]", "{}", "nothing", '{"waylight_audit_checkpoint_1": {}}'])
def test_a_file_that_is_no_checkpoint_is_refused_in_words(sealed, monkeypatch, tmp_path, kept):
    monkeypatch.setattr("waylight.cli.audit.opened", lambda: _Opened(sealed))
    file = tmp_path / "kept.json"
    file.write_text(kept)
    refused = _run("verify", "--checkpoint", str(file))
    assert refused.exit_code == 1
    assert "the line that `waylight audit checkpoint` printed" in " ".join(refused.output.split())
    assert "no checkpoint of an audit log" in refused.output


class _Opened:
    def __init__(self, desk):
        self.database, self.vault = desk.database, desk.vault

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def _run(*words):
    return CliRunner().invoke(cli, ["audit", *words])


def _make_digests_fit(desk):
    """What an attacker does who has read our code: the digest of every place, as it is now."""
    for row in desk.rows(
        "select e.*, p.position, p.is_signed from audit_positions p"
        " join audit_entries e on e.id = p.entry_id"
    ):
        digest = digest_of(db.entry_of(row), row["position"], is_signed=row["is_signed"])
        desk.do(
            "update audit_positions set digest = %s where position = %s", digest, row["position"]
        )


def _make_seals_fit(desk):
    """The same for the seals; signing them is what an attacker cannot do."""
    before = None
    for row in desk.rows("select * from audit_seals order by number"):
        digests = desk.rows(
            "select digest from audit_positions where position between %s and %s order by position",
            row["first_position"],
            row["last_position"],
        )
        found, _, _ = db.signed_seal(row)
        found = replace(found, digest=digest_over(one["digest"] for one in digests))
        if before is not None:
            found = replace(found, previous=before.hash())
        desk.do(
            "update audit_seals set digest = %s, previous = %s where number = %s",
            found.digest,
            found.previous,
            found.number,
        )
        before = found
