"""Changing keys: everything that was written stays readable, and nothing stops meanwhile."""

import base64
import json
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from tests.clusters import new_cluster
from tests.databases import environment_for, settings_for
from tests.desk import NOW, P2, SPOT, keys_for, open_desk
from tests.push_service import Browser, from_base64url, point
from tests.services.operations.backups.nights import stories
from waylight.config import ConfigurationError, Settings
from waylight.db.session import Database
from waylight.domain.addresses import Medium
from waylight.domain.alerts.replies import Heard
from waylight.domain.errors import Unavailable
from waylight.domain.geo import Point
from waylight.domain.push import NewDevice
from waylight.domain.reports import LocationClaim, Submission
from waylight.services import addresses, alerts, keys, push
from waylight.services.operations import migrations, rotation
from waylight.services.reports import my_report, submit_reports
from waylight.vault import Vault, VaultError


def key(byte):
    return base64.b64encode(bytes([byte]) * 32).decode()


def counts(database, vault):
    return {
        (state.purpose, state.version): state.needed_by
        for state in rotation.states(database, vault)
        if state.purpose != "support"  # those of the support store: tests/api/test_support.py
    }


def write(desk, count, vault):
    """Reports whose stories are closed by this vault."""
    for n in range(count):
        replace(desk, vault=vault).report(
            replace(P2, narrative=f"Story {n}."), at=Point(SPOT.lon + 0.01 * n, SPOT.lat)
        )


@pytest.fixture
def old(settings):
    """A vault that holds both keys and closes with the first."""
    return Vault(replace(settings, vault_key_version=1))


def test_a_new_key_can_be_held_before_it_is_used(settings):
    first = Vault(replace(settings, vault_keys={1: settings.vault_keys[1]}))
    holding = Vault(replace(settings, vault_key_version=1))
    report_id = uuid4()
    sealed = holding.seal(report_id, {"narrative": "Hello."})
    assert sealed.key_version == 1
    assert (
        first.open(report_id, 1, sealed.wrapped_key, "narrative", sealed.ciphertexts["narrative"])
        == "Hello."
    )


def test_a_new_receipt_key_makes_no_receipt_before_it_is_used(settings):
    keys = {1: settings.receipt_keys[1], 2: bytes([7]) * 32}
    report_id = uuid4()
    first = Vault(replace(settings, receipt_keys={1: keys[1]}))
    holding = Vault(replace(settings, receipt_keys=keys, receipt_key_version=1))
    using = Vault(replace(settings, receipt_keys=keys))
    assert holding.receipt_for(report_id) == first.receipt_for(report_id)
    # What is stored is the first of the hashes.
    for vault in (first, holding):
        receipt = vault.receipt_for(report_id)
        assert vault.receipt_hashes(receipt).hashes[0] == first.receipt_hashes(receipt).hashes[0]
    receipt = using.receipt_for(report_id)
    assert using.receipt_hashes(receipt).hashes[0] in holding.receipt_hashes(receipt).hashes


@pytest.mark.parametrize("wrong", ["3", "x", "0", "01"])
def test_a_version_that_is_not_held_cannot_be_used(wrong):
    environ = environment_for("postgresql://nobody@127.0.0.1:1/none")
    for name in ("VAULT", "RECEIPT"):
        with pytest.raises(ConfigurationError, match=f"WAYLIGHT_{name}_KEY_VERSION must be"):
            Settings.from_environment({**environ, f"WAYLIGHT_{name}_KEY_VERSION": wrong})


def test_every_story_is_wrapped_anew_and_opens_without_the_old_key(desk, vault, old, monkeypatch):
    monkeypatch.setattr(rotation, "BATCH", 2)
    write(desk, 5, old)
    write(desk, 1, vault)
    before = stories(desk.database, vault)
    assert counts(desk.database, vault) == {
        ("vault", 1): 5,
        ("vault", 2): 1,
        ("receipt", 1): 6,
    }
    said: list[str] = []
    done = rotation.rewrap(desk.database, vault, progress=said.append)
    assert (done.done, done.failed) == (5, ())
    assert len(said) == 3
    assert counts(desk.database, vault)["vault", 1] == 0
    assert counts(desk.database, vault)["vault", 2] == 6
    without = Vault(replace(desk.settings, vault_keys={2: desk.settings.vault_keys[2]}))
    assert stories(desk.database, without) == before
    assert rotation.rewrap(desk.database, vault, progress=print).done == 0


def test_a_run_that_was_stopped_is_finished_by_the_next(desk, vault, old, monkeypatch):
    monkeypatch.setattr(rotation, "BATCH", 2)
    write(desk, 5, old)

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotation.rewrap(desk.database, vault, progress=stop)
    assert counts(desk.database, vault)["vault", 1] == 3
    assert rotation.rewrap(desk.database, vault, progress=print).done == 3


def test_a_story_that_does_not_open_is_named_and_left_as_it_is(desk, vault, old):
    write(desk, 3, old)
    (row,) = desk.rows("select report_id, wrapped_key from report_secrets limit 1")
    desk.do("update report_secrets set narrative = 'spoilt' where report_id = %s", row["report_id"])
    done = rotation.rewrap(desk.database, vault, progress=print)
    assert (done.done, done.failed) == (2, (row["report_id"],))
    assert desk.rows("select wrapped_key from report_secrets where key_version = 1") == [
        {"wrapped_key": row["wrapped_key"]}
    ]


def test_addresses_are_found_before_while_and_after_their_key_is_changed(desk, vault, old):
    by_sms = replace(desk, settings=replace(desk.settings, channels=("sms",)), vault=old)
    last = Vault(replace(desk.settings, vault_keys={2: desk.settings.vault_keys[2]}))

    def add(using, address="+447400123456", channel=Medium.SMS):
        found, is_new = addresses.add_address(
            desk.database,
            using,
            desk.police,
            team_id=desk.first,
            channel=channel,
            address=address,
            name="On call",
            now=NOW,
        )
        return found.id, is_new

    def answers(using, code):
        return alerts.answer_by_text(
            desk.database,
            using,
            provider="twilio",
            ref=str(uuid4()),
            sender="+447400123456",
            text=f"ACK {code}",
            channels=("sms",),
            now=NOW,
        )

    telephone, is_new = add(old)
    assert is_new
    mailbox, _ = add(old, "Desk@partner.example", Medium.EMAIL)
    by_sms.report(P2)
    (message,) = alerts.claim(
        desk.database,
        vault,
        "one",
        free={"sms": 9},
        lease_s=30.0,
        base_url="https://waylight.example",
        now=NOW,
    )
    # While both keys are held, by processes that use the one or the other.
    assert add(vault) == (telephone, False)
    assert answers(vault, "XXXX") is Heard.UNKNOWN
    newer, _ = add(vault, "+447400123457")
    assert add(old, "+447400123457") == (newer, False)
    # One that is sealed anew is found anew.
    addresses.change_address(desk.database, vault, desk.police, mailbox, language="es", now=NOW)
    assert add(last, "desk@partner.example", Medium.EMAIL) == (mailbox, False)
    assert rotation.rewrap(desk.database, vault, progress=print).done == 2
    # The old key is gone.
    assert add(last) == (telephone, False)
    assert add(last, "+447400123457") == (newer, False)
    assert add(last, "desk@partner.example", Medium.EMAIL) == (mailbox, False)
    assert answers(last, message.reply_code) is Heard.ACKNOWLEDGED


def test_device_is_the_same_one_while_and_after_its_key_is_changed(desk, vault, old):
    private, _ = Vault.new_push_key()
    pushing = {
        "channels": ("web_push",),
        "vapid_keys": (from_base64url(private),),
        "vapid_subject": "mailto:desk@waylight.example",
    }
    both = replace(desk.settings, **pushing)
    settings = {
        "both": both,
        "old": replace(both, vault_key_version=1),
        "last": replace(both, vault_keys={2: both.vault_keys[2]}),
    }
    token = next(iter(keys_for(desk, (desk.police,)).values()))
    robin = keys.authenticate(desk.database, vault, token, now=NOW)
    assert robin is not None
    browser = Browser()

    def subscribe(name, robin=robin):
        done = push.subscribe(
            desk.database,
            Vault(settings[name]),
            settings[name],
            robin,
            device=NewDevice(
                endpoint=browser.endpoint,
                p256dh=point(browser.private),
                auth=browser.auth,
                name="A phone",
                team_id=desk.first,
            ),
            now=NOW,
        )
        return done.device.id, done.is_new

    device, is_new = subscribe("old")
    assert is_new
    assert rotation.rewrap(desk.database, vault, progress=print).done == 1
    assert subscribe("last") == (device, False)
    assert subscribe("old") == (device, False)
    assert subscribe("both") == (device, False)
    assert subscribe("last") == (device, False)
    assert desk.rows("select count(*) from addresses") == [{"count": 1}]


def test_address_that_was_added_twice_in_between_does_not_stop_the_run(desk, vault, old):
    number = {"number": "+447400123456"}
    for using in (old, vault):
        address_id = uuid4()
        sealed = using.seal(address_id, {"address": json.dumps(number)})
        desk.do(
            "insert into addresses (id, organisation_id, team_id, channel, name, key_version,"
            " wrapped_key, address, fingerprint, created_at)"
            " select %s, organisation_id, id, 'sms', 'On call', %s, %s, %s, %s, now()"
            " from teams where id = %s",
            address_id,
            sealed.key_version,
            sealed.wrapped_key,
            sealed.ciphertexts["address"],
            addresses.fingerprints(using, "sms", number["number"])[0],
            desk.first,
        )
    done = rotation.rewrap(desk.database, vault, progress=print)
    assert (done.done, done.failed) == (1, ())
    assert counts(desk.database, vault)["vault", 1] == 0


@pytest.mark.commits
def test_a_story_that_is_withdrawn_meanwhile_stays_withdrawn(desk, vault, old, monkeypatch):
    write(desk, 1, old)
    rewrap = Vault.rewrap

    def withdrawn_meanwhile(*arguments):
        desk.do("update report_secrets set wrapped_key = null")
        return rewrap(*arguments)

    monkeypatch.setattr(Vault, "rewrap", withdrawn_meanwhile)
    assert rotation.rewrap(desk.database, vault, progress=print).done == 0
    assert desk.rows("select key_version, wrapped_key from report_secrets") == [
        {"key_version": 1, "wrapped_key": None}
    ]


def test_a_key_that_is_needed_and_not_held_is_seen(desk, vault, old):
    write(desk, 1, old)
    without = Vault(replace(desk.settings, vault_keys={2: desk.settings.vault_keys[2]}))
    (lost,) = [s for s in rotation.states(desk.database, without) if s.fingerprint is None]
    assert (lost.purpose, lost.version, lost.needed_by) == ("vault", 1, 1)


@pytest.mark.slow
def test_a_whole_rotation_from_the_first_key_to_its_retirement(tmp_path):
    """On a server of its own: retiring the first key changes the roles' passwords."""
    with new_cluster(tmp_path / "own") as cluster, cluster.clone(None) as name:
        # By TCP, where passwords count.
        url = psycopg.conninfo.make_conninfo(cluster.url(name), host="127.0.0.1")
        one = settings_for(url, WAYLIGHT_VAULT_KEYS=f"1:{key(1)}")
        holding = settings_for(
            url, WAYLIGHT_VAULT_KEYS=f"1:{key(1)},2:{key(2)}", WAYLIGHT_VAULT_KEY_VERSION="1"
        )
        two = settings_for(url, WAYLIGHT_VAULT_KEYS=f"1:{key(1)},2:{key(2)}")
        retired = settings_for(url, WAYLIGHT_VAULT_KEYS=f"2:{key(2)}")
        database = Database(one)
        migrations.migrate(database, one)
        desk = open_desk(database, Vault(one), one)

        def send(settings, again=None):
            submission = again or Submission(
                report=replace(P2, location=LocationClaim(point=SPOT), fingerprint=b"x" * 32),
                received_at=NOW,
                idempotency_key=str(uuid4()),
            )
            own = Database(settings)
            try:
                (answer,) = submit_reports(own, Vault(settings), settings, [submission])
            finally:
                own.close()
            return submission, answer

        sent, first = send(one)
        # 1. Everybody holds the new key, and nobody uses it: old and new processes together.
        _, second = send(holding)
        assert stories(database, Vault(one)).keys() == {first.id, second.id}
        # 2. It is used. A retry of before is recognised, and a receipt of before opens.
        _, third = send(two)
        with pytest.raises(VaultError):
            stories(database, Vault(one))
        _, again = send(two, again=sent)
        assert (again.id, again.receipt, again.replayed) == (first.id, first.receipt, True)
        # 3. Wrapped anew.
        assert rotation.rewrap(database, Vault(two), progress=print).done == 2
        assert counts(database, Vault(two)) == {
            ("vault", 1): 0,
            ("vault", 2): 3,
            ("receipt", 1): 3,
        }
        # 4. The first is taken away: the logins come from the second now, once migrate has run.
        with pytest.raises(Unavailable):
            send(retired)
        with_new = Database(retired)
        migrations.migrate(with_new, retired)
        _, fourth = send(retired)
        with pytest.raises(Unavailable):
            send(two)
        for answer in (first, second, third, fourth):
            assert my_report(with_new, Vault(retired), answer.receipt).id == answer.id
        assert len(stories(with_new, Vault(retired))) == 4
        # A retry of before is a report of its own: its hash came from the first key.
        _, late = send(retired, again=sent)
        assert late.id != first.id
        assert late.joined
        for used in (database, with_new, desk.database):
            used.close()
