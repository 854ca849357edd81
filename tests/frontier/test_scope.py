"""Which URLs belong to a crawl, and which look like a trap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper import url as urls
from scraper.domains import site
from scraper.errors import UsageError
from scraper.frontier import scope as scopes
from scraper.frontier.scope import Scope, suspicious


def accepts(scope: Scope, seed: str, url: str) -> bool:
    return scope.accepts(url, urls.netloc(url), scope.label(seed))


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("example.com", "example.com"),
        ("a.b.example.com", "example.com"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("me.github.io", "me.github.io"),
        ("a.me.github.io", "me.github.io"),
        ("github.io", "github.io"),
        ("co.uk", "co.uk"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("www.xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("..", ".."),
    ],
)
def test_the_site_of_a_host_is_its_registrable_domain(host: str, domain: str) -> None:
    assert site(host) == domain


@pytest.mark.parametrize(
    ("mode", "url", "within"),
    [
        ("site", "https://shop.example.co.uk:444/", True),
        ("site", "http://example.co.uk/", True),
        ("site", "http://other.co.uk/", False),
        ("site", "http://www.example.co.uk.evil.com/", False),
        ("host", "https://www.example.co.uk/x", True),
        ("host", "http://example.co.uk/", False),
        ("host", "http://www.example.co.uk:81/", False),
        ("any", "http://other.com/", True),
    ],
)
def test_a_seed_opens_its_site_its_host_or_everything(mode: str, url: str, within: bool) -> None:
    assert accepts(Scope(mode), "http://www.example.co.uk/", url) is within


def test_an_address_is_a_site_of_its_own() -> None:
    assert accepts(Scope(), "http://10.0.0.1:8080/", "http://10.0.0.1/")
    assert not accepts(Scope(), "http://10.0.0.1/", "http://10.0.1.1/")


def test_a_label_opens_only_the_site_it_names() -> None:
    scope = Scope()
    assert scope.label("http://a.me.github.io/") == "me.github.io"
    assert scope.accepts("http://x.com/", "x.com", "*")
    assert not scope.accepts("http://x.com/", "x.com", "")
    assert not scope.accepts("http://you.github.io/", "you.github.io", "me.github.io")


@pytest.mark.parametrize(
    ("url", "within"),
    [
        ("http://example.com/", True),
        ("http://a.b.example.com:81/", True),
        ("http://badexample.com/", False),
        ("http://com/", False),
        ("http://xn--bcher-kva.example/", True),
        ("http://127.0.0.1:8080/", True),
        ("http://127.0.0.1/", False),
        ("http://[::1]/", True),
        ("http://x.github.io/", True),
    ],
)
def test_listed_domains_hold_with_their_subdomains_wherever_the_seed_was(url: str, within: bool) -> None:
    listed = ("Example.com", "*.bücher.example", "127.0.0.1:8080", "[::1]", ".github.io")
    scope = Scope("any", domains=listed)
    assert scope.label("http://elsewhere.org/") == ""
    assert accepts(scope, "http://elsewhere.org/", url) is within


def test_a_host_is_told_apart_from_what_is_accepted_on_it() -> None:
    scope, narrow = Scope("host"), Scope("host", deny=("secret",))
    assert [scope.reaches("a.org", "a.org"), scope.accepts_all("a.org", "a.org")] == [True, True]
    assert [narrow.reaches("a.org", "a.org"), narrow.accepts_all("a.org", "a.org")] == [True, False]
    assert [scope.reaches("b.org", "a.org"), scope.accepts_all("b.org", "a.org")] == [False, False]


def test_prefixes_and_patterns_narrow_the_scope() -> None:
    scope = Scope(prefixes=("/docs/", "/über"), allow=(r"\.html$", r"/$"), deny=("secret",))
    seed = "http://h.example/"
    assert accepts(scope, seed, "http://h.example/docs/a.html")
    assert accepts(scope, seed, "http://h.example/%C3%BCber/")
    assert not accepts(scope, seed, "http://h.example/blog/a.html")
    assert not accepts(scope, seed, "http://h.example/docs/a.pdf")
    assert not accepts(scope, seed, "http://h.example/docs/secret/")
    assert not accepts(scope, seed, "http://docs.example/docs/")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"mode": "sites"}, "'sites'"),
        ({"allow": ("a(",)}, r"'a\(' in allow"),
        ({"deny": ("*",)}, r"'\*' in deny"),
        ({"prefixes": ("docs/",)}, "'docs/'"),
        ({"domains": ("https://example.com/",)}, "write example.com"),
        ({"domains": ("a b",)}, "'a b'"),
        ({"domains": ("",)}, "domains"),
    ],
)
def test_a_scope_that_cannot_be_meant_is_refused_by_name(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        Scope(**wrong)  # type: ignore[arg-type]


def test_scopes_with_the_same_rules_are_equal_and_a_lone_text_is_a_list_of_one() -> None:
    assert Scope(deny="x") == Scope(deny=("x",))  # type: ignore[arg-type]
    assert hash(Scope(domains=("a.b",))) == hash(Scope(domains=("a.b",)))


def test_the_memory_for_hosts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scopes, "MEMO", 10)
    scope = Scope()
    for n in range(100):
        assert accepts(scope, "http://example.com/", f"http://h{n}.example.com/")
    assert len(scope._memo) <= 10


@pytest.mark.parametrize(
    "path",
    [
        "/a/a/a",
        "/a/b/a/b/a/b",
        "/x/a/b/c/a/b/c/a/b/c/y?q",
        "/a////b",
        "/" + "/".join(map(str, range(65))),
        "/?" + "&".join(f"p{n}" for n in range(101)),
    ],
)
def test_an_endless_space_is_suspicious(path: str) -> None:
    assert suspicious("http://h" + path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/2011/11/11/page",
        "/a/b/a/b/",
        "/a/x/a/y/a/z",
        "/" + "/".join(map(str, range(64))),
        "/?" + "&".join(f"p{n}" for n in range(100)),
        "/?next=/a/a/a/a",
    ],
)
def test_an_ordinary_url_is_not_suspicious(path: str) -> None:
    assert not suspicious("http://h" + path)


def test_every_trap_rule_can_be_switched_off() -> None:
    assert not suspicious("http://h" + "/a" * 100 + "?" + "&" * 200, repeats=0, segments=0, parameters=0)
    assert suspicious("http://h/a/a", repeats=2)


@pytest.mark.parametrize("query", ["", "?q"])
@given(parts=st.lists(st.sampled_from("abc"), max_size=12), times=st.integers(2, 4))
def test_repetition_is_found_as_its_definition_says(query: str, parts: list[str], times: int) -> None:
    text = "".join(parts)
    repeated = any(text[i:j] * times in text for i in range(12) for j in range(i + 1, 13) if text[i:j])
    assert suspicious("http://h/" + "/".join(parts) + query, repeats=times) is repeated
