"""The keys that sign push messages: made, set, used and kept to themselves."""

import base64
import time
from dataclasses import replace

import pytest
from click.testing import CliRunner

from tests.databases import environment_for
from tests.push_service import base64url, from_base64url, verified
from waylight import cli
from waylight.config import P256_ORDER, ConfigurationError, Settings
from waylight.vault import Vault, VaultError

PRIVATE, PUBLIC = Vault.new_push_key()
OTHER, OTHER_PUBLIC = Vault.new_push_key()


def settings(**changes):
    changes = {f"WAYLIGHT_{name}": value for name, value in changes.items()}
    return Settings.from_environment(environment_for("postgresql://nobody@h/none", **changes))


def test_command_makes_a_line_for_the_environment_and_needs_no_settings():
    runner = CliRunner(env={"WAYLIGHT_VAULT_KEYS": None, "WAYLIGHT_DATABASE_URL": None})
    done = runner.invoke(cli.cli, ["key", "vapid"], prog_name="waylight")
    assert done.exit_code == 0, done.output
    (line,) = done.stdout.splitlines()
    name, _, private = line.partition("=")
    assert name == "WAYLIGHT_VAPID_KEYS"
    (public,) = Vault(settings(VAPID_KEYS=private)).push_keys
    assert public in done.stderr
    assert private not in done.stderr


def test_each_command_makes_another_key():
    assert len({Vault.new_push_key() for _ in range(5)}) == 5


def test_key_in_front_is_the_one_in_use_and_those_behind_still_sign():
    vault = Vault(settings(VAPID_KEYS=f"{PRIVATE}, {OTHER}", VAPID_SUBJECT="https://a.example"))
    assert vault.push_keys == (PUBLIC, OTHER_PUBLIC)
    expires_at = int(time.time()) + 60
    for public in vault.push_keys:
        said = vault.push_authorization(
            public, audience="https://push.example.net", expires_at=expires_at
        )
        assert verified(said) == (
            public,
            {"aud": "https://push.example.net", "exp": expires_at, "sub": "https://a.example"},
        )


def test_without_the_key_or_a_subject_nothing_is_signed():
    vault = Vault(settings(VAPID_KEYS=PRIVATE, VAPID_SUBJECT="mailto:a@b.example"))
    silent = Vault(settings(VAPID_KEYS=PRIVATE))
    for one, public in ((vault, OTHER_PUBLIC), (silent, PUBLIC)):
        with pytest.raises(VaultError):
            one.push_authorization(public, audience="https://p.example", expires_at=0)


def test_no_key_is_no_public_key():
    assert Vault(settings()).push_keys == ()


@pytest.mark.parametrize(
    "given",
    [
        "nonsense",
        PRIVATE[:-4],
        PRIVATE + "AAAA",
        f"{PRIVATE},{PRIVATE}",
        f"{PRIVATE},",
        base64url(bytes(32)),
        base64url(P256_ORDER.to_bytes(32)),
        base64url(b"\xff" * 32),
        PUBLIC,
        "/etc/passwd",
    ],
    ids=[
        "a word",
        "too short",
        "too long",
        "twice",
        "an empty one",
        "zero",
        "the order of the curve",
        "beyond the curve",
        "a public key",
        "a path",
    ],
)
def test_key_that_is_none_is_refused_without_being_quoted(given):
    with pytest.raises(ConfigurationError) as caught:
        settings(VAPID_KEYS=given)
    (problem,) = caught.value.problems
    assert problem.startswith("WAYLIGHT_VAPID_KEYS must be private keys")
    assert given not in problem


def test_padded_key_of_another_program_is_read():
    padded = base64.b64encode(from_base64url(PRIVATE)).decode()
    assert Vault(settings(VAPID_KEYS=padded)).push_keys == (PUBLIC,)


@pytest.mark.parametrize(
    "given",
    [
        "desk@waylight.example",
        "mailto:",
        "mailto:desk",
        "mailto:desk@waylight.example\nX: y",
        "http://waylight.example",
        "https://waylight.example/contact",
        "https://localhost",
        "https://desk@waylight.example",
    ],
)
def test_subject_that_nobody_can_be_reached_at_is_refused(given):
    with pytest.raises(ConfigurationError, match="WAYLIGHT_VAPID_SUBJECT must read"):
        settings(VAPID_SUBJECT=given)


def test_private_keys_are_in_no_repr():
    found = settings(VAPID_KEYS=PRIVATE)
    assert repr(from_base64url(PRIVATE)) not in repr(found)
    assert "vapid_keys" not in repr(replace(found, vapid_subject="mailto:a@b.example"))


@pytest.mark.parametrize(
    ("point", "is_one"),
    [
        (from_base64url(PUBLIC), True),
        (from_base64url(PUBLIC)[:-1], False),
        (b"\x04" + bytes(64), False),
        (b"\x02" + from_base64url(PUBLIC)[1:33], False),  # compressed: no browser sends it
        (b"\x03" + from_base64url(PUBLIC)[1:33], False),
        (b"\x00", False),
        (b"", False),
    ],
    ids=["a point", "cut short", "zeros", "even", "odd", "infinity", "nothing"],
)
def test_only_a_point_of_the_curve_is_a_public_key(point, is_one):
    assert Vault.is_public_key(point) is is_one
