"""The settings of one process: read once from the environment, frozen, and right or refused.

Each is declared once, in `Settings`: how it is read, and what docs/config.md says of it.
"""

import base64
import binascii
import hashlib
import hmac
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import time
from ipaddress import ip_network
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from waylight.domain.drills import WEEKDAYS, Slot
from waylight.domain.endpoints import Network, can_be_named

PROFILES = ("production", "demo", "test")
LOG_LEVELS = ("debug", "info", "warning", "error")
KEY_BYTES = 32
_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)


_LOOPBACK = re.compile(r"http://(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]+)?$", re.ASCII)
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class ConfigurationError(Exception):
    """The settings cannot be used; `problems` names each wrong one and its fix."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("These settings are wrong:\n" + "\n".join(f"  {p}" for p in problems))


class _Refused(Exception):
    """Why a value cannot be used, to be read after its name. Never quotes it: it is logged."""


@dataclass(frozen=True)
class Kind:
    """What values there are, in words, and how one is read.

    `read` gets the text and the right values of the settings declared above, by name.
    """

    values: str
    read: Callable[[str, Mapping[str, Any]], Any]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One variable. `default` is what could be typed; `unset`, where there is none, in words."""

    kind: Kind
    meaning: str
    default: str = ""
    unset: str = ""
    required: bool = False
    secret: bool = False


def _choice(*choices: str) -> Kind:
    def read(text: str, _above: Mapping[str, Any]) -> str:
        if text.lower() not in choices:
            raise _Refused(f"must be one of {', '.join(choices)}")
        return text.lower()

    return Kind(f"one of {', '.join(f'`{choice}`' for choice in choices)}", read)


def _text(values: str) -> Kind:
    return Kind(values, lambda text, _above: text or None)


def _integer(lowest: int, highest: int) -> Kind:
    def read(text: str, _above: Mapping[str, Any]) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not lowest <= int(text) <= highest:
            raise _Refused(f"must be a whole number from {lowest} to {highest}")
        return int(text)

    return Kind(f"whole number, {lowest} to {highest}", read)


def _number(lowest: float, highest: float) -> Kind:
    def read(text: str, _above: Mapping[str, Any]) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not lowest <= value <= highest:
            raise _Refused(f"must be a number from {lowest} to {highest}")
        return value

    return Kind(f"number, {lowest} to {highest}", read)


def _read_names(text: str, _above: Mapping[str, Any]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names or not all(re.fullmatch(r"[a-z][a-z0-9_]*", part) for part in names):
        raise _Refused("must be names with commas between them")
    return names


def _read_no_names(text: str, above: Mapping[str, Any]) -> tuple[str, ...]:
    return _read_names(text, above) if text else ()


def _read_provider_url(text: str, _above: Mapping[str, Any]) -> str:
    address = text.rstrip("/")
    # Keys travel to it: over TLS, or not beyond this machine.
    if not _ORIGIN.fullmatch(address) or not (
        address.startswith("https://") or _LOOPBACK.match(address)
    ):
        raise _Refused("must be an origin with https: https://api.example")
    return address


def _read_notify_key(text: str, _above: Mapping[str, Any]) -> str | None:
    if text and not re.fullmatch(rf".*-{_UUID}-{_UUID}", text):
        raise _Refused("is not a key of GOV.UK Notify: its name, then two UUIDs")
    return text or None


def _read_token(text: str, _above: Mapping[str, Any]) -> str | None:
    if text and len(text) < 20:
        raise _Refused("is too short to be a secret: 20 characters or more")
    return text or None


def _read_templates(text: str, _above: Mapping[str, Any]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for part in (part.strip() for part in text.split(",") if part.strip()):
        name, _, template = part.partition(":")
        if not re.fullmatch(r"(sms|email)(\.[a-z_]+)*", name) or not re.fullmatch(_UUID, template):
            raise _Refused("must read sms:UUID,email:UUID,... or, say, sms.alert.created.es:UUID")
        found[name] = template
    return found


def _read_email(text: str, _above: Mapping[str, Any]) -> str | None:
    if text and not re.fullmatch(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,190}", text):
        raise _Refused("must be an e-mail address: alerts@waylight.example")
    return text or None


def _read_origins(text: str, _above: Mapping[str, Any]) -> tuple[str, ...]:
    given = (part.strip().rstrip("/") for part in text.split(","))
    origins = tuple(dict.fromkeys(part for part in given if part))
    if not all(_ORIGIN.fullmatch(origin) for origin in origins):
        raise _Refused("must be origins with commas between them: https://desk.example")
    return origins


def _read_slots(text: str, _above: Mapping[str, Any]) -> tuple[Slot, ...]:
    slots = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = re.fullmatch(r"([A-Za-z]{3})[a-z]*\s+([01]?[0-9]|2[0-3]):([0-5][0-9])", part)
        if found is None or found[1].lower() not in WEEKDAYS:
            raise _Refused("must be days and times with commas between them: wed 14:00")
        slots.append(Slot(WEEKDAYS.index(found[1].lower()), time(int(found[2]), int(found[3]))))
    return tuple(dict.fromkeys(slots))


def _read_loopback_ports(text: str, above: Mapping[str, Any]) -> tuple[int, ...]:
    given = [part.strip() for part in text.split(",") if part.strip()]
    if not all(re.fullmatch(r"[0-9]{1,5}", part) and 1 <= int(part) <= 65_535 for part in given):
        raise _Refused("must be ports with commas between them: 4010,4011")
    if given and above.get("profile") == "production":
        raise _Refused("is for the profiles demo and test: a partner could reach this machine")
    return tuple(dict.fromkeys(map(int, given)))


def _read_networks(text: str, _above: Mapping[str, Any]) -> tuple[Network, ...]:
    try:
        given = [ip_network(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError:
        raise _Refused(
            "must be networks with commas between them, nothing set behind the prefix:"
            " 10.20.0.0/16,fd12:3456:789a::/48"
        ) from None
    if not all(can_be_named(network) for network in given):
        raise _Refused(
            "must not hold loopback, link-local (169.254.169.254 tells this machine's own keys),"
            " multicast, unspecified or translated addresses: name the network of the provider"
            " alone, such as 10.20.0.0/16"
        )
    return tuple(dict.fromkeys(given))


def _read_authorities(text: str, _above: Mapping[str, Any]) -> str | None:
    if not text:
        return None
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        trusted.load_verify_locations(text)
    except OSError as error:
        why = "holds no certificate" if isinstance(error, ssl.SSLError) else "cannot be read"
        raise _Refused(
            f"{why}: name a file of certificates in PEM that this process may read"
        ) from None
    if not trusted.cert_store_stats()["x509"]:
        raise _Refused("holds no certificate: name a file of certificates in PEM")
    return text


def _read_flag(text: str, _above: Mapping[str, Any]) -> bool:
    if text.lower() not in ("0", "1", "false", "true", "no", "yes"):
        raise _Refused("must be 1 or 0")
    return text.lower() in ("1", "true", "yes")


def _read_exempt_loopback(text: str, above: Mapping[str, Any]) -> bool:
    exempt = _read_flag(text, above)
    if exempt and above.get("profile") == "production":
        raise _Refused("is for the profiles demo and test: behind a proxy every caller is loopback")
    return exempt


def _read_base_url(text: str, above: Mapping[str, Any]) -> str:
    host = str(above.get("host"))
    in_url = f"[{host}]" if ":" in host else host
    return (text or f"http://{in_url}:{above.get('port')}").rstrip("/")


def _read_keys(text: str, _above: Mapping[str, Any]) -> Mapping[int, bytes]:
    if not text:
        raise _Refused("is not set: 1:$(head -c 32 /dev/urandom | base64) makes a key")
    keys: dict[int, bytes] = {}
    for part in text.split(","):
        version, _, encoded = part.strip().partition(":")
        key = _decoded(encoded)
        number = int(version) if re.fullmatch(r"[0-9]{1,5}", version) else 0
        # The version is a smallint in the database.
        if not 1 <= number <= 32_767 or number in keys or len(key) != KEY_BYTES:
            raise _Refused("must read 1:KEY,2:KEY,... with each KEY 32 bytes in base64, each once")
        keys[number] = key
    return keys


def _read_keys_or_none(text: str, above: Mapping[str, Any]) -> Mapping[int, bytes]:
    return _read_keys(text, above) if text else {}


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""How many points the curve P-256 has (FIPS 186-5): a private key is a smaller number."""

_SUBJECT = re.compile(
    r"(?:mailto:[A-Za-z0-9._%+-]+@|https://)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", re.ASCII
)


def _read_vapid_keys(text: str, _above: Mapping[str, Any]) -> tuple[bytes, ...]:
    keys = tuple(_decoded(_padded(part.strip())) for part in text.split(",") if text)
    numbers = {int.from_bytes(key) for key in keys if len(key) == KEY_BYTES}
    if len(numbers) != len(keys) or not all(0 < number < P256_ORDER for number in numbers):
        raise _Refused(
            "must be private keys with commas between them, each once: `waylight key vapid` makes"
            " one"
        )
    return keys


def _read_vapid_subject(text: str, _above: Mapping[str, Any]) -> str | None:
    if text and not _SUBJECT.fullmatch(text):
        raise _Refused("must read mailto:somebody@your.example or https://your.example")
    return text or None


def _padded(encoded: str) -> str:
    return encoded + "=" * (-len(encoded) % 4)


def _version_of(keys: str) -> Kind:
    def read(text: str, above: Mapping[str, Any]) -> int | None:
        held = above.get(keys, {})
        if text and held and text not in map(str, held):
            raise _Refused(f"must be a version that is in WAYLIGHT_{keys.upper()}")
        return int(text) if text and held else None

    return Kind("a version", read)


def _decoded(encoded: str) -> bytes:
    try:
        # Both alphabets: `base64` writes + and /, Python's token functions - and _.
        return base64.b64decode(encoded.translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _read_url(text: str, _above: Mapping[str, Any]) -> str | None:
    try:
        conninfo_to_dict(text)
    except psycopg.ProgrammingError as error:
        raise _Refused(
            "is not a PostgreSQL address: postgresql://user:password@host/name"
        ) from error
    return text or None


def _role_url(role: str) -> Kind:
    def read(text: str, above: Mapping[str, Any]) -> str:
        if text:
            return _read_url(text, above) or ""
        if above.get("database_url", "wrong") is None:
            raise _Refused("is not set, and neither is WAYLIGHT_DATABASE_URL: set either")
        if not {"database_url", "vault_keys"} <= above.keys():
            return ""  # what is wrong with them is told already
        login = {"user": role, "password": _role_password(above["vault_keys"], role)}
        return make_conninfo(above["database_url"], **login)

    return Kind("PostgreSQL address", read)


def _role_password(vault_keys: Mapping[int, bytes], role: str) -> str:
    """The password of a role, the same in every process that holds the first vault key."""
    digest = hmac.digest(vault_keys[min(vault_keys)], f"role:{role}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode()


_ADDRESS = Kind("PostgreSQL address: `postgresql://user:password@host:port/name`", _read_url)
_KEYS = Kind("`VERSION:KEY`, commas between; a KEY is 32 bytes in base64", _read_keys)


_KEYS_OR_NONE = Kind(_KEYS.values, _read_keys_or_none)


def _setting(kind: Kind, meaning: str, **how: Any) -> Any:  # noqa: ANN401 - a field of any type
    setting = Setting(kind=kind, meaning=meaning, **how)
    return field(metadata={"setting": setting}, repr=not setting.secret)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that a deployment may choose. Secrets are left out of its `repr`.

    A field is the variable of its name in capitals after `WAYLIGHT_`. Keys are by version.
    """

    database_url: str | None = _setting(
        _ADDRESS,
        "The login that migrates and loads a city: it owns the tables and may make roles. "
        "A process that only serves may do without it",
        unset="none",
        secret=True,
    )
    vault_keys: Mapping[int, bytes] = _setting(
        _KEYS,
        "The keys that encrypt what passengers write. The highest version closes, all open. "
        "The passwords of the two roles below come from the lowest",
        required=True,
        secret=True,
    )
    receipt_keys: Mapping[int, bytes] = _setting(
        _KEYS,
        "The keys that receipts are derived from. The highest version makes new ones, all are "
        "recognised",
        required=True,
        secret=True,
    )
    support_keys: Mapping[int, bytes] = _setting(
        _KEYS_OR_NONE,
        "The keys that encrypt what support workers write, and nothing else. Give them to those "
        "processes alone that serve a support service, and keep them apart from the others. The "
        "highest version closes, all open",
        unset="none: the support store is shut",
        secret=True,
    )
    vault_key_version: int | None = _setting(
        _version_of("vault_keys"),
        "The version that closes, so that every process can hold a new key before any uses it",
        unset="the highest of `WAYLIGHT_VAULT_KEYS`",
    )
    receipt_key_version: int | None = _setting(
        _version_of("receipt_keys"),
        "The version that makes new receipts, for the same reason",
        unset="the highest of `WAYLIGHT_RECEIPT_KEYS`",
    )
    intake_url: str = _setting(
        _role_url("waylight_intake"),
        "The login that takes reports, answers the public and works as `worker`",
        unset="`WAYLIGHT_DATABASE_URL` as the role `waylight_intake`",
        secret=True,
    )
    staff_url: str = _setting(
        _role_url("waylight_staff"),
        "The login of requests by signed-in staff, under row-level security",
        unset="`WAYLIGHT_DATABASE_URL` as the role `waylight_staff`",
        secret=True,
    )
    profile: str = _setting(
        _choice(*PROFILES),
        "`production` refuses what is only for trying out: `EXEMPT_LOOPBACK` and `waylight key "
        "demo`",
        default="production",
    )
    host: str = _setting(
        _text("address of this machine"),
        "Where the API listens; `0.0.0.0` or `::` is everywhere",
        default="127.0.0.1",
    )
    port: int = _setting(_integer(1, 65_535), "Where the API listens", default="8000")
    workers: int = _setting(
        _integer(1, 64),
        "Processes of the API. Each has connections of its own: see `POOL_SIZE`",
        default="2",
    )
    base_url: str = _setting(
        Kind("URL", _read_base_url),
        "What links to this API begin with, in messages to staff and in the file of demo keys",
        unset="`http://HOST:PORT`",
    )
    exempt_loopback: bool = _setting(
        Kind("`1` or `0`", _read_exempt_loopback),
        "No rate limits for callers from this machine. Not in the profile `production`",
        default="0",
    )
    trusted_proxies: int = _setting(
        _integer(0, 16),
        "How many proxies of yours stand in front: so many entries at the end of "
        "`X-Forwarded-For` and `X-Forwarded-Proto` are believed",
        default="0",
    )
    allowed_origins: tuple[str, ...] = _setting(
        Kind("origins such as `https://desk.example`, commas between", _read_origins),
        "Web pages that may call what needs the key of a person on the staff (CORS). What anybody "
        "may call, any page may",
        unset="none",
    )
    default_city: str | None = _setting(
        _text("slug of a loaded city"),
        "Whose control room gets a report that lies in no known area; also the city of the demo "
        "keys",
        unset="the city loaded first",
    )
    pool_size: int = _setting(
        _integer(1, 200),
        "Database connections of one process and role, at most",
        default="8",
    )
    streams: int = _setting(
        _integer(1, 50_000),
        "Clients of the live stream in one process, at most; further ones hear 503. Each takes "
        "some 25 KB and a file descriptor",
        default="2000",
    )
    streams_per_key: int = _setting(
        _integer(1, 50_000),
        "Streams of one key in one process, at most; a further one hears 429",
        default="20",
    )
    stream_port: int = _setting(
        _integer(1, 65_535), "Where `waylight stream` listens, at `HOST`", default="8001"
    )
    stream_workers: int = _setting(_integer(1, 64), "Processes of `waylight stream`", default="1")
    database_timeout_s: float = _setting(
        _number(0.2, 60),
        "Seconds that a request waits for the database before it answers 503",
        default="1.5",
    )
    report_size_limit: int = _setting(
        _integer(16_384, 16_777_216), "Bytes of a request's body, at most", default="262144"
    )
    worker_poll_s: float = _setting(
        _number(0.01, 10), "Seconds between two looks of a worker for work", default="0.5"
    )
    worker_metrics_port: int = _setting(
        _integer(0, 65_535),
        "Port on 127.0.0.1 where a worker tells Prometheus what it counts, to anybody on its "
        "machine; 0 is none",
        default="0",
    )
    lease_s: int = _setting(
        _integer(5, 600),
        "Seconds after which a delivery that a worker took and did not finish is another's",
        default="30",
    )
    channels: tuple[str, ...] = _setting(
        Kind("names of channels, commas between", _read_names),
        "The ways by which teams and hubs are told. There is `console`, which writes to the log, "
        "`sms` and `email`",
        default="console",
    )
    sms_providers: tuple[str, ...] = _setting(
        Kind("`notify`, `twilio` or both, commas between", _read_no_names),
        "Who carries text messages of the channel `sms`: the first that works, in this order",
        unset="none",
    )
    email_providers: tuple[str, ...] = _setting(
        Kind("`smtp`, `notify` or both, commas between", _read_no_names),
        "Who carries messages of the channel `email`: the first that works, in this order",
        unset="none",
    )
    sms_replies: bool = _setting(
        Kind("`1` or `0`", _read_flag),
        "Whether a text message says how to answer it by text. 0 where its sender takes none",
        default="1",
    )
    notify_api_key: str | None = _setting(
        Kind("API key of GOV.UK Notify", _read_notify_key),
        "The key that the provider `notify` sends with",
        unset="none",
        secret=True,
    )
    notify_templates: Mapping[str, str] = _setting(
        Kind("`NAME:UUID`, commas between", _read_templates),
        "Which template of GOV.UK Notify carries what: `sms` and `email` carry all, "
        "`sms.alert.created`, `sms.es` and `sms.alert.created.es` one message, one language, both",
        unset="none",
    )
    notify_callback_token: str | None = _setting(
        Kind("text of your own, 20 characters or more", _read_token),
        "The bearer token that GOV.UK Notify sends with receipts and with texts that came in",
        unset="none are taken",
        secret=True,
    )
    notify_url: str = _setting(
        Kind("origin", _read_provider_url),
        "Where GOV.UK Notify is",
        default="https://api.notifications.service.gov.uk",
    )
    twilio_account_sid: str | None = _setting(
        _text("`AC...`"), "The account that the provider `twilio` sends with", unset="none"
    )
    twilio_auth_token: str | None = _setting(
        _text("text"),
        "Its token, which also signs what Twilio tells us",
        unset="none; nothing from Twilio is taken",
        secret=True,
    )
    twilio_from: str | None = _setting(
        _text("`+44...`, a name, or the `MG...` of a messaging service"),
        "Who text messages by `twilio` come from",
        unset="none",
    )
    twilio_url: str = _setting(
        Kind("origin", _read_provider_url),
        "Where Twilio, or what speaks as it does, is",
        default="https://api.twilio.com",
    )
    smtp_host: str | None = _setting(
        _text("name of a machine"), "The mail server of the provider `smtp`", unset="none"
    )
    smtp_port: int = _setting(_integer(1, 65_535), "Its port", default="587")
    smtp_security: str = _setting(
        _choice("starttls", "tls", "none"),
        "How the line to it is kept: STARTTLS demanded, TLS from the first byte, or, on this "
        "machine, not at all",
        default="starttls",
    )
    smtp_user: str | None = _setting(
        _text("text"), "The login there, if it wants one", unset="none"
    )
    smtp_password: str | None = _setting(
        _text("text"), "The password of that login", unset="none", secret=True
    )
    email_from: str | None = _setting(
        Kind("e-mail address", _read_email), "Who e-mail by `smtp` comes from", unset="none"
    )
    allowed_loopback_ports: tuple[int, ...] = _setting(
        Kind("ports such as `4010,4011`", _read_loopback_ports),
        "Ports of this machine that a URL given by others, such as a webhook's, may lead to, also "
        "with `http://`. Not in the profile `production`",
        unset="none: such a URL is https and on the open internet",
    )
    exercise_schedule: tuple[Slot, ...] = _setting(
        Kind("times such as `wed 14:00`, commas between", _read_slots),
        "When a worker drills all teams of a city that are on duty, in the city's own time",
        unset="never",
    )
    log_level: str = _setting(_choice(*LOG_LEVELS), "The least grave line logged", default="info")
    vapid_keys: tuple[bytes, ...] = _setting(
        Kind("KEY, and those used before it after commas; base64url of 32 bytes", _read_vapid_keys),
        "The private keys that sign push messages; the first is the one that new devices "
        "subscribe with. `waylight key vapid` makes one. Needed for the channel `web_push`",
        unset="no device can subscribe",
        secret=True,
    )
    vapid_subject: str | None = _setting(
        Kind("`mailto:` address or `https:` origin", _read_vapid_subject),
        "Where the operator of a push service reaches you about what you send. Needed for the "
        "channel `web_push`",
        unset="none",
    )

    session_s: int = _setting(
        _integer(300, 86_400),
        "Seconds after which a session of the staff is over, whatever is done with it: a shift of"
        " 12 hours; NIST SP 800-63B-4 allows a day at most. Of those opened from then on",
        default="43200",
    )
    session_idle_s: int = _setting(
        _integer(60, 86_400),
        "Seconds after which a session that nothing was done with is over; an open stream is doing"
        " something. NIST SP 800-63B-4 advises an hour at most, OWASP less where you can",
        default="3600",
    )
    openid_networks: tuple[Network, ...] = _setting(
        Kind("networks such as `10.20.0.0/16,fd12:3456:789a::/48`, commas between", _read_networks),
        "Networks of your own where identity providers may be, besides the open internet; with TLS"
        " all the same. Whoever administers an organisation names its provider, so name these as"
        " narrowly as you can. Nothing else that others give us to call gets there",
        unset="none",
    )
    openid_authorities: str | None = _setting(
        Kind("file of certificates in PEM", _read_authorities),
        "Who vouches for the names of identity providers, besides the public authorities. Read"
        " once, when a process starts",
        unset="the public ones alone",
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Read every `WAYLIGHT_...` variable. Raises ConfigurationError with all problems."""
        found: dict[str, Any] = {}
        problems: list[str] = []
        for variable, setting in declared().items():
            text = environ.get(variable, "").strip() or setting.default
            try:
                found[variable.removeprefix("WAYLIGHT_").lower()] = setting.kind.read(text, found)
            except _Refused as why:
                problems.append(f"{variable} {why}.")
        if problems:
            raise ConfigurationError(problems)
        return cls(**found)


def declared() -> Mapping[str, Setting]:
    """Every setting by the name of its variable, in the order in which they are read."""
    return {f"WAYLIGHT_{one.name.upper()}": one.metadata["setting"] for one in fields(Settings)}
