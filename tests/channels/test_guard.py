import json
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3.util.connection

from tests.proxy import soon
from tests.receivers import answer, certificate, drip, receiving, silent
from waylight.channels import guard as guarding
from waylight.channels.guard import DestinationRefused, Guard, reason
from waylight.channels.openid import OpenIdProviders
from waylight.channels.web_push import WebPush
from waylight.channels.webhook import Webhooks
from waylight.domain.errors import Unavailable
from waylight.domain.identity_providers import Asked, RelyingParty

PUBLIC = "93.184.215.14"
real_look_up = socket.getaddrinfo


class Names:
    """A name server: each name's answers in turn, the last one for ever."""

    def __init__(self, monkeypatch, **answers):
        self.answers = {name.replace("_", "."): list(found) for name, found in answers.items()}
        self.asked = []
        monkeypatch.setattr(socket, "getaddrinfo", self.look_up)

    def look_up(self, host, port, *args, **kwargs):
        if host not in self.answers:
            return real_look_up(host, port, *args, **kwargs)
        self.asked.append(host)
        left = self.answers[host]
        found = left.pop(0) if len(left) > 1 else left[0]
        family = socket.AF_INET6 if ":" in found else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (found, port or 0))]


@pytest.fixture
def connected(monkeypatch):
    """Every address that anybody tried to connect to; nobody gets there."""
    tried = []

    def connect(_line, address):
        tried.append(address[:2])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tried


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def post(guard, url, **kwargs):
    return guard.session().post(url, data=b"{}", **kwargs)


def test_name_that_answers_a_private_address_the_second_time_is_not_asked_twice(
    monkeypatch, connected
):
    names = Names(monkeypatch, partner_example=[PUBLIC, "127.0.0.1"])
    with pytest.raises(requests.ConnectionError) as why:
        post(Guard(), "https://partner.example/hook")
    assert reason(why.value) == "not_connected"
    assert names.asked == ["partner.example"]
    assert connected == [(PUBLIC, 443)]


def test_connection_to_another_address_than_was_checked_is_given_up(monkeypatch):
    """As if what lies below asked again: the last lock on the door."""
    with receiving() as receiver:
        Names(monkeypatch, **{"partner.example": [PUBLIC], PUBLIC: ["127.0.0.1"]})
        with pytest.raises(DestinationRefused):
            post(Guard(), f"https://partner.example:{receiver.port}/hook")
    assert receiver.received == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "0.0.0.0",  # noqa: S104 - not to listen on
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "2001:0:7f00:1::1",
        "fec0::1",
        "fd00:ec2::254",
        "fe80::1%lo",
    ],
)
def test_name_of_an_address_inside_is_refused_before_anything_is_connected(
    monkeypatch, connected, address
):
    Names(monkeypatch, partner_example=[address])
    with pytest.raises(requests.RequestException) as why:
        post(Guard(), "https://partner.example/hook")
    assert reason(why.value) == "address_refused"
    assert connected == []


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "[::ffff:7f00:1]",
        "localhost",
        "\uff11\uff12\uff17.0.0.1",
    ],
)
def test_other_ways_to_write_loopback_are_refused(connected, host):
    with pytest.raises(requests.RequestException) as why:
        post(Guard(), f"https://{host}/hook")
    assert reason(why.value) == "address_refused"
    assert connected == []


@pytest.mark.parametrize(
    "url",
    [
        "http://partner.example/",
        "http://partner.example:4010/",  # the port is named, but the address is not loopback
        "https://user:secret@partner.example/",
        "https://10.0.0.1:4010/",
        "https://partner.example@10.0.0.1/",
        "ftp://partner.example/",
        "https:///hook",
    ],
)
def test_url_without_tls_or_with_a_password_or_inside_is_refused(monkeypatch, connected, url):
    Names(monkeypatch, partner_example=[PUBLIC])
    with pytest.raises(requests.RequestException) as why:
        post(Guard(loopback_ports=(4010,)), url)
    assert reason(why.value) == "address_refused"
    assert connected == []


def test_host_that_two_parsers_read_in_two_ways_is_the_one_that_is_checked(monkeypatch, connected):
    names = Names(monkeypatch, partner_example=[PUBLIC])
    with pytest.raises(requests.ConnectionError):
        post(Guard(), "https://partner.example\\@10.0.0.1/")
    assert names.asked == ["partner.example"]
    assert connected == [(PUBLIC, 443)]


def test_loopback_is_called_only_on_the_ports_that_are_named():
    with receiving(answer(200)) as named, receiving() as other:
        guard = Guard(loopback_ports=(named.port,))
        assert post(guard, f"http://127.0.0.1:{named.port}/hook").status_code == 200
        with pytest.raises(requests.RequestException):
            post(guard, f"http://127.0.0.1:{other.port}/hook")
    assert other.connections == 0


def test_loopback_of_ipv6_is_called_on_a_named_port():
    with receiving(answer(204), host="::1") as receiver:
        guard = Guard(loopback_ports=(receiver.port,))
        assert post(guard, f"http://[::1]:{receiver.port}/hook").status_code == 204
    assert receiver.received[0].headers["host"] == f"[::1]:{receiver.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_an_answer_and_never_followed(status):
    with receiving() as inside:
        there = f"http://127.0.0.1:{inside.port}/latest/meta-data"
        with receiving(answer(status, Location=there)) as receiver:
            # Even where both ports are allowed.
            guard = Guard(loopback_ports=(receiver.port, inside.port))
            url = f"http://127.0.0.1:{receiver.port}/hook"
            assert post(guard, url, allow_redirects=True).status_code == status
    assert inside.connections == 0


def test_proxy_and_password_of_the_environment_are_not_used(monkeypatch, tmp_path):
    with receiving() as proxy, receiving(answer(200)) as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        guard = Guard(loopback_ports=(receiver.port, proxy.port))
        url = f"http://127.0.0.1:{receiver.port}/hook"
        proxies = {"http": f"http://127.0.0.1:{proxy.port}"}
        assert post(guard, url, proxies=proxies).status_code == 200
    assert proxy.connections == 0
    assert "authorization" not in receiver.received[0].headers


def test_cookie_is_not_kept():
    with receiving(answer(200, Set_Cookie="a=b"), answer(200)) as receiver:
        session = Guard(loopback_ports=(receiver.port,)).session()
        for _ in range(2):
            session.post(f"http://127.0.0.1:{receiver.port}/hook")
    assert "cookie" not in receiver.received[1].headers
    assert receiver.connections == 2


def test_answer_that_never_ends_is_cut_at_its_limit():
    def flood(line, closing):
        line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not closing.is_set():
            line.sendall(b"x" * 65_536)

    with receiving(flood) as receiver:
        session = Guard(loopback_ports=(receiver.port,)).session(answer_bytes=1_000)
        assert len(session.post(f"http://127.0.0.1:{receiver.port}/").content) == 1_000


def test_packed_answer_is_not_unpacked():
    with receiving(answer(200, b"\x1f\x8b bomb", Content_Encoding="gzip")) as receiver:
        session = Guard(loopback_ports=(receiver.port,)).session()
        assert session.post(f"http://127.0.0.1:{receiver.port}/").content == b"\x1f\x8b bomb"
    assert receiver.received[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "said",
    [
        silent,
        drip(b"HTTP/1.1 200 OK\r\nX-Slow: "),
        drip(b"", b" "),
        drip(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_head_that_does_not_come_in_time_ends_the_call(said):
    with receiving(said) as receiver:
        guard = Guard(loopback_ports=(receiver.port,), total_s=0.4)
        with pytest.raises(requests.RequestException) as why:
            post(guard, f"http://127.0.0.1:{receiver.port}/")
    assert reason(why.value) == "timed_out"


def test_answer_stands_when_only_its_body_drips():
    answered = None
    for total_s in (0.4, 4.0, 20.0):  # on a busy machine the head comes late
        with receiving(drip(b"HTTP/1.1 202 OK\r\nContent-Length: 9999\r\n\r\n")) as receiver:
            guard = Guard(loopback_ports=(receiver.port,), total_s=total_s)
            with suppress(requests.Timeout):
                answered = post(guard, f"http://127.0.0.1:{receiver.port}/")
                break
    assert answered is not None, "the head came in time, and was no answer"
    assert answered.status_code == 202
    assert 0 < len(answered.content) < 9_999


def test_handshake_that_drips_ends_in_time():
    with receiving(port=0) as receiver:
        guard = Guard(loopback_ports=(receiver.port,), total_s=0.4)
        # No TLS there: it waits for the end of what looks like a request.
        with pytest.raises(requests.RequestException):
            post(guard, f"https://127.0.0.1:{receiver.port}/")
    assert receiver.received == []


def test_name_server_that_does_not_answer_ends_the_call_and_frees_its_place(monkeypatch):
    answered = threading.Event()

    def look_up(*_args, **_kwargs):
        answered.wait(30)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(guarding, "LOOKUPS", 1)
    guard = Guard(total_s=0.1)
    before = set(threading.enumerate())
    for _ in range(5):  # the second finds no place, starts no thread, and ends all the same
        with pytest.raises(requests.ConnectTimeout):
            post(guard, "https://partner.example/")
    # Those of other tests end when they like.
    begun = set(threading.enumerate()) - before
    assert [one.name for one in begun if one.name == "look-up"] == ["look-up"]
    answered.set()
    assert guard._look_ups.acquire(timeout=60)


def test_names_that_hang_for_one_channel_take_no_place_of_another(monkeypatch, connected):
    answered = threading.Event()

    def look_up(host, port, *_args, **_kwargs):
        if host.startswith("hangs"):
            answered.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC, port or 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    webhooks, pushes = Guard(total_s=0.2), Guard(total_s=60.0)
    with ThreadPoolExecutor(guarding.LOOKUPS) as pool:
        urls = [f"https://hangs{n}.example/" for n in range(guarding.LOOKUPS)]
        hung = [pool.submit(post, webhooks, url) for url in urls]
        assert all(isinstance(one.exception(), requests.ConnectTimeout) for one in hung)
    with pytest.raises(requests.ConnectionError) as why:
        post(pushes, "https://push.example/")
    assert reason(why.value) == "not_connected"
    answered.set()


def test_name_that_was_long_looked_up_leaves_less_time_to_connect(monkeypatch):
    given = []
    names = Names(monkeypatch, partner_example=[PUBLIC])

    def look_up(*args, **kwargs):
        moment.now += 4.0
        return names.look_up(*args, **kwargs)

    def connect(_address, timeout, **_kwargs):
        given.append(timeout)
        raise TimeoutError

    class Moment:
        now = 0.0

        def monotonic(self):
            return self.now

    moment = Moment()
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(guarding, "time", moment)
    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
    with pytest.raises(requests.RequestException) as why:
        post(Guard(total_s=5.0), "https://partner.example/")
    assert reason(why.value) == "timed_out"
    assert given == [pytest.approx(1.0)]


def test_name_that_nobody_knows_is_not_connected(monkeypatch):
    def look_up(*_args, **_kwargs):
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(requests.ConnectionError) as why:
        post(Guard(), "https://partner.example/")
    assert reason(why.value) == "not_connected"


def test_tls_is_checked_against_the_name_and_the_authority(monkeypatch, tmp_path):
    tls, authority = certificate(tmp_path, "partner.example")
    with receiving(answer(200), tls=tls) as receiver:
        Names(monkeypatch, partner_example=["127.0.0.1"], other_example=["127.0.0.1"])
        ports = (receiver.port,)
        trusting = Guard(loopback_ports=ports, authorities=authority)
        url = f"https://partner.example:{receiver.port}/hook"
        assert post(trusting, url).status_code == 200
        for guard, refused in (
            (trusting, url.replace("partner", "other")),
            (trusting, url.replace("partner.example", "127.0.0.1")),
            (Guard(loopback_ports=ports), url),
        ):
            with pytest.raises(requests.exceptions.SSLError) as why:
                post(guard, refused, verify=False)
            assert reason(why.value) == "tls_failed"
    assert receiver.received[0].headers["host"] == f"partner.example:{receiver.port}"
    assert len(receiver.received) == 1


def test_certificates_of_the_environment_are_not_trusted(monkeypatch, tmp_path):
    tls, authority = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority)
    with receiving(tls=tls) as receiver, pytest.raises(requests.exceptions.SSLError):
        post(Guard(loopback_ports=(receiver.port,)), f"https://127.0.0.1:{receiver.port}/")


def test_one_session_serves_many_threads_and_leaves_nothing_open():
    with receiving(answer(200), forever=True) as receiver, ThreadPoolExecutor(4) as pool:
        session = Guard(loopback_ports=(receiver.port,)).session()
        urls = [f"http://127.0.0.1:{receiver.port}/"] * 40
        before = open_files()
        assert [one.status_code for one in pool.map(session.post, urls)] == [200] * 40
        soon(lambda: open_files() <= before)


def test_nothing_that_is_logged_names_the_address(monkeypatch, connected, caplog):
    caplog.set_level("DEBUG")
    Names(monkeypatch, partner_example=["10.0.0.1"], other_example=[PUBLIC])
    for host in ("partner.example", "other.example"):
        with pytest.raises(requests.RequestException):
            post(Guard(), f"https://{host}/secret-path")
    assert not re.search("example|secret-path|10.0.0.1", caplog.text)


# --- networks that whoever runs the service named


INSIDE = "10.20.0.5"
HOUSE = (ip_network("10.20.0.0/16"), ip_network("fd12:3456:789a::/48"))


@pytest.fixture
def house(monkeypatch):
    """Addresses inside, whose lines end at a receiver of this machine and say where they lead."""
    tried: list[tuple[str, int]] = []
    connect = urllib3.util.connection.create_connection

    class Line(socket.socket):
        def getpeername(self):
            return tried[-1]

    def inside(address, *args, **kwargs):
        tried.append(address)
        line = connect(("127.0.0.1", address[1]), *args, **kwargs)
        return Line(fileno=line.detach())

    monkeypatch.setattr("urllib3.util.connection.create_connection", inside)
    return tried


@pytest.mark.parametrize("address", [INSIDE, "fd12:3456:789a::5", "::ffff:10.20.0.5"])
def test_address_in_a_named_network_is_called_with_tls_to_its_name(
    monkeypatch, tmp_path, house, address
):
    tls, authority = certificate(tmp_path, "id.corp.internal")
    with receiving(answer(200), tls=tls) as receiver:
        names = Names(monkeypatch, id_corp_internal=[address, "127.0.0.1"])
        guard = Guard(networks=HOUSE, more_authorities=authority)
        assert post(guard, f"https://id.corp.internal:{receiver.port}/").status_code == 200
        port = receiver.port
    # To the very address that was looked up, once; one that is mapped is the IPv4 that it means.
    assert names.asked == ["id.corp.internal"]
    assert house == [(address.removeprefix("::ffff:"), port)]
    assert receiver.received[0].headers["host"] == f"id.corp.internal:{port}"


def test_certificate_of_another_name_or_authority_opens_nothing_inside(
    monkeypatch, tmp_path, house
):
    tls, authority = certificate(tmp_path, "id.corp.internal")
    with receiving(answer(200), tls=tls) as receiver:
        Names(monkeypatch, id_corp_internal=[INSIDE], other_corp_internal=[INSIDE])
        for name, trusted in (("other", authority), ("id", None)):
            with pytest.raises(requests.exceptions.SSLError) as why:
                post(
                    Guard(networks=HOUSE, more_authorities=trusted),
                    f"https://{name}.corp.internal:{receiver.port}/",
                    verify=False,
                )
            assert reason(why.value) == "tls_failed"
    assert len(house) == 2
    assert receiver.received == []


def test_authority_of_the_house_stands_beside_the_public_ones(tmp_path):
    _, authority = certificate(tmp_path, "id.corp.internal")
    public = Guard()._tls.cert_store_stats()["x509"]
    assert Guard(more_authorities=authority)._tls.cert_store_stats()["x509"] == public + 1 > 100


@pytest.mark.parametrize(
    "address",
    [
        "10.19.255.255",
        "10.21.0.0",
        "192.168.0.1",
        "127.0.0.1",
        "::1",
        "0.0.0.0",  # noqa: S104 - not to listen on
        "169.254.169.254",
        "fe80::1%lo",
        "fd12:3456:789b::1",
        "fd00:ec2::254",
        "::ffff:10.21.0.1",
        "::ffff:169.254.169.254",
        "::10.20.0.5",
        "::ffff:0:10.20.0.5",
        "64:ff9b::a14:5",
        "2002:a14:5::1",
        "fec0::1",
    ],
)
def test_address_beside_the_named_networks_is_refused(monkeypatch, connected, address):
    Names(monkeypatch, id_corp_internal=[address])
    with pytest.raises(requests.RequestException) as why:
        post(Guard(networks=HOUSE), "https://id.corp.internal/")
    assert reason(why.value) == "address_refused"
    assert connected == []


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fd00:ec2::254", "fd00:ec2::254%lo", "100.100.100.200"]
)
def test_what_tells_a_machine_its_keys_is_refused_in_whatever_network(
    monkeypatch, connected, address
):
    Names(monkeypatch, id_corp_internal=[address])
    wide = [ip_network(one) for one in ("0.0.0.0/0", "fd00::/8", "100.64.0.0/10")]
    with pytest.raises(requests.RequestException) as why:
        post(Guard(networks=wide), "https://id.corp.internal/")
    assert reason(why.value) == "address_refused"
    assert connected == []


@pytest.mark.parametrize(
    "url", ["http://10.20.0.5/", "http://id.corp.internal:4010/", "https://a:b@10.20.0.5/"]
)
def test_inside_too_there_is_tls_and_no_password_in_the_url(monkeypatch, connected, url):
    Names(monkeypatch, id_corp_internal=[INSIDE])
    with pytest.raises(requests.RequestException) as why:
        post(Guard(networks=HOUSE, loopback_ports=(4010,)), url)
    assert reason(why.value) == "address_refused"
    assert connected == []


def test_connection_inside_to_another_address_than_was_checked_is_given_up(monkeypatch):
    with receiving() as receiver:
        Names(monkeypatch, **{"id.corp.internal": [INSIDE], INSIDE: ["127.0.0.1"]})
        with pytest.raises(DestinationRefused):
            post(Guard(networks=HOUSE), f"https://id.corp.internal:{receiver.port}/")
    assert receiver.received == []


def test_networks_and_authorities_of_providers_are_theirs_alone(
    monkeypatch, tmp_path, settings, connected
):
    _, authority = certificate(tmp_path, "id.corp.internal")
    used = replace(
        settings,
        openid_networks=HOUSE,
        openid_authorities=authority,
        vapid_keys=(bytes(range(1, 33)),),
        vapid_subject="mailto:desk@waylight.example",
    )
    public = Guard()._tls.cert_store_stats()
    providers: Any = OpenIdProviders.from_settings(used)._session
    assert providers._guard.networks == HOUSE
    assert providers._guard._tls.cert_store_stats() != public
    Names(monkeypatch, id_corp_internal=[INSIDE])
    for channel in (Webhooks, WebPush):
        session: Any = channel.from_settings(used)._session
        assert session._guard._tls.cert_store_stats() == public
        with pytest.raises(requests.RequestException) as why:
            session.post("https://id.corp.internal/")
        assert reason(why.value) == "address_refused"
    assert connected == []


def test_provider_inside_is_found_by_its_own_documents(monkeypatch, tmp_path, settings, house):
    tls, authority = certificate(tmp_path, "id.corp.internal")

    def say(line, _closing):
        at = f"https://id.corp.internal:{receiver.port}"
        found = {"issuer": at, "authorization_endpoint": f"{at}/authorize"}
        line.sendall(answer(200, json.dumps(found).encode()))

    with receiving(say, tls=tls) as receiver:
        Names(monkeypatch, id_corp_internal=[INSIDE])
        issuer = f"https://id.corp.internal:{receiver.port}"
        asked = Asked("https://desk.example/", "state", "nonce", "verifier" * 8, fresh=False)
        used = replace(settings, openid_networks=HOUSE, openid_authorities=authority)
        party = RelyingParty(issuer, "waylight", None)
        url = OpenIdProviders.from_settings(used).authorization_url(party, asked, scopes=[])
        assert url.startswith(f"{issuer}/authorize?")
        for shut in (
            replace(used, openid_networks=()),
            replace(used, openid_networks=HOUSE[1:]),
            replace(used, openid_authorities=None),
        ):
            with pytest.raises(Unavailable):
                OpenIdProviders.from_settings(shut).authorization_url(party, asked, scopes=[])
    assert len(receiver.received) == 1
