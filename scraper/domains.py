"""Which hosts belong together: public suffixes, registrable domains, addresses."""

from __future__ import annotations

from functools import cache, lru_cache

from publicsuffixlist import PublicSuffixList

from . import url as urls


@cache
def _list() -> PublicSuffixList:
    """The list that comes with the library: read on first use, 40 ms."""
    return PublicSuffixList()


def is_address(host: str) -> bool:
    """Whether the host of a canonical URL is an IP address (WHATWG: a numeric last label is IPv4)."""
    return host.startswith("[") or host.rpartition(".")[2].isdigit()


@lru_cache(maxsize=4096)
def is_suffix(domain: str) -> bool:
    """Whether anyone may register below this domain: `co.uk`, `github.io`, an unlisted top level."""
    return bool(_list().is_public(domain))


@lru_cache(maxsize=16384)
def site(key: str) -> str:
    """The registrable domain of a netloc, or its host where that is an address or a public suffix."""
    host = urls.hostname(key)
    if is_address(host):
        return host
    return _list().privatesuffix(host) or host


def same_site(url: str, other: str) -> bool:
    """Whether two canonical URLs have one scheme and one registrable domain (RFC 6265bis 5.2)."""
    return url.startswith("https:") == other.startswith("https:") and (
        site(urls.netloc(url)) == site(urls.netloc(other))
    )
