"""What is said of bad input: what is wrong with it, where, and what is near or allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scraper.cli.jobs import given
from scraper.convert import Unfit
from scraper.dashboard.given import only
from scraper.errors import Mistakes, UsageError
from scraper.jobs import password
from scraper.jobs.access import Access, Role
from scraper.jobs.channels import check_headers
from scraper.jobs.declared import job_from, server_from
from scraper.jobs.schedule import Schedule
from scraper.jobs.store import Jobs
from scraper.jobs.windows import Window
from scraper.jobs.words import duration, size, time_of_day, weekdays
from scraper.jobs.zones import zone_named
from scraper.settings import from_pairs

from .world import SHOP

UNITS = "units are B, kB, MB, GB and TB (by 1000), KiB, MiB, GiB and TiB"


def refused(read: Callable[..., object], *values: Any) -> str:
    with pytest.raises((UsageError, Unfit)) as caught:
        read(*values)
    return str(caught.value)


def job(**keys: Any) -> object:
    return job_from("shop", {"spider": "shop", **keys}, "")


def scheduled(text: str) -> object:
    return job(schedule=text)


def server(**tables: Any) -> object:
    return server_from(tables, "")


@pytest.mark.parametrize(
    ("read", "value", "words"),
    [
        (size, "5 QB", ["'5 QB'", "such as '500 MB' or '1 GiB'", UNITS]),
        (size, "5 M", ["'5 M'", "MB (1000) or MiB (1024)"]),
        (size, "much", ["'much'", "'500 MB' or '1 GiB'"]),
        (size, 2**70, ["from 0 bytes to 1 EiB"]),
        (size, True, ["a size such as", "not True"]),
        (duration, "5 parsecs", ["'5 parsecs'", "'1h30m'", "did you mean 'secs'?"]),
        (duration, "5 fortnights", ["'5 fortnights'", "units are ms, s, m, h, d and w"]),
        (duration, "1 month", ["'month' has no fixed length"]),
        (duration, "200 years", ["'years' has no fixed length"]),
        (duration, -1, ["from 0 seconds to 100 years, not -1"]),
        (duration, "1h 2h", ["each unit once", "'1h 2h'"]),
        (time_of_day, "25:00", ["from 00:00 to 23:59:59", "'25:00'"]),
        (time_of_day, "8", ["did you mean '08:00'?"]),
        (time_of_day, "13 pm", ["pm goes with 1 to 12"]),
        (weekdays, "mn", ["such as 'mon-fri'", "'mn'", "did you mean 'mon'?"]),
        (Window.parse, "22:00", ["'22:00-06:00'", "not '22:00'"]),
        (Window.parse, "08:00-08:00", ["two times", "00:00-24:00"]),
        (zone_named, "Europe/Berln", ["'Europe/Berln'", "did you mean 'Europe/Berlin'"]),
        (zone_named, "here", ["'here'", "'Europe/Berlin'"]),
        (scheduled, "evry day", ["[jobs.shop] schedule: 'evry day'", "did you mean 'every day'?"]),
        (scheduled, "daily", ["did you mean '@daily'?"]),
        (scheduled, "@dayly", ["'@dayly'", "did you mean '@daily'?"]),
        (scheduled, "61 * * * *", ["'61 * * * *'", "minute"]),
        (scheduled, "0 0 31 2 *", ["never comes"]),
        (scheduled, "every 5", ["needs a unit", "'every 5 minutes'"]),
        (scheduled, "every month", ["no fixed length", "'@monthly'"]),
        (scheduled, "every hour at 8:30", ["'at' goes with days", "'every day at 08:30'"]),
        (scheduled, "once upon", ["what comes after 'once' must be", "'upon'"]),
        (Role.of, "root", ["there is no role 'root'; there are viewer, operator, admin"]),
        (Role.of, "amin", ["did you mean 'admin'?"]),
        (check_headers, {"Host": "a"}, ["'Host' is set by the server itself: leave it out"]),
        (check_headers, {"a b": "a"}, ["'a b' is not the name of a header field, such as X-Token"]),
        (check_headers, {"A": "a", "a": "b"}, ["'A' is given twice: upper and lower case"]),
        (from_pairs, ["shelf"], ["-s 'shelf': write -s key=value"]),
    ],
)
def test_a_value_that_cannot_be_read_is_told_with_what_could_be(
    read: Callable[..., object], value: Any, words: list[str]
) -> None:
    said = refused(read, value)
    assert [word for word in words if word not in said] == [], said


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"qqqq": 1}, ["qqqq: unknown key; there are spider, schedule, timezone,"]),
        ({"alerts": {"qqqq": 1}}, ["alerts.qqqq: unknown key; there are failed, items_below,"]),
        ({"output": {"path": "a.csv", "qqqq": 1}}, ["output.qqqq: unknown key; there are path, only, append"]),
        ({"output": ["a.csv", {"path": "b.csv", "only": "chnges"}]}, ["output[1].only: must be one of items"]),
        ({"settings": {"qqqq": 1}}, ["settings.qqqq: unknown setting 'qqqq'; `scraper settings` lists them"]),
        ({"overlap": "skp"}, ["overlap: must be one of skip, queue_one,", "did you mean 'skip'?"]),
        ({"catch_up": "some"}, ["catch_up: must be one of none, latest, all, not 'some'"]),
        ({"memory": "5 QB"}, ["memory: must be a size such as", UNITS]),
        ({"resume": "perhaps"}, ["resume: must be true or false, not 'perhaps'"]),
        ({"retries": 5000}, ["retries: must be from 0 to 1,000, not 5,000"]),
        ({"alerts": {"longer_than": "soon"}}, ["alerts.longer_than: must be a duration such as"]),
        ({"args": "shelf"}, ["args: must be a table as JSON"]),
        ({"after": 5}, ["after: must be a list of text, not 5"]),
        ({"output": "items"}, ["output: items", ".jsonl"]),
    ],
)  # fmt: skip
def test_a_key_of_a_job_that_is_wrong_is_named_with_what_is_near_or_allowed(
    keys: dict[str, Any], words: list[str]
) -> None:
    said = refused(lambda: job(**keys))
    assert said.startswith("[jobs.shop] ")
    assert [word for word in words if word not in said] == [], said


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"server": {"qqqq": 1}}, ["[server] qqqq: unknown key; there are parallel, keep_days, address"]),
        ({"server": {"address": "me"}}, ["[server] address: must be an address such as https://host/path"]),
        ({"channels": {"a": 5}}, ["[channels.a]: must be a table"]),
        ({"channels": {"a": {"comand": ["x"]}}}, ["[channels.a] comand: unknown key; did you mean 'command'?"]),
        ({"channels": {"a": {"command": ["x"], "secret": "s"}}}, ["for a webhook, and this channel has command"]),
        ({"mail": {"host": "h", "sender": "s", "tls": "ssl"}}, ["[mail] tls: must be one of starttls, tls,"]),
    ],
)  # fmt: skip
def test_what_is_wrong_for_all_jobs_is_named_with_its_table(tables: dict[str, Any], words: list[str]) -> None:
    said = refused(lambda: server(**tables))
    assert [word for word in words if word not in said] == [], said


def test_what_is_not_there_is_told_with_what_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password, "COST", 2**4)
    with Jobs(tmp_path) as store:
        access = Access(store)
        assert refused(access.set_role, "ann", "viewer") == "there is no user 'ann'; there are none"
        access.add_user("ann", "admin")
        assert refused(access.reset, "an") == "there is no user 'an'; did you mean 'ann'?"
        assert refused(access.reset, "ann", "short").endswith("characters, not 5")
        assert "'ann' is the only admin: make another" in refused(access.remove_user, "ann")
        assert "not 'a b'" in refused(access.add_user, "a b", "viewer")
        access.add_token("grafana", "viewer", "ann", 0.0)
        assert refused(access.remove_token, 7) == "there is no token 7; there are 1 (grafana)"
        assert refused(store.job, "shop") == "no job 'shop'; there are none"
        store.put(SHOP, now=1.0, who="test")
        assert refused(store.job, "shp") == "no job 'shp'; did you mean 'shop'?"
        assert refused(store.job, "zoo") == "no job 'zoo'; there are shop"
    assert refused(only, {"wy": 1}, "why") == "there is no key 'wy' here; did you mean 'why'?"
    assert refused(only, {"zzz": 1}, "why") == "there is no key 'zzz' here; there are why"
    assert "a job has no such key; did you mean 'timeout'?" in refused(given.without, {}, ["timeot"])
    assert (
        refused(given.without, {"args": {"shelf": 1}}, ["args.x"])
        == "--unset args.x: args has no 'x'; there are shelf"
    )


def test_mistakes_have_a_line_each_whatever_is_in_them() -> None:
    assert str(Mistakes([UsageError("one\n  of two lines"), UsageError("two")])) == "one of two lines\ntwo"
    assert Schedule.parse(SHOP).said()


def test_a_note_is_no_book() -> None:
    assert "note: must have at most 10,000 characters, not 10,001" in refused(lambda: job(note="x" * 10_001))
