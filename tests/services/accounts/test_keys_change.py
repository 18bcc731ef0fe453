"""Whoever has an account signs in while vault keys change, and when the first one is gone."""

from dataclasses import replace

import pytest

from tests.desk import NOW, open_desk
from tests.staff import QUICK, enter, person
from waylight.domain.errors import StateConflict
from waylight.domain.roles import Role
from waylight.services import accounts, passwords
from waylight.services.operations import rotation, staff
from waylight.vault import Vault


@pytest.fixture
def desk(database, vault, settings, monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", QUICK)
    return open_desk(database, vault, settings)


def test_account_is_found_by_its_address_under_every_key_in_turn(desk, settings):
    robin = person(desk)
    first = max(settings.vault_keys)
    both = {**settings.vault_keys, first + 1: b"k" * 32}
    stages = [
        Vault(replace(settings, vault_keys=both, vault_key_version=first)),
        Vault(replace(settings, vault_keys=both)),
    ]
    for vault in stages:
        assert enter(replace(desk, vault=vault), robin).token
    done = rotation.rewrap(desk.database, stages[-1], progress=lambda _: None)
    assert not done.failed
    after = Vault(replace(settings, vault_keys={first + 1: both[first + 1]}))
    for vault in (*stages, after):
        assert enter(replace(desk, vault=vault), robin).token


def test_address_that_somebody_has_under_the_older_key_is_given_to_nobody_else(desk, settings):
    robin = person(desk)
    both = {**settings.vault_keys, max(settings.vault_keys) + 1: b"k" * 32}
    newer = replace(desk, vault=Vault(replace(settings, vault_keys=both)))
    caller = desk.police
    with pytest.raises(StateConflict):
        accounts.create_account(
            newer.database,
            newer.vault,
            caller,
            email=robin.email,
            name="Another",
            job=None,
            roles=[Role.RESPONDER],
            now=NOW,
        )
    with pytest.raises(StateConflict):
        staff.create(
            newer.database,
            newer.vault,
            organisation="police",
            city=None,
            name="Another",
            email=robin.email,
            job="officer",
            roles=["responder"],
            password=None,
            now=NOW,
        )
