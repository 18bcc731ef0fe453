"""Providers whose secret cannot be opened."""

from dataclasses import replace
from uuid import uuid4

import pytest

from schemas.common import WireId
from tests.services.operations.doctor.deployment import NOW, findings, problem
from waylight.vault import Vault

pytestmark = pytest.mark.commits


def identity_provider(database, vault, *, enabled=True):
    """Gives the first organisation an OpenID provider; returns how the doctor names it."""
    provider_id = uuid4()
    sealed = vault.seal(provider_id, {"client_secret": "s3cret"})
    with database.owner() as conn:
        row = conn.execute(
            "insert into identity_providers (id, organisation_id, name, issuer, client_id,"
            " key_version, wrapped_key, client_secret, redirect_uris, scopes, role_mapping,"
            " email_domains, second_factor_values, enabled, created_at, updated_at)"
            " select %s, id, 'x', 'https://id.example', %s, %s, %s, %s, '{}', '{}', '[]', '{}',"
            " '{}', %s, %s, %s from organisations order by id limit 1"
            " returning (select name from organisations order by id limit 1)",
            [
                provider_id,
                str(provider_id),
                sealed.key_version,
                sealed.wrapped_key,
                sealed.ciphertexts["client_secret"],
                enabled,
                NOW,
                NOW,
            ],
        ).fetchone()
    assert row is not None
    return f"{row[0]}'s {WireId.of('provider', provider_id)}"


def test_provider_whose_secret_cannot_be_opened_is_told_with_the_key_that_is_lost(well):
    lost = Vault(replace(well._settings, vault_keys={2: b"z" * 32}))
    identity_provider(well, Vault(well._settings))
    identity_provider(well, lost, enabled=False)
    assert findings(well)["identity providers"].problem is None
    named = identity_provider(well, lost)
    told, fix = problem(well, "identity providers")
    assert told == (
        f"the secrets of 1 cannot be opened (key 2), and nobody signs in by them: {named}"
    )
    assert "version 2 back into WAYLIGHT_VAULT_KEYS" in fix
    assert "s3cret" not in told + fix
