"""Addresses that others give us to call: which may be taken down, and which may be connected to.

Whoever names a URL decides where this machine connects, from inside its network. `problem_with`
reads what was written; only `is_public` of the address connected to proves anything, for a name
may lead somewhere else by then.
"""

import re
from collections.abc import Collection
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Network = IPv4Network | IPv6Network

LENGTH = 2_048
"""Characters of a URL, at most."""

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>[/?][A-Za-z0-9._~:/?@!$&'()*+,;=%-]*)?",
    re.ASCII,
)
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", re.ASCII)
_INSIDE = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "test", "invalid")
_DEFAULT_PORTS = {"http": 80, "https": 443}

_NOT_PUBLIC = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers; clouds use it for their own services
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # Teredo and ORCHID: an IPv4 address or a key inside
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",
    )
)
_NOBODYS = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local: also where clouds tell a machine its own keys
        "224.0.0.0/3",
        "::/96",  # unspecified, loopback, and an IPv4 address inside, as in the six below
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
        "fe80::/10",
        "ff00::/8",
    )
)
"""Where no provider can be: a network that has any of these is none that may be named."""
_OF_CLOUDS = tuple(
    ip_address(one)
    for one in (
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # Amazon
        "fd20:ce::254",  # Google
    )
)
"""Where clouds tell a machine its own keys, beside 169.254.169.254: amid networks of others."""
_UNICAST = ip_network("2000::/3")
"""All of IPv6 that is given out to anybody (RFC 4291): mapped, compatible, NAT64, site-local, local
and multicast addresses lie outside."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether this is an address on the open internet, as far as the number tells.

    An IPv6 address that carries an IPv4 address is not, whatever it carries: a translator in our
    network would take us there. One behind a NAT64 prefix of the network's own cannot be told.
    """
    if address.is_multicast or not address.is_global:
        return False
    if any(address in block for block in _NOT_PUBLIC if block.version == address.version):
        return False
    if isinstance(address, IPv4Address):
        return True
    return address in _UNICAST and (int(address) >> 32) & 0xFDFF_FFFF != 0x5EFE  # ISATAP


def can_be_named(network: Network) -> bool:
    """Whether providers may be in this network, if whoever runs the service says so."""
    return not any(
        block.version == network.version and block.overlaps(network) for block in _NOBODYS
    )


def is_inside(address: IPv4Address | IPv6Address, networks: Collection[Network]) -> bool:
    """Whether this lies in one of the networks, and is nothing that no network can open."""
    if address in _OF_CLOUDS or any(address in block for block in _NOBODYS):
        return False
    return any(address in network for network in networks)


def problem_with(
    url: str, *, loopback_ports: Collection[int] = (), networks: Collection[Network] = ()
) -> tuple[str, str] | None:
    """Why this URL is not taken down, as a code and words with the fix; None for one that is.

    It is https with a public host; on `loopback_ports` of this machine http will do, and with
    `networks` of our own a host inside them, under any name but that of this machine. Nothing is
    looked up: what a name means is asked, and checked, at each call.
    """
    if len(url) > LENGTH:
        return "too_long", f"Must be at most {LENGTH} characters."
    parts = _URL.fullmatch(url)
    if parts is None:
        return "invalid_url", (
            "Must be a URL such as https://partner.example/waylight: no name or password in it, no "
            "#, and everything outside ASCII encoded (a name as xn--..., the rest with %)."
        )
    port = int(parts["port"]) if parts["port"] else _DEFAULT_PORTS[parts["scheme"]]
    if not 1 <= port <= 65_535:
        return "invalid_url", "The port must be a number from 1 to 65535."
    host = parts["host"].lower()
    if port in loopback_ports and _is_loopback(host):
        return None
    if parts["scheme"] != "https":
        return "https_only", "Must begin with https://."
    return _problem_with_host(host, networks)


def _is_loopback(host: str) -> bool:
    address = _literal(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def _problem_with_host(host: str, networks: Collection[Network]) -> tuple[str, str] | None:
    address = _literal(host)
    if address is not None:
        return None if is_public(address) or is_inside(address, networks) else _NOT_OUTSIDE
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return "invalid_url", "The host must be a name such as partner.example, with no dot at end."
    # What ends in a number is an IPv4 address to a resolver: 2130706433, 0x7f.1 and 0177.0.0.1
    # are all 127.0.0.1.
    if re.fullmatch(r"[0-9]+|0[xX][0-9A-Fa-f]*", labels[-1]):
        return "invalid_url", "An IPv4 address must be four numbers: 192.0.2.1."
    if networks and labels[-1] != "localhost":
        return None
    if len(labels) == 1 or any(host == name or host.endswith(f".{name}") for name in _INSIDE):
        return _NOT_OUTSIDE
    return None


_NOT_OUTSIDE = ("not_public", "Must be a host on the open internet.")
