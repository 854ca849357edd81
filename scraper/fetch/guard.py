"""Which addresses may be dialled: pure rules, asked with the very address of each new connection.

A private address answers only where the user pointed at it: a seed's host and port. Whatever a page, a
redirect, robots.txt or a sitemap leads to must be public, so a page can turn the crawler neither against
the machine it runs on nor against that machine's neighbours; a trusted 127.0.0.1:8000 opens no other port.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from .. import url as urls
from ..errors import FetchError
from ..reasons import Reason

# IANA IPv4 Special-Purpose Address Registry (RFC 6890), multicast, and one cloud's own address.
_PRIVATE_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network; 0.0.0.0 reaches loopback
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and some clouds' metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # public by number, but answered by the host of an Azure machine
        "169.254.0.0/16",  # link-local: most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# IPv6 hands out public addresses from one block only; the exceptions inside it (RFC 6890).
_PUBLIC_V6 = IPv6Network("2000::/3")
_PRIVATE_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo 2001::/32, benchmarking, ORCHID
        "2001:db8::/32",
        "3fff::/20",  # documentation (RFC 9637)
    )
)
# Blocks whose addresses carry an IPv4 address, and how many bits follow it: that address is what is reached.
_CARRIERS = (
    (IPv6Network("::ffff:0:0/96"), 0),  # mapped
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052)
    (IPv6Network("2002::/16"), 80),  # 6to4 (RFC 3056)
)


@lru_cache(maxsize=4096)
def public(address: str) -> bool:
    """Whether an IP address, as text, is one of the public Internet.

    False for anything that is no plain address: legacy spellings, zone ids, names.
    """
    if "%" in address:
        return False
    try:
        parsed = ip_address(address.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return _public_v4(parsed) if isinstance(parsed, IPv4Address) else _public_v6(parsed)


def _public_v4(address: IPv4Address) -> bool:
    return not any(address in block for block in _PRIVATE_V4)


def _public_v6(address: IPv6Address) -> bool:
    for block, shift in _CARRIERS:
        if address in block:
            return _public_v4(IPv4Address((int(address) >> shift) & 0xFFFFFFFF))
    return address in _PUBLIC_V6 and not any(address in block for block in _PRIVATE_V6)


@lru_cache(maxsize=16384)
def literal(host: str) -> str | None:
    """The address that a URL's host spells out, None for a name; brackets and legacy spellings understood.

    A literal never reaches a resolver, so it must be judged before the dial.
    """
    if ":" in host:
        return host.removeprefix("[").removesuffix("]")
    if not host.rstrip(".").rpartition(".")[2][:1].isdigit():
        return None
    try:
        found = urls.hostname(urls.netloc(urls.canonical(f"http://{host}/")))
        return str(IPv4Address(found))
    except ValueError:
        return None  # a name whose last label merely begins with a digit
    except urls.BadURL:
        return host  # a number that is no address: public() refuses it


class Guard:
    """Decides whether a host may be reached at an address.

    Places are netlocs: host, and port where it is not 80 or 443. `allow_private` allows every address,
    `allowed_hosts` are places trusted from the start. It keeps one string per trusted place.
    """

    def __init__(self, allow_private: bool = False, allowed_hosts: Iterable[str] = ()) -> None:
        self.allow_private = allow_private
        self._trusted: set[str] = set()
        for place in allowed_hosts:
            self.trust(place)

    def trust(self, netloc: str) -> None:
        """Let this place have a private address: the user named it, as a seed or a proxy."""
        self._trusted.add(_place(netloc))

    def trusts(self, netloc: str) -> bool:
        """Whether this place may have a private address."""
        return self.allow_private or _place(netloc) in self._trusted

    @property
    def trusted(self) -> list[str]:
        """The trusted places, to be kept for a resumed crawl."""
        return sorted(self._trusted)

    def filter(self, netloc: str, addresses: Sequence[str]) -> list[str]:
        """Those addresses of a place that may be dialled, in their order.

        Raises FetchError(PRIVATE_ADDRESS), which names the host but no address, when none is left.
        """
        if self.trusts(netloc):
            return list(addresses)
        left = [address for address in addresses if public(address)]
        if not left:
            raise FetchError(
                Reason.PRIVATE_ADDRESS, f"{urls.printable(netloc)} is not on the public Internet and no seed"
            )
        return left

    def check(self, netloc: str, addresses: Sequence[str]) -> None:
        """Refuse a place one of whose addresses may not be dialled. Raises FetchError(PRIVATE_ADDRESS)."""
        for address in addresses:
            self.filter(netloc, [address])

    def check_url(self, url: str) -> None:
        """Judge a canonical URL whose host is an address; a name is left to the resolver.

        To be called before every dial. Raises FetchError(PRIVATE_ADDRESS).
        """
        netloc = urls.netloc(url)
        address = literal(urls.hostname(netloc))
        if address is not None:
            self.check(netloc, [address])


def _place(netloc: str) -> str:
    """A netloc without a port that http or https has anyway, and without the trailing dot of a name."""
    host, _, port = netloc.lower().rpartition(":")
    if port in ("80", "443"):
        return host.rstrip(".")
    return f"{host.rstrip('.')}:{port}" if host else port.rstrip(".")
