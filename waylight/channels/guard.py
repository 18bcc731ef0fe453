"""Calls to URLs that others chose: to the open internet, to the address that was checked.

Into networks of our own only where whoever runs the service names them to the guard: of identity
providers, and of nothing else.

`requests-hardened` looks a name up once, checks what it found and connects to that very address
with TLS to the name. It falls short of what is needed here, so this adds to it: a list of what is
public instead of some of what is private (the library lets through the IPv4-compatible, the
translated and the site-local addresses of IPv6), loopback by port instead of all of it, no
proxies and no passwords from the environment, no cookies, a limit on the whole exchange (its
limits are between two bytes, and a name server has none) and on the answer's size.
"""

import logging
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Self, TypeVar

import certifi
import requests
from requests_hardened.ip_filter import InvalidIPAddress
from requests_hardened.ip_filter_adapter import IPFilterAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import parse_url
from urllib3.util.ssl_ import create_urllib3_context

from waylight.domain.alerts import TIMED_OUT
from waylight.domain.endpoints import Network, is_inside, is_public

TOTAL_S = 15.0
"""Seconds of one call from the first look for its name to the last byte of its answer."""
CONNECT_S = 5.0
LOOKUPS = 32
"""Names that one guard looks up at once. One whose server does not answer keeps its place, and its
thread, until the system's resolver gives up, long after the call has: the places of one channel are
no other's."""

_Found = TypeVar("_Found")

# Both write the host, and urllib3 the path, which may be a partner's secret.
for _name in ("requests_hardened", "urllib3"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class DestinationRefused(requests.exceptions.InvalidURL):
    """The URL leads to where nothing of ours may be sent. Nothing was connected."""


class Guard:
    """What every call to a URL that somebody gave us is made through. One serves many threads."""

    def __init__(
        self,
        *,
        loopback_ports: Collection[int] = (),
        networks: Collection[Network] = (),
        total_s: float = TOTAL_S,
        authorities: str | None = None,
        more_authorities: str | None = None,
    ) -> None:
        """`loopback_ports` of this machine may be called, also without TLS: for development.

        So may addresses in `networks`, with TLS. `authorities` is a file of certificates to trust
        instead of the public ones, `more_authorities` one to trust besides.
        """
        self.loopback_ports = frozenset(loopback_ports)
        self.networks = tuple(networks)
        self._total_s = total_s
        self._look_ups = threading.BoundedSemaphore(LOOKUPS)
        # One for all calls: reading the public authorities takes 50 ms of a processor.
        self._tls = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
        self._tls.load_verify_locations(authorities or certifi.where())
        if more_authorities is not None:
            self._tls.load_verify_locations(more_authorities)

    def session(self, *, answer_bytes: int = 65_536) -> requests.Session:
        """What a library that wants a session of `requests` is given; threads may share it.

        Each call is one connection and ends within the limit. A redirect is an answer like any
        other, never followed. Of the answer's body `content` is the first `answer_bytes`, or what
        came in time: an answer whose head came is an answer.

        Raises requests.RequestException: DestinationRefused (and InvalidIPAddress of the library)
        for an address that is neither public nor in `networks`, ConnectTimeout and ReadTimeout at
        the limit. Its text may hold the URL: log `reason(error)` instead.
        """
        return _Session(self, answer_bytes)

    def exchange(self, request: requests.PreparedRequest, answer_bytes: int) -> requests.Response:
        """Makes one call: see `session`."""
        secure, port = _checked(request, self.loopback_ports)
        began = time.monotonic()
        with _Watch(began + self._total_s) as watch:
            loopback = port in self.loopback_ports
            adapter = _Adapter(
                watch,
                secure=secure,
                loopback=loopback,
                networks=self.networks,
                tls=self._tls,
                look_ups=self._look_ups,
            )
            try:
                response: requests.Response = adapter.send(
                    request,
                    stream=True,
                    timeout=(min(CONNECT_S, watch.left()), watch.left()),
                    verify=True,
                    proxies={},
                )
                if watch.cut:  # an end in the middle of a head would pass for its end
                    response.close()
                    raise requests.ReadTimeout("no whole answer within the limit")
                _read(response, answer_bytes)
            except requests.RequestException as error:
                if watch.refused is not None:
                    raise watch.refused from None
                if watch.cut and not isinstance(error, requests.Timeout):
                    raise requests.ReadTimeout("no whole answer within the limit") from error
                raise
            finally:
                adapter.close()
        response.elapsed = timedelta(seconds=time.monotonic() - began)
        return response


def reason(error: Exception) -> str:
    """Why a call came to nothing, as a code that names no address."""
    for kind, code in _REASONS:
        if isinstance(error, kind):
            return code
    return type(error).__name__


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (DestinationRefused, "address_refused"),
    (InvalidIPAddress, "address_refused"),
    (requests.exceptions.SSLError, "tls_failed"),
    (requests.Timeout, TIMED_OUT),
    (requests.exceptions.InvalidURL, "address_refused"),
    (requests.ConnectionError, "not_connected"),
    (requests.exceptions.ChunkedEncodingError, "not_connected"),
)


class _Session(requests.Session):
    def __init__(self, guard: Guard, answer_bytes: int) -> None:
        super().__init__()
        self._guard = guard
        self._answer_bytes = answer_bytes
        self.trust_env = False  # no proxy, no ~/.netrc and no certificates of the environment
        # An answer packed to a thousandth of its size is read as it came.
        self.headers.update({"Accept-Encoding": "identity", "Connection": "close"})

    def send(self, request: requests.PreparedRequest, **_kwargs: Any) -> requests.Response:  # noqa: ANN401 - whatever a library asks for is not listened to
        return self._guard.exchange(request, self._answer_bytes)


def _checked(
    request: requests.PreparedRequest, loopback_ports: Collection[int]
) -> tuple[bool, int]:
    url = parse_url(request.url or "")
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    if url.auth is not None or (not secure and port not in loopback_ports):
        raise DestinationRefused("https only, with no name or password in the URL")
    return secure, port


class _Watch:
    """Ends a call when its time is over, whatever the far side sends meanwhile.

    The timeouts of a socket begin again with each byte, so a receiver that drips would hold a
    sender for ever.
    """

    def __init__(self, ends: float) -> None:
        self._ends = ends
        self._timer: threading.Timer | None = None
        self._line: socket.socket | None = None
        self.cut = False
        self.refused: DestinationRefused | None = None
        self.address: IPv4Address | IPv6Address | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()  # so that it never cuts what got the number of a closed line
        if self._line is not None:
            self._line.close()

    def left(self) -> float:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise requests.ConnectTimeout("no time left")
        return left

    def connect_s(self) -> float:
        """How long connecting may take by now: looking the name up may have used most of it."""
        return max(0.001, min(CONNECT_S, self._ends - time.monotonic()))

    def hold(self, line: socket.socket) -> socket.socket:
        """Takes a new connection under watch; refuses one to another address than was checked."""
        if ip_address(line.getpeername()[0].partition("%")[0]) != self.address:
            line.close()
            # Kept, because what is raised here counts as a broken line to those above.
            self.refused = DestinationRefused("connected to another address than was checked")
            raise self.refused
        # A second handle: TLS takes the first away from its object.
        self._line = line.dup()
        self._timer = threading.Timer(max(0.0, self._ends - time.monotonic()), self._end)
        self._timer.daemon = True
        self._timer.start()
        return line

    def _end(self) -> None:
        self.cut = True
        if self._line is not None:
            with suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)


class _Http(HTTPConnection):
    watch: _Watch

    def _new_conn(self) -> socket.socket:
        self.timeout = self.watch.connect_s()
        return self.watch.hold(super()._new_conn())


class _Https(HTTPSConnection):
    watch: _Watch

    def _new_conn(self) -> socket.socket:
        self.timeout = self.watch.connect_s()
        return self.watch.hold(super()._new_conn())


class _Adapter(IPFilterAdapter):  # type: ignore[misc] # the library carries no types
    def __init__(
        self,
        watch: _Watch,
        *,
        secure: bool,
        loopback: bool,
        networks: Collection[Network],
        tls: ssl.SSLContext,
        look_ups: threading.BoundedSemaphore,
    ) -> None:
        super().__init__(is_https_proto=secure, allow_loopback=loopback)
        self._watch = watch
        self._networks = networks
        self._look_ups = look_ups
        self._tls = tls

    def cert_verify(self, conn: Any, *_args: Any, **_kwargs: Any) -> None:  # noqa: ANN401 - as the library has it
        """Leaves the authorities to the context, which has read them already."""
        conn.cert_reqs = "CERT_REQUIRED"

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: bool | str,  # noqa: FBT001 - as the library has it
        cert: str | tuple[str, str] | None = None,
    ) -> tuple[Any, Any]:
        host, tls = _in_time(
            lambda: self._found(request, verify, cert), self._watch.left(), places=self._look_ups
        )
        address = ip_address(host["host"].strip("[]").partition("%")[0])
        own = self._allow_loopback and address.is_loopback
        may = is_public(address) or is_inside(address, self._networks)
        if not own and not (self._is_https_proto and may):
            raise DestinationRefused("the address is not public")
        self._watch.address = address
        return host, tls | {"ssl_context": self._tls} if self._is_https_proto else tls

    def _found(
        self,
        request: requests.PreparedRequest,
        verify: bool | str,  # noqa: FBT001 - as the library has it
        cert: str | tuple[str, str] | None,
    ) -> tuple[Any, Any]:
        """The address of the request's host as the library found it, or refused it: see there.

        It refuses every private one. One in our networks is put where it would have put it; its
        `Host` header it has written by then.
        """
        try:
            return super().build_connection_pool_key_attributes(request, verify, cert)  # type: ignore[no-any-return]
        except InvalidIPAddress as refused:
            # What was found, so that nothing is looked up twice, without the name of an interface.
            address = ip_address(str(refused.args[0]).partition("%")[0])
            if not self._is_https_proto or not is_inside(address, self._networks):
                raise
        host, tls = super(IPFilterAdapter, self).build_connection_pool_key_attributes(
            request, verify, cert
        )
        name = host["host"]
        host["host"] = f"[{address}]" if address.version == 6 else str(address)
        return host, tls | {"assert_hostname": name, "server_hostname": name}

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the library has it
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        kind = _Https if self._is_https_proto else _Http
        pool.ConnectionCls = type("Watched", (kind,), {"watch": self._watch})
        return pool


def _in_time(
    look_up: Callable[[], _Found], seconds: float, *, places: threading.BoundedSemaphore
) -> _Found:
    """What `look_up` finds, within `seconds`: the system's resolver takes no limit."""
    began = time.monotonic()
    if not places.acquire(timeout=seconds):
        raise requests.ConnectTimeout("too many names are being looked up")
    found: queue.SimpleQueue[tuple[_Found | None, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            found.put((look_up(), None))
        except Exception as error:  # noqa: BLE001 - handed to the caller
            found.put((None, error))
        finally:
            places.release()

    threading.Thread(target=run, daemon=True, name="look-up").start()
    try:
        value, error = found.get(timeout=max(0.0, seconds - (time.monotonic() - began)))
    except queue.Empty:
        raise requests.ConnectTimeout("no name server answered within the limit") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value] # one of the two was put


def _read(response: requests.Response, limit: int) -> None:
    """Keeps the first `limit` bytes as they came, and lets go of the connection."""
    kept = b""
    with suppress(Exception):  # the head is the answer: a body that breaks off changes nothing
        while len(kept) < limit and (piece := response.raw.read1(limit - len(kept))):
            kept += piece
    response._content = kept  # noqa: SLF001 - where requests keeps it
    response._content_consumed = True  # type: ignore[attr-defined] # noqa: SLF001 - the same
    response.close()
