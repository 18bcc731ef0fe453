import re
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.databases import settings_for
from waylight.domain.tokens import PATTERN
from waylight.vault import CROCKFORD, Vault, VaultError

SETTINGS = settings_for("postgresql://nobody@127.0.0.1:1/none")
VAULT = Vault(SETTINGS)
REPORT = UUID("01900000-0000-7000-8000-000000000001")

texts = st.text(st.characters(codec="utf-8"), max_size=200)


def turned(ciphertext: bytes, at: int) -> bytes:
    """The same with one bit changed."""
    return bytes(b ^ (1 if n == at else 0) for n, b in enumerate(ciphertext))


@given(st.uuids(), st.dictionaries(st.sampled_from(["narrative", "contact", "rejected"]), texts))
def test_what_is_sealed_opens_as_it_was(report_id, fields):
    sealed = VAULT.seal(report_id, fields)
    opened = {
        name: VAULT.open(report_id, sealed.key_version, sealed.wrapped_key, name, ciphertext)
        for name, ciphertext in sealed.ciphertexts.items()
    }
    assert opened == fields


def test_nothing_readable_is_stored():
    sealed = VAULT.seal(REPORT, {"narrative": "he followed me"})
    stored = sealed.wrapped_key + sealed.ciphertexts["narrative"]
    assert b"followed" not in stored
    assert sealed.wrapped_key[:1] == sealed.ciphertexts["narrative"][:1] == b"\x01"


def test_the_same_text_is_never_sealed_the_same_way():
    first, second = (VAULT.seal(REPORT, {"narrative": "again"}) for _ in range(2))
    assert first.ciphertexts != second.ciphertexts
    assert first.wrapped_key != second.wrapped_key


def test_a_lone_surrogate_does_not_lose_the_report():
    sealed = VAULT.seal(REPORT, {"narrative": "help \ud83d"})
    assert opened(sealed, "narrative") == "help ?"


def opened(sealed, field, report_id=REPORT, vault=VAULT):
    return vault.open(
        report_id, sealed.key_version, sealed.wrapped_key, field, sealed.ciphertexts[field]
    )


def test_a_ciphertext_opens_in_no_other_report_and_no_other_field():
    sealed = VAULT.seal(REPORT, {"narrative": "a", "contact": "b"})
    with pytest.raises(VaultError):
        opened(sealed, "narrative", report_id=uuid4())
    with pytest.raises(VaultError):
        VAULT.open(
            REPORT,
            sealed.key_version,
            sealed.wrapped_key,
            "contact",
            sealed.ciphertexts["narrative"],
        )
    other = VAULT.seal(uuid4(), {"narrative": "c"})
    with pytest.raises(VaultError):
        opened(replace(sealed, wrapped_key=other.wrapped_key), "narrative")


@given(st.integers(min_value=0, max_value=40))
def test_a_changed_bit_is_noticed_wherever_it_is(at):
    sealed = VAULT.seal(REPORT, {"narrative": "twelve bytes"})
    with pytest.raises(VaultError):
        opened(replace(sealed, wrapped_key=turned(sealed.wrapped_key, at)), "narrative")
    spoilt = {"narrative": turned(sealed.ciphertexts["narrative"], at)}
    with pytest.raises(VaultError):
        opened(replace(sealed, ciphertexts=spoilt), "narrative")


@pytest.mark.parametrize("rubbish", [b"", b"\x01", b"\x01short", b"\x02" + bytes(60)])
def test_rubbish_is_refused_in_one_way(rubbish):
    sealed = VAULT.seal(REPORT, {"narrative": "a"})
    with pytest.raises(VaultError):
        VAULT.open(REPORT, sealed.key_version, sealed.wrapped_key, "narrative", rubbish)
    with pytest.raises(VaultError):
        opened(replace(sealed, wrapped_key=rubbish), "narrative")


def test_the_newest_key_seals_and_the_older_ones_still_open():
    old = Vault(replace(SETTINGS, vault_keys={1: SETTINGS.vault_keys[1]}))
    sealed = old.seal(REPORT, {"narrative": "before the rotation"})
    assert (sealed.key_version, VAULT.key_version) == (1, 2)
    assert opened(sealed, "narrative") == "before the rotation"


def test_rewrapping_lets_the_old_key_be_retired():
    old = Vault(replace(SETTINGS, vault_keys={1: SETTINGS.vault_keys[1]}))
    new = Vault(replace(SETTINGS, vault_keys={2: SETTINGS.vault_keys[2]}))
    sealed = old.seal(REPORT, {"narrative": "kept"})
    with pytest.raises(VaultError):
        opened(sealed, "narrative", vault=new)
    version, wrapped = VAULT.rewrap(REPORT, sealed.key_version, sealed.wrapped_key)
    rewrapped = replace(sealed, key_version=version, wrapped_key=wrapped)
    assert opened(rewrapped, "narrative", vault=new) == "kept"


def test_a_receipt_is_six_groups_of_four_and_always_the_same():
    receipt = VAULT.receipt_for(REPORT)
    assert re.fullmatch(rf"([{CROCKFORD}]{{4}}-){{5}}[{CROCKFORD}]{{4}}", receipt)
    assert receipt == VAULT.receipt_for(REPORT)
    assert receipt != VAULT.receipt_for(uuid4())


@given(st.uuids(), st.data())
def test_a_receipt_is_found_however_it_is_typed(report_id, data):
    receipt = VAULT.receipt_for(report_id)
    spelt = data.draw(
        st.tuples(
            *(
                st.sampled_from({"0": "0oO", "1": "1iIlL"}.get(c, c + c.lower()))
                if c != "-"
                else st.sampled_from(["-", "", " ", "\u2013", " - ", "\u00a0", "\n"])
                for c in receipt
            )
        )
    )
    check = VAULT.receipt_hashes(" " + "".join(spelt))
    assert check.well_formed
    assert check.hashes == VAULT.receipt_hashes(receipt).hashes


@given(st.uuids(), st.integers(0, 28), st.sampled_from(CROCKFORD))
def test_one_wrong_symbol_is_never_taken_for_the_receipt(report_id, at, symbol):
    receipt = VAULT.receipt_for(report_id)
    typed = receipt[:at] + symbol + receipt[at + 1 :]
    right = VAULT.receipt_hashes(receipt)
    if typed != receipt:
        assert not set(VAULT.receipt_hashes(typed).hashes) & set(right.hashes)


def test_slips_are_caught_by_the_checksum():
    receipt = VAULT.receipt_for(REPORT)
    wrong = [
        receipt[:at] + symbol + receipt[at + 1 :]
        for at, given_symbol in enumerate(receipt)
        for symbol in CROCKFORD
        if given_symbol not in ("-", symbol)
    ]
    assert len(wrong) == 24 * 31
    # 20 bits of checksum: one slip in a million goes through, none of these.
    assert not any(VAULT.receipt_hashes(typed).well_formed for typed in wrong)


@given(st.text(max_size=300))
def test_any_text_costs_the_same_lookups(typed):
    check = VAULT.receipt_hashes(typed)
    assert [len(found) for found in check.hashes] == [32] * len(SETTINGS.receipt_keys)


def test_a_receipt_of_an_older_key_is_still_found():
    rotated = Vault(
        replace(SETTINGS, receipt_keys={1: SETTINGS.receipt_keys[1], 2: bytes(range(32))})
    )
    old_hash = VAULT.receipt_hashes(VAULT.receipt_for(REPORT)).hashes[0]
    assert rotated.receipt_version == 2
    assert rotated.receipt_for(REPORT, version=1) == VAULT.receipt_for(REPORT)
    assert rotated.receipt_for(REPORT) != VAULT.receipt_for(REPORT)
    assert old_hash in rotated.receipt_hashes(VAULT.receipt_for(REPORT)).hashes
    new = rotated.receipt_for(REPORT)
    assert rotated.receipt_hashes(new).hashes[0] not in VAULT.receipt_hashes(new).hashes
    with pytest.raises(VaultError):
        VAULT.receipt_for(REPORT, version=2)


def test_the_receipt_is_not_in_its_hash_and_other_keys_hash_otherwise():
    receipt = VAULT.receipt_for(REPORT)
    other = Vault(replace(SETTINGS, receipt_keys={1: bytes(32)}))
    assert VAULT.receipt_hashes(receipt).hashes != other.receipt_hashes(receipt).hashes


def test_hashes_for_different_purposes_have_nothing_in_common():
    assert VAULT.keyed_hash("idempotency", b"1") == VAULT.keyed_hash("idempotency", b"1")
    assert VAULT.keyed_hash("idempotency", b"1") != VAULT.keyed_hash("rate", b"1")
    other = Vault(replace(SETTINGS, vault_keys={1: bytes(32)}))
    assert VAULT.keyed_hash("idempotency", b"1") != other.keyed_hash("idempotency", b"1")


def test_tokens_say_what_they_are_and_never_repeat():
    tokens = {VAULT.new_token("staff") for _ in range(50)}
    assert len(tokens) == 50
    assert all(re.fullmatch(PATTERN, token) for token in tokens)
    assert VAULT.new_token("client").startswith("waylight_ck_")
    assert len({VAULT.hash_token(token) for token in tokens}) == 50


@given(texts)
def test_sealed_text_opens_for_its_purpose_alone(text):
    sealed = VAULT.seal_text("sign-in", text)
    assert VAULT.open_text("sign-in", sealed) == text
    assert re.fullmatch("[A-Za-z0-9_-]+", sealed)
    with pytest.raises(VaultError):
        VAULT.open_text("another", sealed)


@pytest.mark.parametrize("sealed", ["", "A", "AQ", "AbM3", "\N{SNOWMAN}", "A" * 100, "AQ==\n"])
def test_text_that_was_not_sealed_here_does_not_open(sealed):
    with pytest.raises(VaultError):
        VAULT.open_text("sign-in", sealed)


def test_sealed_text_that_was_changed_does_not_open():
    sealed = VAULT.seal_text("sign-in", "x" * 40)
    changed = sealed[:-4] + ("A" if sealed[-4] != "A" else "B") + sealed[-3:]
    with pytest.raises(VaultError):
        VAULT.open_text("sign-in", changed)
