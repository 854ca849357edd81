"""Settings: which source is stronger, what is refused and how, and to whom credentials go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from scraper import Response, Spider
from scraper.errors import UsageError
from scraper.settings import (
    HINTS,
    NAMES,
    HostRules,
    Settings,
    describe,
    from_environment,
    from_files,
    from_pairs,
    resolve,
)
from scraper.testing.site import Site

from .conftest import Crawl


def refused(**values: Any) -> str:
    with pytest.raises(UsageError) as caught:
        resolve([("-s", values)])
    return str(caught.value)


def one(name: str, value: Any) -> Any:
    return getattr(resolve([("-s", {name: value})]), name)


def test_the_later_layer_is_stronger_and_the_others_stay() -> None:
    made = resolve([("file", {"delay": 2, "retries": 7}), ("spider", {"delay": 1}), ("-s", {"delay": "0.25"})])
    assert (made.delay, made.retries, made.per_host) == (0.25, 7, 4)


def test_every_source_counts_in_its_order(tmp_path: Path) -> None:
    (tmp_path / "scraper.toml").write_text("delay = 1\nretries = 1\ntimeout = 1\nper_host = 1\n")
    layers = [
        from_files(tmp_path),
        ("spider", {"retries": 2, "timeout": 2, "per_host": 2}),
        from_environment({"SCRAPER_TIMEOUT": "3", "SCRAPER_PER_HOST": "3"}),
        from_pairs(["per-host=4"]),
    ]
    made = resolve(layers)
    assert (made.delay, made.retries, made.timeout, made.per_host) == (1, 2, 3, 4)


def test_a_table_of_a_stronger_layer_replaces_the_weaker_one_whole() -> None:
    made = resolve([("file", {"headers": {"A": "1"}}), ("-s", {"headers": '{"B": "2"}'})])
    assert made.headers == {"B": "2"}


@pytest.mark.parametrize("layer", ["scraper.toml", "settings of spider 'x'", "environment", "-s"])
def test_an_unknown_key_names_its_source_and_what_is_near(layer: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve([(layer, {"dely": 1})])
    assert str(caught.value) == f"{layer}: unknown setting 'dely'; did you mean 'delay'?"


SAID = {
    ("concurrency", "many"): "setting 'concurrency' must be a whole number of at least 1, not 'many'",
    ("concurrency", 0): "setting 'concurrency' must be a whole number of at least 1, not 0",
    ("concurrency", True): "setting 'concurrency' must be a whole number of at least 1, not True",
    ("delay", "nan"): "setting 'delay' must be a number of at least 0 (seconds), not 'nan'",
    ("delay", "inf"): "setting 'delay' must be a number of at least 0 (seconds), not 'inf'",
    ("delay", -1): "setting 'delay' must be a number of at least 0 (seconds), not -1",
    ("max_body", "10MB"): "setting 'max_body' must be a whole number of at least 1 (bytes), not '10MB'",
    ("max_error_rate", 2): "setting 'max_error_rate' must be a number from 0 to 1, not 2",
    ("scope", "sight"): "setting 'scope' must be one of site, host, any, not 'sight' (did you mean 'site'?)",
    ("robots", "maybe"): "setting 'robots' must be true or false, not 'maybe'",
    ("accept_status", "404,x"): "setting 'accept_status[1]' must be a whole number, not 'x'",
    ("user_agent", "a\r\nb"): "setting 'user_agent' must be one line of text",
    ("headers", "A: b"): 'setting \'headers\' must be a table as JSON, such as {"name": "value"}',
    ("contact", None): "setting 'contact' must be text, not None",
}


@pytest.mark.parametrize(("name", "value"), SAID)
def test_a_wrong_value_is_told_in_words(name: str, value: Any) -> None:
    assert refused(**{name: value}) == f"-s: {SAID[name, value]}"


def test_wrong_parts_of_hosts_are_told_with_their_place() -> None:
    hosts: Any = {"cdn.test": {"dely": 1}}
    assert refused(hosts=hosts) == "-s: setting 'hosts.\"cdn.test\".dely' is not known; did you mean 'delay'?"
    hosts = {"ok.test": {"delay": 1}, "cdn.test": {"per_host": 0}}
    assert "'hosts.\"cdn.test\".per_host' must be a whole number of at least 1, not 0" in refused(hosts=hosts)
    assert "'hosts.\"a\".delay' must be a number" in refused(hosts={"a": {"delay": float("inf")}})
    assert "'hosts.\"a\"' must be a table, not 3" in refused(hosts={"a": 3})
    assert '\'hosts."a".headers."X"\' must be one line' in refused(hosts={"a": {"headers": {"X": "b\nc"}}})


def test_text_becomes_the_type_of_its_setting() -> None:
    given = {
        "retries": "3", "delay": "2", "robots": "no", "cookies": "off", "log_level": "DEBUG", "contact": "5",
        "accept_status": "404", "allowed_domains": "a.test, b.test", "allow": '["x,y"]',
        "hosts": '{"a.test": {"delay": 1}}',
    }  # fmt: skip
    made = resolve([("-s", given)])
    assert (made.retries, made.delay, made.robots, made.cookies, made.log_level) == (3, 2.0, False, False, "debug")
    assert (made.contact, made.accept_status, made.allow) == ("5", [404], ["x,y"])
    assert made.allowed_domains == ["a.test", "b.test"]
    assert made.hosts["a.test"].delay == 1


@pytest.mark.parametrize("name", ["Authorization", "cookie", "PROXY-AUTHORIZATION"])
def test_headers_for_every_host_may_hold_no_credentials(name: str) -> None:
    said = refused(headers={name: "s3cret"})
    assert said == f"-s: setting 'headers.\"{name}\"' would go to every host; set it under 'hosts'"
    assert one("hosts", {"a.test": {"headers": {name: "s3cret"}}})


@pytest.mark.parametrize(
    "values",
    [
        {"auth": "s3cret"},
        {"auth": ["s3cret"]},
        {"proxy": "s3cret"},
        {"proxy": ["http://me:s3cret@proxy.test"]},
        {"headers": "Authorization: s3cret"},
        {"headers": {"Authorization": "s3cret"}},
        {"headers": {"X": ["s3cret"]}},
        {"headers": {"X": "s3cret\n"}},
        {"hosts": {"a": {"auth": "s3cret"}}},
        {"hosts": {"a": {"auth": ["s3cret"]}}},
        {"hosts": {"a": {"headers": {"Cookie": ["s3cret"]}}}},
        {"hosts": {"a": {"proxy": ["s3cret"]}}},
    ],
)
def test_an_error_never_shows_what_may_be_a_secret(values: dict[str, Any]) -> None:
    assert "s3cret" not in refused(**values)


@pytest.mark.parametrize("name", ["a b", "a:", "", "é"])
def test_a_header_needs_a_name_that_is_one(name: str) -> None:
    assert "is no name of a header field" in refused(headers={name: "x"})


def test_pairs_need_an_equals_sign() -> None:
    for pair in ("delay", "=2"):
        with pytest.raises(UsageError, match="write -s key=value"):
            from_pairs([pair])
    assert from_pairs(["user-agent=a=b"]) == ("-s", {"user_agent": "a=b"})


def test_variables_with_the_prefix_are_settings_and_nothing_else_is() -> None:
    environ = {"SCRAPER_DELAY": "2", "DELAY": "9", "SCRAPER_PYTHON": "x"}
    assert from_environment(environ) == ("environment", {"delay": "2"})
    with pytest.raises(UsageError, match="environment: unknown setting 'dely'"):
        resolve([from_environment({"SCRAPER_DELY": "2"})])


def test_the_environment_of_the_process_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRAPER_RETRIES", "9")
    assert resolve([from_environment()]).retries == 9


def test_the_nearest_file_counts_and_its_own_file_before_pyproject(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "scraper.toml").write_text("delay = 1")
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.scraper]\ndelay = 2")
    where, values = from_files(inner)
    assert (where, values) == (f"{tmp_path / 'a' / 'pyproject.toml'} [tool.scraper]", {"delay": 2})
    (tmp_path / "a" / "scraper.toml").write_text("delay = 3")
    assert from_files(inner)[1] == {"delay": 3}


def test_a_pyproject_of_somebody_else_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "scraper.toml").write_text("delay = 1")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.ruff]\nline-length = 9")
    assert from_files(tmp_path / "a")[1] == {"delay": 1}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("scraper.toml", "delay = 1\nretries = = 2", "line 2"),
        ("scraper.toml", b"delay = '\xff'", "scraper.toml"),
        ("pyproject.toml", "[tool.scraper\n", "line 1"),
        ("pyproject.toml", "[tool]\nscraper = 3", "tool.scraper must be a table"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_the_place(
    tmp_path: Path, name: str, text: str | bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as caught:
        from_files(tmp_path)
    assert str(tmp_path / name) in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_a_meaning_and_the_unit_of_its_type(name: str) -> None:
    meaning, unit = describe(name)
    assert meaning.endswith(".")
    assert unit in ("", "seconds", "bytes", "bytes/s")
    kinds = [meta.extra["unit"] for meta in HINTS[name].__metadata__ if meta.extra and "unit" in meta.extra]
    assert bool(unit) == bool(kinds)


@pytest.mark.parametrize("name", NAMES)
def test_every_default_passes_its_own_check(name: str) -> None:
    default = getattr(Settings(), name)
    assert one(name, msgspec.to_builtins(default)) == default


def test_settings_are_frozen_and_the_agent_carries_the_contact() -> None:
    made = resolve([("-s", {"user_agent": "Shop/1", "contact": "me@a.test"})])
    assert made.agent() == "Shop/1 (+me@a.test)"
    assert Settings().agent() == "scraper/0.1"
    with pytest.raises(AttributeError):
        made.delay = 3  # type: ignore[misc]


# -- hosts ------------------------------------------------------------------------------------------


def rules(*seeds: str, **values: Any) -> HostRules:
    made = HostRules(resolve([("-s", values)]))
    made.seeds.update(seeds)
    return made


def test_patterns_of_hosts_override_in_their_order_and_merge_headers() -> None:
    hosts = {
        "*.a.test": {"delay": 2, "headers": {"X": "1", "Y": "1"}},
        "cdn.a.test": {"per_host": 9, "headers": {"Y": "2"}},
        "b.test:8080": {"robots": False},
    }
    made = rules(hosts=hosts, headers={"Z": "0"})
    cdn, port, other = made["cdn.a.test"], made["b.test:8080"], made["b.test"]
    assert (cdn.delay, cdn.per_host, cdn.robots) == (2, 9, True)
    assert cdn.headers == {"Z": "0", "X": "1", "Y": "2"}
    assert (port.robots, other.robots, other.delay) == (False, True, 0.5)
    assert made["cdn.a.test:8080"].delay == 2


def test_the_general_credentials_go_to_the_origins_of_seeds_only() -> None:
    made = rules("https://a.test", auth="me:secret")
    assert made.credentials("https://a.test") == "me:secret"
    for place in ("http://a.test", "https://b.test", "https://a.test:444", "https://w.a.test"):
        assert made.credentials(place) == ""


def test_credentials_of_a_host_go_over_http_only_where_it_was_seeded() -> None:
    hosts = {"a.test": {"auth": "me:secret", "headers": {"Cookie": "c", "X": "1"}}}
    made = rules(hosts=hosts)
    assert made.credentials("https://a.test") == "me:secret"
    assert made.fields("https://a.test") == {"Cookie": "c", "X": "1"}
    assert made.credentials("http://a.test") == ""
    assert made.fields("http://a.test") == {"X": "1"}
    made.seeds.add("http://a.test")
    assert made.credentials("http://a.test") == "me:secret"
    assert made.fields("http://a.test") == {"Cookie": "c", "X": "1"}


def test_the_credentials_of_a_host_are_stronger_than_the_general_ones() -> None:
    made = rules("https://a.test", auth="all:x", hosts={"a.test": {"auth": "own:y"}})
    assert made.credentials("https://a.test") == "own:y"


async def test_credentials_of_a_host_stay_home_when_a_page_leads_there_over_http(site: Site, go: Crawl) -> None:
    class Leads(Spider):
        name = "leads"
        start_urls = ["http://a.test/"]

        def parse(self, response: Response) -> Any:
            yield response.follow_all(css="a")

    secret = {"auth": "me:secret", "headers": {"Cookie": "id=1", "X-Plain": "1"}}
    site.page("/", '<a href="http://b.test/1">x</a>', host="a.test")
    site.page("/1", "x", host="b.test")
    await go(Leads(), scope="any", hosts={"*.test": secret}, cookies=False)
    [seed], [led] = site.hits_of("a.test", "/"), site.hits_of("b.test", "/1")
    assert (seed.headers["Authorization"], seed.headers["Cookie"]) == ("Basic bWU6c2VjcmV0", "id=1")
    assert "Authorization" not in led.headers
    assert "Cookie" not in led.headers
    assert led.headers["X-Plain"] == "1"
