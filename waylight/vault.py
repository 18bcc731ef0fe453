"""Encryption, receipts and tokens: the only file that uses a key (design, D9 and D10)."""

import base64
import hmac
import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from waylight.config import KEY_BYTES, Settings
from waylight.domain import tokens

FORMAT = b"\x01"
"""The byte in front of everything sealed: AES-256-GCM, then 12 bytes of nonce."""

NONCE_BYTES = 12

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Base 32 without I, L, O and U (Douglas Crockford)."""

POINT_BYTES = 65
"""A point of P-256, uncompressed."""

SECRET_SYMBOLS = 20
CHECK_SYMBOLS = 4
GROUP_SYMBOLS = 4
LONGEST_RECEIPT = 64

TOKEN_PREFIXES = {
    "staff": "waylight_sk_",
    "client": "waylight_ck_",
    "stream ticket": "waylight_st_",
    "session": "waylight_ss_",
    "invitation": "waylight_in_",
    "access token": "waylight_at_",
}
"""Prefixes that scanners for leaked secrets can look for (`domain/tokens.PATTERN`)."""


class VaultError(Exception):
    """A ciphertext, a wrapped key or a key version is not one that this vault can open."""


@dataclass(frozen=True)
class Sealed:
    """The secrets of one report, as they may be stored: nothing here is readable by itself."""

    key_version: int
    wrapped_key: bytes
    ciphertexts: Mapping[str, bytes]


@dataclass(frozen=True)
class ReceiptCheck:
    """What to look a receipt up by: one hash for each live key version, the current one first.

    There are as many hashes, found by the same work, when the text is not `well_formed`; they
    match nothing.
    """

    hashes: tuple[bytes, ...]
    well_formed: bool


class Keyring:
    """Master keys by version, each wrapping data keys: one for each thing that is sealed."""

    def __init__(self, keys: Mapping[int, bytes], version: int) -> None:
        self._masters = {n: AESGCM(key) for n, key in keys.items()}
        self._key_version = version

    @property
    def key_version(self) -> int:
        """The version of the master key that seals."""
        return self._key_version

    def seal(self, report_id: UUID, fields: Mapping[str, str]) -> Sealed:
        """Encrypts the fields under a key of this report alone, itself wrapped by the master key.

        A lone surrogate, which UTF-8 cannot carry, becomes a question mark: a report is never lost
        to one broken emoji.
        """
        data_key = AESGCM.generate_key(bit_length=256)
        cipher = AESGCM(data_key)
        return Sealed(
            key_version=self.key_version,
            wrapped_key=_encrypt(self._masters[self.key_version], data_key, report_id.bytes),
            ciphertexts={
                name: _encrypt(cipher, text.encode(errors="replace"), _bound(report_id, name))
                for name, text in fields.items()
            },
        )

    def seal_more(
        self, report_id: UUID, key_version: int, wrapped_key: bytes, fields: Mapping[str, str]
    ) -> Mapping[str, bytes]:
        """Further texts under a key that is there already: whoever erases that erases them too.

        Raises VaultError.
        """
        cipher = AESGCM(self._unwrap(report_id, key_version, wrapped_key))
        return {
            name: _encrypt(cipher, text.encode(errors="replace"), _bound(report_id, name))
            for name, text in fields.items()
        }

    def open(
        self, report_id: UUID, key_version: int, wrapped_key: bytes, field: str, ciphertext: bytes
    ) -> str:
        """The text of one field. Raises VaultError unless all parts belong to this very field."""
        data_key = self._unwrap(report_id, key_version, wrapped_key)
        return _decrypt(AESGCM(data_key), ciphertext, _bound(report_id, field)).decode()

    def rewrap(self, report_id: UUID, key_version: int, wrapped_key: bytes) -> tuple[int, bytes]:
        """The same data key under the current master key, and its version. Raises VaultError."""
        data_key = self._unwrap(report_id, key_version, wrapped_key)
        current = self.key_version
        return current, _encrypt(self._masters[current], data_key, report_id.bytes)

    def _unwrap(self, report_id: UUID, key_version: int, wrapped_key: bytes) -> bytes:
        if key_version not in self._masters:
            raise VaultError(f"no master key has version {key_version}")
        return _decrypt(self._masters[key_version], wrapped_key, report_id.bytes)


class Vault(Keyring):
    """Opens and closes what only this deployment may read. Holds no state but the keys.

    `support` seals what support workers write, by master keys of its own; None where none is set.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            settings.vault_keys, settings.vault_key_version or max(settings.vault_keys)
        )
        self.support = (
            Keyring(settings.support_keys, max(settings.support_keys))
            if settings.support_keys
            else None
        )
        self._receipt_version = settings.receipt_key_version or max(settings.receipt_keys)
        self._push_keys = {_public(key): key for key in settings.vapid_keys}
        self._push_subject = settings.vapid_subject
        self._vault_keys = dict(settings.vault_keys)
        self._first_key = settings.vault_keys[min(settings.vault_keys)]
        self._fingerprints = {
            purpose: {n: _fingerprint(key, purpose) for n, key in sorted(keys.items())}
            for purpose, keys in (
                ("vault", settings.vault_keys),
                ("receipt", settings.receipt_keys),
                ("support", settings.support_keys),
            )
        }
        self._receipt_keys = {
            n: (_derived(key, "receipt"), _derived(key, "receipt hash"))
            # The one in use first: most receipts are of it, and a new one is stored by the first.
            for n, key in sorted(
                settings.receipt_keys.items(),
                key=lambda one: (one[0] == self._receipt_version, one[0]),
                reverse=True,
            )
        }

    @property
    def receipt_version(self) -> int:
        """The version of the key that receipts are derived from."""
        return self._receipt_version

    @property
    def fingerprints(self) -> Mapping[str, Mapping[int, str]]:
        """A public name for each key that is held, by `vault`, `receipt` or `support` and version.

        Another key has another name, and the name tells nothing of the key: it may lie beside a
        backup.
        """
        return self._fingerprints

    def receipt_for(self, report_id: UUID, version: int | None = None) -> str:
        """The receipt of a report: `K7QD-...`, six groups of four, always the same for one version.

        100 bits of HMAC-SHA256 over the id, then a checksum of 20 bits that catches slips of the
        pen. Raises VaultError for a version that is no longer held.
        """
        version = self.receipt_version if version is None else version
        if version not in self._receipt_keys:
            raise VaultError(f"no receipt key has version {version}")
        key, _ = self._receipt_keys[version]
        secret = _symbols(hmac.digest(key, report_id.bytes, sha256), SECRET_SYMBOLS)
        whole = secret + _checksum(secret)
        return "-".join(
            whole[at : at + GROUP_SYMBOLS] for at in range(0, len(whole), GROUP_SYMBOLS)
        )

    def receipt_hashes(self, text: str) -> ReceiptCheck:
        """What to look up for a receipt as a person typed it.

        Forgiven: case, spaces, any kind of dash, O for 0, I and L for 1. The checksum says whether
        the rest was typed as given.
        """
        typed = _typed(text)
        secret, check = typed[:SECRET_SYMBOLS], typed[SECRET_SYMBOLS:]
        well_formed = (
            len(typed) == SECRET_SYMBOLS + CHECK_SYMBOLS
            and all(symbol in CROCKFORD for symbol in typed)
            and hmac.compare_digest(_checksum(secret), check)
        )
        # A misspelt receipt whose first 20 symbols are right must not find the report.
        looked_up = secret if well_formed else f"malformed {typed}"
        return ReceiptCheck(
            hashes=tuple(
                hmac.digest(key, looked_up.encode(), sha256)
                for _, key in self._receipt_keys.values()
            ),
            well_formed=well_formed,
        )

    def keyed_hash(self, purpose: str, value: bytes) -> bytes:
        """32 bytes that stand for a value; without the key nobody can guess the value from them.

        Different purposes give unrelated hashes. They change when the first vault key is retired.
        """
        return hmac.digest(_derived(self._first_key, f"hash {purpose}"), value, sha256)

    def keyed_hashes(self, purpose: str, value: bytes) -> tuple[bytes, ...]:
        """As `keyed_hash`, by each vault key that is held, the one in use first.

        What is stored by the first and looked up by all of them is found while keys change, and is
        as lasting as what is sealed beside it.
        """
        versions = sorted(self._vault_keys, key=lambda n: (n != self._key_version, n))
        return tuple(
            hmac.digest(_derived(self._vault_keys[n], f"hash {purpose}"), value, sha256)
            for n in versions
        )

    def sign(self, purpose: str, content: bytes) -> bytes:
        """32 bytes that nobody makes without the vault key in use, whose version is `key_version`.

        A signature for one purpose is none for another.
        """
        return _signature(self._vault_keys[self.key_version], purpose, content)

    def is_signed(self, purpose: str, content: bytes, signature: bytes, *, version: int) -> bool:
        """Whether `sign` made this by the key of a version. Raises VaultError for one not held."""
        if version not in self._vault_keys:
            raise VaultError(f"no vault key has version {version}")
        expected = _signature(self._vault_keys[version], purpose, content)
        return hmac.compare_digest(expected, signature)

    def holds(self, version: int) -> bool:
        """Whether the vault key of this version is set."""
        return version in self._vault_keys

    def is_signed_by_any(self, purpose: str, content: bytes, signature: bytes | None) -> bool:
        """Whether `sign` made this by any of the keys that are held."""
        newest_first = sorted(self._vault_keys, reverse=True)
        return signature is not None and any(
            self.is_signed(purpose, content, signature, version=version) for version in newest_first
        )

    def seal_number(self, purpose: str, number: int) -> str:
        """A number as a text that tells nobody which it is, another text each time.

        `open_number` reads it until the first vault key is retired.
        """
        cipher = AESGCM(_derived(self._first_key, f"number {purpose}"))
        sealed = _encrypt(cipher, number.to_bytes(8), purpose.encode())
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open_number(self, purpose: str, text: str) -> int:
        """The number in such a text. Raises VaultError for one that was not made here."""
        cipher = AESGCM(_derived(self._first_key, f"number {purpose}"))
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError as error:
            raise VaultError("that is no sealed number") from error
        return int.from_bytes(_decrypt(cipher, sealed, purpose.encode()))

    def seal_text(self, purpose: str, text: str) -> str:
        """A text that only this deployment can read, for somebody to keep and bring back.

        `open_text` reads it until the first vault key is retired.
        """
        cipher = AESGCM(_derived(self._first_key, f"text {purpose}"))
        return _base64url(_encrypt(cipher, text.encode(), purpose.encode()))

    def open_text(self, purpose: str, sealed: str) -> str:
        """What was sealed for this purpose. Raises VaultError for what was not made here."""
        cipher = AESGCM(_derived(self._first_key, f"text {purpose}"))
        try:
            raw = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
        except ValueError as error:
            raise VaultError("that is no sealed text") from error
        return _decrypt(cipher, raw, purpose.encode()).decode()

    @property
    def push_keys(self) -> tuple[str, ...]:
        """The public keys that devices subscribe with (RFC 8292), the one in use first.

        Each is a point of P-256 in base64url, as a browser takes it. None where none is set.
        """
        return tuple(self._push_keys)

    def push_authorization(self, public_key: str, *, audience: str, expires_at: int) -> str:
        """What says to the push service `audience`, an origin, that a message is ours (RFC 8292).

        Good until `expires_at`, in seconds since 1970, at most 24 hours ahead. Raises VaultError
        without this key or without a subject.
        """
        from py_vapid import Vapid02  # noqa: PLC0415 - only the worker sends

        private = self._push_keys.get(public_key)
        if private is None or self._push_subject is None:
            raise VaultError("there is no such VAPID key, or no subject")
        claims = {"aud": audience, "exp": expires_at, "sub": self._push_subject}
        signed: dict[str, str] = Vapid02(_private(private)).sign(claims)
        return signed["Authorization"]

    @staticmethod
    def new_push_key() -> tuple[str, str]:
        """A fresh private key as the settings take it, and its public key."""
        private = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
        encoded = private.to_bytes(KEY_BYTES)
        return _base64url(encoded), _public(encoded)

    @staticmethod
    def is_public_key(point: bytes) -> bool:
        """Whether these are the 65 bytes of a point of P-256, uncompressed."""
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        except ValueError:
            return False
        return len(point) == POINT_BYTES

    @property
    def first_version(self) -> int:
        """The version of the vault key that `keyed_hash` and the roles' passwords come from."""
        return min(self._masters)

    @staticmethod
    def new_key() -> str:
        """A fresh key for the vault or for receipts, as the settings take it."""
        return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()

    @staticmethod
    def new_token(kind: str) -> str:
        """A fresh token of 256 random bits, of one of the kinds in TOKEN_PREFIXES."""
        return tokens.make(TOKEN_PREFIXES[kind], secrets.token_bytes(32))

    @staticmethod
    def hash_token(token: str) -> bytes:
        """What is stored of a token. It has too many bits to guess: a plain SHA-256 is enough."""
        return sha256(token.encode(errors="replace")).digest()


def _private(key: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(key), ec.SECP256R1())


@lru_cache(maxsize=16)
def _public(key: bytes) -> str:
    point = _private(key).public_key()
    return _base64url(point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@lru_cache(maxsize=64)
def _derived(key: bytes, purpose: str) -> bytes:
    return HKDF(
        algorithm=SHA256(), length=32, salt=None, info=f"waylight {purpose}".encode()
    ).derive(key)


def _signature(key: bytes, purpose: str, content: bytes) -> bytes:
    return hmac.digest(_derived(key, f"signature {purpose}"), content, sha256)


def _fingerprint(key: bytes, purpose: str) -> str:
    return _derived(key, f"{purpose} fingerprint").hex()[:32]


def _bound(report_id: UUID, name: str) -> bytes:
    """What a ciphertext is tied to, so that it opens in no other report and no other field."""
    return report_id.bytes + name.encode()


def _encrypt(cipher: AESGCM, plain: bytes, bound_to: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return FORMAT + nonce + cipher.encrypt(nonce, plain, bound_to)


def _decrypt(cipher: AESGCM, sealed: bytes, bound_to: bytes) -> bytes:
    if sealed[:1] != FORMAT:
        raise VaultError("the ciphertext has an unknown format")
    nonce, body = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    try:
        return cipher.decrypt(nonce, body, bound_to)
    except (InvalidTag, ValueError) as error:
        raise VaultError("the ciphertext was changed, or belongs elsewhere") from error


def _symbols(digest: bytes, count: int) -> str:
    """The first 5 * count bits of a digest in Crockford's alphabet."""
    bits = int.from_bytes(digest) >> (8 * len(digest) - 5 * count)
    return "".join(CROCKFORD[bits >> (5 * (count - 1 - at)) & 31] for at in range(count))


def _checksum(secret: str) -> str:
    return _symbols(sha256(secret.encode()).digest(), CHECK_SYMBOLS)


def _typed(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text[:LONGEST_RECEIPT]).upper()
    kept = "".join(c for c in plain if unicodedata.category(c) not in ("Pd", "Zs", "Cf", "Cc"))
    return re.sub("[IL]", "1", kept.replace("O", "0"))
