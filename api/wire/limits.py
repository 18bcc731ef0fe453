"""How often an address or a key may call. A broken limiter never stops a request.

An address is only ever kept as a hash under a random salt that is thrown away every day (design,
6.2). Counters live in the memory of each process: with four processes a caller gets up to four
times the limit, which protects the service as well and needs no further server.
"""

import hashlib
import ipaddress
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import current_app, g, request
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter
from werkzeug.wrappers import Response

from waylight.domain.errors import TooManyRequests
from waylight.log import get_logger

log = get_logger(__name__)

PROBES = ("/healthz", "/readyz")
"""A load balancer that asks too often must not hear that the process is ill."""

NEVER_LIMITED = frozenset(
    {("POST", "/v1/reports"), *((method, path) for path in PROBES for method in ("GET", "HEAD"))}
)
"""Somebody may be in danger, and a station's Wi-Fi is one address for everybody in it."""

DAY_S = 86_400.0
MOST_COUNTERS = 100_000
"""In memory at once, some 20 MB; a flood of addresses makes all start anew, not the process die."""


@dataclass(frozen=True)
class Policy:
    """At most `quota` in `window_s` seconds."""

    name: str
    quota: int
    window_s: int

    def item(self) -> RateLimitItem:
        """The same in the words of the library."""
        return RateLimitItemPerSecond(self.quota, self.window_s, namespace=self.name)


PUBLIC = Policy("public", quota=1200, window_s=60)
"""Every call of an address, without a key."""

KEYS = Policy("keys", quota=3000, window_s=60)
"""Every call with one key."""

FAILED_RECEIPTS = Policy("failed-receipts", quota=30, window_s=300)
"""Receipts of an address that opened nothing. A right one is never refused for others' wrong."""

FAILED_KEYS = Policy("failed-keys", quota=30, window_s=300)
"""Keys of an address that nobody has. A right one is never refused for others' wrong ones."""

FAILED_SIGN_INS = Policy("failed-sign-ins", quota=100, window_s=60)
"""Sign-ins by providers that came to nothing, of an address. Each asks the provider, which answers
nobody of ours any more when it is asked too much: beyond, it is not asked for what is left of the
minute. A depot is one address."""

REPLAYS = Policy("webhook-replays", quota=60, window_s=60)
PINGS = Policy("webhook-pings", quota=10, window_s=60)
"""Messages that an organisation has sent to itself: each may hold a sender for seconds."""

HOURS = Policy("hours", quota=60, window_s=60)
"""Hours that an organisation has worked out, to set or to preview: tens of milliseconds of a
processor each, at worst."""

ACCESS_TOKENS = Policy("access-tokens", quota=60, window_s=60)
"""Access tokens of one client: one lasts a quarter of an hour."""


class Counters(Storage):
    """Counters in memory, bounded.

    The library's own memory storage walks through all its keys up to a hundred times a second and
    grows without end, so that a flood of addresses would stop the process.
    """

    STORAGE_SCHEME = None

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock = clock
        self._counts: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    @property
    def base_exceptions(self) -> type[Exception]:
        """What `limits` may wrap; nothing here raises."""
        return Exception

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Counts, and returns the count in the window that began with the first."""
        now = self._clock()
        with self._lock:
            count, ends_at = self._counts.get(key, (0, 0.0))
            if ends_at <= now:
                count, ends_at = 0, now + expiry
                if len(self._counts) >= MOST_COUNTERS:
                    self._sweep(now)
            self._counts[key] = (count + amount, ends_at)
            return count + amount

    def get(self, key: str) -> int:
        """The count in the present window."""
        count, ends_at = self._counts.get(key, (0, 0.0))
        return count if ends_at > self._clock() else 0

    def get_expiry(self, key: str) -> float:
        """When the present window ends, in seconds since the epoch."""
        now = self._clock()
        return max(now, self._counts.get(key, (0, now))[1])

    def check(self) -> bool:
        """Memory is always there."""
        return True

    def reset(self) -> int:
        """Forgets everything."""
        with self._lock:
            forgotten = len(self._counts)
            self._counts.clear()
        return forgotten

    def clear(self, key: str) -> None:
        """Forgets one counter."""
        self._counts.pop(key, None)

    def _sweep(self, now: float) -> None:
        self._counts = {key: held for key, held in self._counts.items() if held[1] > now}
        if len(self._counts) >= MOST_COUNTERS:
            self._counts.clear()


@dataclass(frozen=True)
class Spent:
    """What is left of a policy after a call."""

    policy: Policy
    allowed: bool
    remaining: int
    reset_in_s: int


class Limiter:
    """Counts calls of hashed callers. One for each app."""

    def __init__(
        self, *, exempt_loopback: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self._exempt_loopback = exempt_loopback
        self._clock = clock
        self._counters = Counters(clock=clock)
        self._strategy = FixedWindowRateLimiter(self._counters)
        self._salt = b""
        self._salted_on = -1

    def spend(self, policy: Policy, caller: str | None) -> Spent | None:
        """Counts one call; None when the caller is exempt or unknown, or the limiter is broken."""
        if caller is None or self.is_exempt(caller):
            return None
        try:
            key = self._hashed(caller)
            item = policy.item()
            allowed = self._strategy.hit(item, key)
            stats = self._strategy.get_window_stats(item, key)
            reset_in_s = max(1, round(stats.reset_time - self._clock()))
            return Spent(policy, allowed, stats.remaining, reset_in_s)
        except Exception:  # whatever breaks here, the request goes on
            log.exception("limiter_broken")
            return None

    def has_left(self, policy: Policy, caller: str | None) -> bool:
        """Whether one more may be counted; so when the caller is exempt, or the limiter broken."""
        if caller is None or self.is_exempt(caller):
            return True
        try:
            return bool(self._strategy.test(policy.item(), self._hashed(caller)))
        except Exception:  # whatever breaks here, the request goes on
            log.exception("limiter_broken")
            return True

    def is_exempt(self, caller: str | None) -> bool:
        """Whether nothing is counted of this network."""
        return self._exempt_loopback and caller in ("127.0.0.0/8", "::1/128")

    def _hashed(self, caller: str) -> str:
        today = int(self._clock() // DAY_S)
        if today != self._salted_on:
            self._salt, self._salted_on = secrets.token_bytes(32), today
            self._counters.reset()
        return hashlib.blake2b(caller.encode(), key=self._salt, digest_size=16).hexdigest()


def network_of(address: str | None) -> str | None:
    """The network that counts as one caller: an IPv4 address, an IPv6 /64; None when unknown.

    A household has a /64 and may call from each of its addresses.
    """
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    parsed = mapped or parsed
    if parsed.is_loopback:
        return "127.0.0.0/8" if parsed.version == 4 else "::1/128"
    prefix = 32 if parsed.version == 4 else 64
    return str(ipaddress.ip_network((parsed, prefix), strict=False))


def is_exempt() -> bool:
    """Whether the caller is on this machine, and such callers are not limited here."""
    limiter: Limiter = current_app.extensions["waylight.limiter"]
    return limiter.is_exempt(network_of(request.remote_addr))


def count_call(*, key_id: str | None = None) -> None:
    """Counts this request against its key, else its address. Raises TooManyRequests."""
    if (request.method, request.path) in NEVER_LIMITED:
        return
    if key_id is not None:
        if not is_exempt():
            _spend(KEYS, f"key:{key_id}")
    else:
        _spend(PUBLIC, network_of(request.remote_addr))


def count_failure(policy: Policy) -> None:
    """Counts a wrong key or receipt against the address it came from. Raises TooManyRequests."""
    if (request.method, request.path) not in NEVER_LIMITED:
        _spend(policy, network_of(request.remote_addr))


def check_failures(policy: Policy) -> None:
    """Refuses an address that has used its failures up, before the work that the next would be.

    Raises TooManyRequests.
    """
    limiter: Limiter = current_app.extensions["waylight.limiter"]
    if not limiter.has_left(policy, network_of(request.remote_addr)):
        raise TooManyRequests(retry_after_s=policy.window_s)


def count_use(policy: Policy, organisation_id: object | None) -> None:
    """Counts a call that costs more than others against its organisation. Raises TooManyRequests.

    However many keys it has, they share the quota.
    """
    if organisation_id is not None and not is_exempt():
        _spend(policy, f"organisation:{organisation_id}")


def announce(response: Response) -> Response:
    """Adds `RateLimit-Policy` and `RateLimit` (IETF draft) for the policies this request met."""
    spent: list[Spent] = g.get("spent", [])
    if spent:
        response.headers["RateLimit-Policy"] = ", ".join(
            f'"{one.policy.name}";q={one.policy.quota};w={one.policy.window_s}' for one in spent
        )
        response.headers["RateLimit"] = ", ".join(
            f'"{one.policy.name}";r={one.remaining};t={one.reset_in_s}' for one in spent
        )
    return response


def _spend(policy: Policy, caller: str | None) -> None:
    limiter: Limiter = current_app.extensions["waylight.limiter"]
    spent = limiter.spend(policy, caller)
    if spent is None:
        return
    g.setdefault("spent", []).append(spent)
    if not spent.allowed:
        raise TooManyRequests(retry_after_s=spent.reset_in_s)
