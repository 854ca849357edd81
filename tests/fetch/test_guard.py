from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper import url as urls
from scraper.errors import FetchError
from scraper.fetch.guard import Guard, literal, public
from scraper.reasons import Reason

PRIVATE_V4 = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200",
    "100.127.255.255", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255",
]  # fmt: skip
PUBLIC_V4 = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.1", "169.253.255.255", "172.15.255.255", "172.32.0.0",
    "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
]  # fmt: skip
PRIVATE_V6 = [
    "::", "::1", "::7f00:1", "::10.0.0.1", "::8.8.8.8", "64:ff9b:1::808:808", "64:ff9b::1:0:0",
    "100::1", "2001::1", "2001:0:a00:1::5", "2001:0:808:808:0:0:f7f7:f7f7", "2001:2::1", "2001:10::1",
    "2001:20::1", "2001:db8::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1",
    "febf::1", "fec0::1", "ff02::1", "ff0e::1", "fe80::1%eth0", "2606:4700::1111%eth0",
]  # fmt: skip
PUBLIC_V6 = ["2606:4700::1111", "2a00:1450:4001:81b::200e", "2001:4860:4860::8888", "2400::1", "2620:fe::fe"]
NO_ADDRESS = ["", "example.com", "2130706433", "0x7f000001", "127.1", "0177.0.0.1", "127.0.0.01", "1.2.3.4.5"]


@pytest.mark.parametrize("address", [*PRIVATE_V4, *PRIVATE_V6, *NO_ADDRESS])
def test_what_is_not_the_public_internet(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize("address", [*PUBLIC_V4, *PUBLIC_V6])
def test_what_is_the_public_internet(address: str) -> None:
    assert public(address)


def carriers(address: str) -> list[str]:
    """Every IPv6 form that reaches an IPv4 address."""
    v4 = int(IPv4Address(address))
    forms = [(0xFFFF << 32) + v4, (0x64FF9B << 96) + v4, (0x2002 << 112) + (v4 << 80) + 1]
    return [str(IPv6Address(form)) for form in forms]


@pytest.mark.parametrize("address", PRIVATE_V4)
def test_an_address_that_carries_a_private_one_is_private(address: str) -> None:
    assert [form for form in carriers(address) if public(form)] == []


@pytest.mark.parametrize("address", PUBLIC_V4)
def test_an_address_that_carries_a_public_one_is_public(address: str) -> None:
    assert [form for form in carriers(address) if not public(form)] == []


@given(st.ip_addresses())
def test_nothing_is_public_that_the_standard_library_calls_local(address: IPv4Address | IPv6Address) -> None:
    if public(str(address)):
        assert True not in (address.is_loopback, address.is_link_local, address.is_multicast)
        assert not address.is_private or str(address).startswith(("64:", "2002:"))  # carriers of IPv4


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("example.com", None),
        ("localhost", None),
        ("a.1b", None),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("1.2.3.4.5", "1.2.3.4.5"),  # no address and no name: refused as not public
    ],
)
def test_a_host_that_spells_an_address(host: str, address: str | None) -> None:
    assert literal(host) == address


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1./",
        "http://2130706433/",
        "http://0x7f.1:6379/",
        "http://0177.0.0.1/",
        "http://0/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:8000/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::10.0.0.1]/",
        "http://[2002:a00:1::]/",
        "http://%31%32%37.0.0.1/",
        "http://①②⑦.0.0.1/",
    ],
)
def test_a_url_of_a_private_address_is_refused_in_every_spelling(url: str) -> None:
    canonical = urls.canonical(url)
    with pytest.raises(FetchError) as caught:
        Guard().check_url(canonical)
    assert caught.value.reason is Reason.PRIVATE_ADDRESS
    Guard(allow_private=True).check_url(canonical)


def test_names_and_public_addresses_pass_before_the_dial() -> None:
    for url in (
        "http://example.com/",
        "http://localhost/",
        "http://8.8.8.8:81/",
        "http://[2606:4700::1111]/",
    ):
        Guard().check_url(url)


def test_a_seeds_place_is_trusted_with_its_port_only() -> None:
    guard = Guard()
    guard.trust("127.0.0.1:8000")
    guard.check_url("http://127.0.0.1:8000/x")
    for url in (
        "http://127.0.0.1:6379/",
        "http://127.0.0.1/",
        "http://127.0.0.2:8000/",
        "http://[::1]:8000/",
    ):
        with pytest.raises(FetchError):
            guard.check_url(url)


def test_default_ports_and_spellings_of_a_place_are_one() -> None:
    guard = Guard(allowed_hosts=["Intranet.:80", "[::1]:443", "a.test.", "b.test:81"])
    for place in ("intranet", "intranet:443", "[::1]", "[::1]:80", "a.test", "b.test:81"):
        assert guard.trusts(place)
    for place in ("intranet:81", "[::1]:8080", "b.test", "x.intranet"):
        assert not guard.trusts(place)
    assert guard.trusted == ["[::1]", "a.test", "b.test:81", "intranet"]
    assert Guard(allowed_hosts=guard.trusted).trusted == guard.trusted


def test_only_the_public_addresses_of_a_mixed_answer_are_left() -> None:
    mixed = ["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1111"]
    guard = Guard(allowed_hosts=["seed.test"])
    assert guard.filter("page.test", mixed) == ["8.8.8.8", "2606:4700::1111"]
    assert guard.filter("seed.test", mixed) == mixed
    with pytest.raises(FetchError):
        guard.check("page.test", mixed)
    guard.check("seed.test", mixed)


def test_the_refusal_names_the_host_and_no_address() -> None:
    with pytest.raises(FetchError) as caught:
        Guard().filter("rebind.test", ["10.1.2.3"])
    assert "rebind.test" in str(caught.value)
    assert "10.1" not in str(caught.value)


@given(st.text(max_size=40))
def test_no_text_raises_and_none_but_an_address_is_public(text: str) -> None:
    literal(text)
    if public(text):
        ip_address(text.strip("[]"))
