"""Stories, receipts and support cases whose key is lost."""

from dataclasses import replace
from uuid import uuid4

import pytest

from tests.services.operations.doctor.deployment import NOW, change, findings
from waylight.services.operations import doctor
from waylight.vault import Vault

pytestmark = pytest.mark.commits


@pytest.mark.parametrize("held", [{1: b"z" * 32, 2: b"z" * 32}, {1: b"a" * 32}])
def test_a_lost_vault_key_is_found_before_a_night_shift_needs_it(reported, held):
    vault = Vault(replace(reported._settings, vault_keys=held))
    (found,) = (one for one in doctor.examine(reported, vault, now=NOW) if one.what == "vault keys")
    assert found.problem == "3 of 3 stories tried cannot be opened (key 2)"
    assert "version 2" in (found.fix or "")
    assert "WAYLIGHT_VAULT_KEYS" in (found.fix or "")
    assert findings(reported)["vault keys"].problem is None


@pytest.mark.parametrize("held", [{1: b"z" * 32}, {2: b"z" * 32}])
def test_a_lost_receipt_key_is_found(reported, held):
    vault = Vault(replace(reported._settings, receipt_keys=held))
    (found,) = (
        one for one in doctor.examine(reported, vault, now=NOW) if one.what == "receipt keys"
    )
    assert (found.problem or "").startswith("3 of 3 receipts tried are not recognised (key 1)")
    assert "WAYLIGHT_RECEIPT_KEYS" in (found.fix or "")


def support_case(database, vault):
    case_id = uuid4()
    sealed = vault.support.seal(case_id, {})
    change(
        database,
        "insert into support_cases (id, report_id, organisation_id, opened_at, opened_by,"
        " key_version, wrapped_key) select %s, r.id, o.id, %s, uuid_v7(), %s, %s"
        " from (select id from reports limit 1) r, (select id from organisations limit 1) o",
        case_id,
        NOW,
        sealed.key_version,
        sealed.wrapped_key,
    )


@pytest.mark.parametrize("held", [{1: b"z" * 32}, {2: b"z" * 32}])
def test_a_lost_support_key_is_found(reported, held):
    support_case(reported, Vault(reported._settings))
    assert findings(reported)["support keys"].problem is None
    vault = Vault(replace(reported._settings, support_keys=held))
    (found,) = (
        one for one in doctor.examine(reported, vault, now=NOW) if one.what == "support keys"
    )
    assert (found.problem or "").startswith("1 of 1 cases tried cannot be opened (key 1)")
    assert "version 1 back into WAYLIGHT_SUPPORT_KEYS" in (found.fix or "")
    assert not found.warning
    change(reported, "update support_cases set wrapped_key = null, destroyed_at = now()")
    assert findings(reported)["support keys"].problem is None


def test_a_support_service_or_a_case_without_any_support_key_is_a_warning(reported):
    """Not every process is given one."""
    well, vault = reported, Vault(replace(reported._settings, support_keys={}))

    def told():
        return next(
            one for one in doctor.examine(well, vault, now=NOW) if one.what == "support keys"
        )

    change(well, "delete from organisations where kind = 'support_service'")
    assert told().problem is None
    support_case(well, Vault(well._settings))
    assert told().warning
    change(well, "delete from support_cases")
    change(
        well,
        "insert into organisations (city_id, key, name, kind)"
        " select id, 'harbour', 'Harbour', 'support_service' from cities limit 1",
    )
    assert told().warning
    assert "waylight secrets new support" in (told().fix or "")


def test_an_erased_story_is_no_lost_key(reported):
    change(reported, "update report_secrets set wrapped_key = null, narrative = null")
    assert findings(reported)["vault keys"].problem is None
