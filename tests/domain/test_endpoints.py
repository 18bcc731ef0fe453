from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waylight.domain.endpoints import can_be_named, is_inside, is_public, problem_with


def code(url, **kwargs):
    found = problem_with(url, **kwargs)
    return found and found[0]


@pytest.mark.parametrize(
    "url",
    [
        "https://partner.example/waylight",
        "https://partner.example:8443/a/b?token=a%20b&c=d",
        "https://partner.example",
        "https://xn--mnchen-3ya.example/",
        "https://8.8.8.8/hook",
        "https://[2606:4700::1111]/hook",
        "https://PARTNER.example/",
    ],
)
def test_public_address_over_https_is_taken(url):
    assert problem_with(url) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://partner.example/", "https_only"),
        ("ftp://partner.example/", "invalid_url"),
        ("https://user:secret@partner.example/", "invalid_url"),
        ("https://partner.example@10.0.0.1/", "invalid_url"),
        ("https://10.0.0.1\\@partner.example/", "invalid_url"),
        ("https://partner.example/#here", "invalid_url"),
        ("https://partner.example/a b", "invalid_url"),
        ("https://partner.example/\r\nX: y", "invalid_url"),
        ("https://partner.example\n", "invalid_url"),
        ("https://partner.example./", "invalid_url"),
        ("https://partner..example/", "invalid_url"),
        ("https://partner.example:0/", "invalid_url"),
        ("https://partner.example:70000/", "invalid_url"),
        ("https://münchen.example/", "invalid_url"),
        ("https://\uff11\uff12\uff17.0.0.1/", "invalid_url"),
        ("https:///path", "invalid_url"),
        ("https://2130706433/", "invalid_url"),
        ("https://0x7f000001/", "invalid_url"),
        ("https://0177.0.0.1/", "invalid_url"),
        ("https://127.1/", "invalid_url"),
        ("https://[::ffff:127.0.0.1/", "invalid_url"),
        ("https://[fe80::1%25eth0]/", "invalid_url"),
        ("https://localhost/", "not_public"),
        ("https://printer/", "not_public"),
        ("https://metadata.google.internal/", "not_public"),
        ("https://127.0.0.1/", "not_public"),
        ("https://10.1.2.3/", "not_public"),
        ("https://172.16.0.1/", "not_public"),
        ("https://192.168.1.1/", "not_public"),
        ("https://169.254.169.254/latest/meta-data/", "not_public"),
        ("https://100.100.100.200/", "not_public"),
        ("https://0.0.0.0/", "not_public"),
        ("https://255.255.255.255/", "not_public"),
        ("https://[::1]/", "not_public"),
        ("https://[::]/", "not_public"),
        ("https://[::ffff:8.8.8.8]/", "not_public"),
        ("https://[fd00:ec2::254]/", "not_public"),
        ("https://partner.example/" + "a" * 2_048, "too_long"),
    ],
)
def test_address_that_leads_inside_or_is_not_plain_is_refused_with_its_fix(url, why):
    assert code(url) == why


def test_named_ports_of_loopback_need_no_tls_and_others_stay_shut():
    assert problem_with("http://127.0.0.1:4010/hook", loopback_ports=(4010,)) is None
    assert problem_with("http://localhost:4010/hook", loopback_ports=(4010,)) is None
    assert problem_with("http://[::1]:4010/hook", loopback_ports=(4010,)) is None
    assert code("http://127.0.0.1:4011/hook", loopback_ports=(4010,)) == "https_only"
    assert code("http://10.0.0.1:4010/hook", loopback_ports=(4010,)) == "https_only"
    assert code("https://10.0.0.1:4010/hook", loopback_ports=(4010,)) == "not_public"
    assert code("http://partner.example:4010/", loopback_ports=(4010,)) == "https_only"


@pytest.mark.parametrize(
    "address",
    [
        "::127.0.0.1",  # IPv4-compatible
        "::ffff:127.0.0.1",  # mapped
        "::ffff:0:127.0.0.1",  # translated (RFC 2765)
        "64:ff9b::7f00:1",  # NAT64
        "64:ff9b:1::7f00:1",  # NAT64 of a network's own
        "2002:7f00:1::1",  # 6to4
        "2001:0:7f00:1::1",  # Teredo
        "2606:4700::5efe:10.0.0.1",  # ISATAP
        "2606:4700::200:5efe:10.0.0.1",
        "fec0::1",  # site-local
        "fc00::1",
        "fe80::1",
        "ff02::1",
        "2001:db8::1",
        "100::1",
        "5f00::1",
        "198.18.0.1",
        "192.88.99.1",
        "224.0.0.1",
        "240.0.0.1",
        "192.0.0.8",
        "203.0.113.1",
    ],
)
def test_address_that_may_lead_inside_is_not_public(address):
    assert not is_public(ip_address(address))


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_is_public_inside_a_mapped_or_translated_one(address):
    for prefix in ("::", "::ffff:", "::ffff:0:", "64:ff9b::"):
        assert not is_public(ip_address(f"{prefix}{address}"))


@given(st.ip_addresses())
def test_what_python_calls_private_is_never_public(address):
    assert not (is_public(address) and (address.is_private or address.is_reserved))


HOUSE = (ip_network("10.20.0.0/16"), ip_network("fd12:3456:789a::/48"))


@pytest.mark.parametrize(
    "url",
    [
        "https://10.20.0.5/realms/house",
        "https://[fd12:3456:789a::5]:8443/realms/house",
        "https://id.corp.internal/adfs",
        "https://keycloak:8443/realms/house",
        "https://8.8.8.8/hook",
    ],
)
def test_host_of_a_named_network_is_taken_with_tls(url):
    assert problem_with(url, networks=HOUSE) is None
    assert code(url.replace("https", "http"), networks=HOUSE) == "https_only"


@pytest.mark.parametrize(
    "url",
    [
        "https://10.21.0.1/",
        "https://10.19.255.255/",
        "https://[fd12:3456:789b::1]/",
        "https://[::ffff:10.20.0.5]/",
        "https://[::10.20.0.5]/",
        "https://169.254.169.254/latest/meta-data",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://id.localhost/",
    ],
)
def test_host_beside_the_named_networks_is_refused(url):
    assert code(url, networks=HOUSE) == "not_public"


@pytest.mark.parametrize(
    "network",
    [
        "0.0.0.0/0",
        "::/0",
        "127.0.0.1/32",
        "126.0.0.0/7",
        "::1/128",
        "169.254.169.254/32",
        "168.0.0.0/6",
        "fe80::/64",
        "224.0.0.0/4",
        "255.255.255.255/32",
        "ff02::/16",
        "0.0.0.0/32",
        "::/128",
        "::ffff:10.20.0.0/112",
        "64:ff9b::a14:0/112",
        "2002:a14::/32",
    ],
)
def test_network_that_leads_to_this_machine_or_its_keys_cannot_be_named(network):
    assert not can_be_named(ip_network(network))


@pytest.mark.parametrize("network", ["10.20.0.0/16", "192.168.7.9/32", "fd00::/8", "100.64.0.0/10"])
def test_network_of_a_house_can_be_named(network):
    assert can_be_named(ip_network(network))


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "127.0.0.1", "::1", "fd00:ec2::254", "100.100.100.200"]
)
def test_where_clouds_keep_keys_is_inside_no_network(address):
    everywhere = [ip_network(one) for one in ("0.0.0.0/0", "::/0")]
    assert not is_inside(ip_address(address), everywhere)
