"""The settings of one process: read once from the environment, frozen, and right or refused."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

PROFILES = ("production", "demo", "test")
LOG_LEVELS = ("debug", "info", "warning", "error")
KEY_BYTES = 32
_NO_KEYS: Mapping[int, bytes] = {}


class ConfigurationError(Exception):
    """The settings cannot be used; `problems` names each wrong one and its fix."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("These settings are wrong:\n" + "\n".join(f"  {p}" for p in problems))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that a deployment may choose. Secrets are left out of its `repr`.

    `database_url` is the login that migrates and loads; a process that only serves may do without
    it. `intake_url` and `staff_url` are those of the two unprivileged roles, derived from
    `database_url` unless they are given. Keys are by version: the highest is current, the lower
    ones still open what they closed.
    """

    database_url: str | None = field(repr=False)
    intake_url: str = field(repr=False)
    staff_url: str = field(repr=False)
    vault_keys: Mapping[int, bytes] = field(repr=False)
    receipt_keys: Mapping[int, bytes] = field(repr=False)
    profile: str
    host: str
    port: int
    base_url: str
    exempt_loopback: bool
    trusted_proxies: int
    default_city: str | None
    pool_size: int
    database_timeout_s: float
    report_size_limit: int
    worker_poll_s: float
    lease_s: int
    channels: tuple[str, ...]
    log_level: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Read every `WAYLIGHT_...` variable. Raises ConfigurationError with all problems."""
        read = _Reader(environ)
        profile = read.choice("PROFILE", "production", PROFILES)
        host = read.text("HOST", "127.0.0.1")
        port = read.integer("PORT", 8000, lowest=1, highest=65535)
        vault_keys = read.keys("VAULT_KEYS")
        database_url = read.url("DATABASE_URL")
        exempt_loopback = read.flag("EXEMPT_LOOPBACK")
        if exempt_loopback and profile == "production":
            read.refuse(
                "EXEMPT_LOOPBACK",
                "is for the profiles demo and test: behind a proxy every caller is loopback",
            )
        settings = cls(
            database_url=database_url,
            intake_url=read.role_url("INTAKE_URL", "waylight_intake", database_url, vault_keys),
            staff_url=read.role_url("STAFF_URL", "waylight_staff", database_url, vault_keys),
            vault_keys=vault_keys,
            receipt_keys=read.keys("RECEIPT_KEYS"),
            profile=profile,
            host=host,
            port=port,
            base_url=read.text("BASE_URL", f"http://{_in_url(host)}:{port}").rstrip("/"),
            exempt_loopback=exempt_loopback,
            trusted_proxies=read.integer("TRUSTED_PROXIES", 0, lowest=0, highest=16),
            default_city=read.text("DEFAULT_CITY", "") or None,
            pool_size=read.integer("POOL_SIZE", 8, lowest=1, highest=200),
            database_timeout_s=read.number("DATABASE_TIMEOUT_S", 1.5, lowest=0.2, highest=60),
            report_size_limit=read.integer(
                "REPORT_SIZE_LIMIT", 262_144, lowest=16_384, highest=16_777_216
            ),
            worker_poll_s=read.number("WORKER_POLL_S", 0.5, lowest=0.01, highest=10),
            lease_s=read.integer("LEASE_S", 30, lowest=5, highest=600),
            channels=read.names("CHANNELS", ("console",)),
            log_level=read.choice("LOG_LEVEL", "info", LOG_LEVELS),
        )
        if read.problems:
            raise ConfigurationError(read.problems)
        return settings


class _Reader:
    """Reads variables one by one and collects what is wrong instead of stopping at the first."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[str] = []

    def refuse(self, name: str, why: str) -> None:
        self.problems.append(f"WAYLIGHT_{name} {why}.")

    def text(self, name: str, default: str) -> str:
        return self.environ.get(f"WAYLIGHT_{name}", "").strip() or default

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(name, default).lower()
        if value not in choices:
            self.refuse(name, f"must be one of {', '.join(choices)}")
            return default
        return value

    def flag(self, name: str) -> bool:
        value = self.text(name, "0").lower()
        if value not in ("0", "1", "false", "true", "no", "yes"):
            self.refuse(name, "must be 1 or 0")
        return value in ("1", "true", "yes")

    def integer(self, name: str, default: int, *, lowest: int, highest: int) -> int:
        value = self.text(name, str(default))
        if not re.fullmatch(r"[0-9]{1,12}", value) or not lowest <= int(value) <= highest:
            self.refuse(name, f"must be a whole number from {lowest} to {highest}")
            return default
        return int(value)

    def number(self, name: str, default: float, *, lowest: float, highest: float) -> float:
        try:
            value = float(self.text(name, str(default)))
        except ValueError:
            value = -1.0
        if not lowest <= value <= highest:
            self.refuse(name, f"must be a number from {lowest} to {highest}")
            return default
        return value

    def names(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.text(name, ",".join(default))
        names = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        if not names or not all(re.fullmatch(r"[a-z][a-z0-9_]*", part) for part in names):
            self.refuse(name, "must be names with commas between them")
            return default
        return names

    def keys(self, name: str) -> Mapping[int, bytes]:
        value = self.text(name, "")
        if not value:
            self.refuse(name, "is not set: 1:$(head -c 32 /dev/urandom | base64) makes a key")
            return _NO_KEYS
        keys: dict[int, bytes] = {}
        for part in value.split(","):
            version, _, encoded = part.strip().partition(":")
            key = _decoded(encoded)
            number = int(version) if re.fullmatch(r"[0-9]{1,5}", version) else 0
            # The version is a smallint in the database.
            if not 1 <= number <= 32_767 or number in keys or len(key) != KEY_BYTES:
                # Never the value itself: this message is logged.
                self.refuse(
                    name, "must read 1:KEY,2:KEY,... with each KEY 32 bytes in base64, each once"
                )
                return _NO_KEYS
            keys[number] = key
        return keys

    def url(self, name: str) -> str | None:
        value = self.text(name, "")
        if not value:
            return None
        try:
            conninfo_to_dict(value)
        except psycopg.ProgrammingError:
            self.refuse(name, "is not a PostgreSQL address: postgresql://user:password@host/name")
            return None
        return value

    def role_url(
        self, name: str, role: str, database_url: str | None, vault_keys: Mapping[int, bytes]
    ) -> str:
        given = self.url(name)
        if given:
            return given
        if self.text(name, ""):
            return ""  # the problem is noted already
        if database_url is None:
            if not self.text("DATABASE_URL", ""):
                self.refuse(name, "is not set, and neither is WAYLIGHT_DATABASE_URL: set either")
            return ""
        if not vault_keys:
            return ""
        login = {"user": role, "password": _role_password(vault_keys, role)}
        return make_conninfo(database_url, **login)


def _role_password(vault_keys: Mapping[int, bytes], role: str) -> str:
    """The password of a role, the same in every process that holds the first vault key."""
    digest = hmac.digest(vault_keys[min(vault_keys)], f"role:{role}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode()


def _decoded(encoded: str) -> bytes:
    try:
        # Both alphabets: `base64` writes + and /, Python's token functions - and _.
        return base64.b64decode(encoded.translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
