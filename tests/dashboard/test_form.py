"""The form of a job: what is saved is what was typed, and what is wrong stands beside its field."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scraper.dashboard import fields
from scraper.errors import Mistakes
from scraper.jobs.declared import job_from
from scraper.jobs.job import Alerts, CatchUp, Job, Output, Overlap
from scraper.jobs.store import Jobs
from tests.dashboard.conftest import Browser
from tests.dashboard.markup import Page
from tests.dashboard.test_pages import page

SPIDER = '''
from typing import Literal
from scraper import Spider, arg

class Typed(Spider):
    """Takes arguments of many types."""
    name = "typed"
    start_urls = ["http://127.0.0.1:1/"]
    shelf: str = arg("art", help="shelf to read")
    pages: int
    fast: bool = False
    kind: Literal["new", "old"] = "new"
    password: str = arg("", secret=True)

    def parse(self, response):
        yield {"url": response.url}
'''
TOLD = Alerts(failed=False, items_below=0.5, error_rate=0.1, longer_than=90.0, to=("team",), quiet=("22:00-07:00",))
FULL = Job(
    name="full", spider="shop", schedule="30 8 * * mon-fri", timezone="Europe/Berlin",
    args={"shelf": "art", "n": 3}, settings={"delay": 1.5, "hosts": {"a.test": {"delay": 2.0}}},
    output=(Output("a-{run}.csv"), Output("b-{run}.jsonl", "changes", True)),
    key=("url", "id"), overlap=Overlap.ALLOW, catch_up=CatchUp.ALL, catch_up_within=5400.0, resume=False,
    alerts=TOLD,
    after=("other",), jitter=30.0, start="2026-01-01", end="2027-01-01",
    blackout=("sat 00:00-24:00", "12:00-13:00"),
    timeout=7200.0, memory=2**30, retries=3, retry_delay=10.0, priority=-2, parallel=2, group="g",
    keep=7, note="a note",
)  # fmt: skip


@pytest.mark.parametrize("job", [FULL, Job(name="least", spider="shop")], ids=lambda job: job.name)
def test_a_job_goes_through_the_form_unchanged(job: Job) -> None:
    made, wrong = fields.data(fields.texts(job))
    assert not wrong
    assert job_from(made.pop("name"), made, "job") == job


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("schedule", "evry day", "did you mean 'every day'?"),
        ("timezone", "Europe/Berln", "'Europe/Berlin'"),
        ("retries", "many", "must be a whole number, not 'many'"),
        ("timeout", "5 mins o", "must be a duration such as"),
        ("alerts.items_below", "5", "must be from 0 to 1, not 5"),
        ("blackout", "22:00-", "must be a time such as 08:30"),
        ("settings", "dela = 1", "did you mean 'delay'?"),
        ("settings", "delay 1", "must be lines such as delay = 1.0"),
        ("name", "no job", "the name of a job must be"),
        ("key", "url, url", "has 'url' twice"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(field: str, text: str, said: str) -> None:
    given = fields.texts(Job(name="x", spider="shop")) | {field: text}
    made, wrong = fields.data(given)
    with pytest.raises(Mistakes) as caught:
        if wrong:
            raise Mistakes(wrong)
        job_from(made.pop("name"), made, "job 'x'")
    beside = fields.beside(caught.value, given, [])
    assert [*beside] == [field]
    assert said in beside[field][0]


async def test_all_that_is_wrong_is_told_at_once_and_what_was_typed_stays(admin: Browser, tmp_path: Path) -> None:
    (tmp_path / "spiders" / "typed.py").write_text(SPIDER)
    typed = {
        "name": "my job", "spider": "typed", "schedule": "evry day", "timezone": "Europe/Berln", "retries": "many",
        "settings": "delay 1", "alerts.items_below": "5", "alerts.quiet": "22:00", "key": "url, url",
        "args.kind": "used", "args.pages": "", "args.shelf": "toys", "output.0.path": "a.csv",
        "output.1.path": "../b.csv", "note": "mine",
    }  # fmt: skip
    status, text = await send(admin, "/new-job", **{name.replace(".", "__"): each for name, each in typed.items()})
    found = Page(text)
    assert (status, found.wrong) == (400, [])
    wrong = [
        "name", "schedule", "timezone", "retries", "settings", "alerts.items_below", "alerts.quiet", "key",
        "args.kind", "args.pages", "output.1",
    ]  # fmt: skip
    assert {each.removeprefix("wrong-") for each in found.ids if each.startswith("wrong-")} == {*wrong}
    assert f"Nothing is saved yet: {len(wrong)} things to put right." in found.words
    shown = {field.get("name"): field for field in found.fields}
    for name in wrong:
        assert f'<a href="#f-{name}">' in text
        assert f"f-{name}" in found.ids
        field = shown[f"{name}.path" if name == "output.1" else name]
        assert field["aria-invalid"] == "true"
        assert f"wrong-{name}" in field["aria-describedby"].split()
    kept = {name: shown[name].get("value") for name in typed if shown[name]["_in"].split()[-1] != "select"}
    assert {name: each for name, each in kept.items() if each is not None} == {
        name: each for name, each in typed.items() if kept.get(name) is not None
    }
    assert ">delay 1</textarea>" in text
    assert "22:00</textarea>" in text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("art", "art"),
        ("3", 3),
        ("1.5", 1.5),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ("007", "007"),
        ("-", "-"),
        ("1 2", "1 2"),
    ],
)
def test_the_value_of_an_argument_is_what_it_looks_like(text: str, value: object) -> None:
    assert fields.argument(text) == value


async def send(browser: Browser, path: str, **given: str) -> tuple[int, str]:
    form = {"csrf": browser.csrf, **{name.replace("__", "."): text for name, text in given.items()}}
    answer = await browser.client.post(path, data=form, headers={"Origin": browser.origin}, allow_redirects=False)
    return answer.status, await answer.text()


async def test_a_job_is_added_and_changed(admin: Browser, store: Jobs) -> None:
    status, text = await send(admin, "/new-job", name="new", spider="shop", schedule="@daily", args__shelf="poetry")
    assert status == 303, text
    assert store.job("new").job.args == {"shelf": "poetry"}
    form = await page(admin, "/jobs/new/edit")
    assert {field["value"] for field in form.fields if field.get("name") == "args.shelf"} == {"poetry"}
    status, text = await send(admin, "/jobs/new/edit", version="1", spider="shop", schedule="@hourly", note="<b>")
    assert status == 303, text
    assert (store.job("new").job.schedule, store.job("new").job.args) == ("@hourly", {})
    status, text = await send(admin, "/jobs/new/edit", version="1", spider="shop", schedule="@daily")
    assert status == 409, "somebody else has changed it meanwhile"
    assert "was changed meanwhile" in text


async def test_a_name_that_is_taken_or_none_is_told_beside_its_field(admin: Browser) -> None:
    for name, status, said in (
        ("shop", 409, "there is a job 'shop' already"),
        ("po etry", 400, "the name of a job must be 1 to 64 letters"),
        ("my spider", 400, "the name of a job must be 1 to 64 letters"),
    ):
        found, text = await send(admin, "/new-job", name=name, spider="shop")
        assert found == status
        assert said in Page(text).words
        assert "[jobs." not in text
        assert "wrong-name" in Page(text).ids


async def test_a_wrong_field_keeps_what_was_typed(admin: Browser) -> None:
    status, text = await send(admin, "/new-job", name="new", spider="shop", schedule="evry day", note="mine")
    assert status == 400
    found = Page(text)
    assert not found.wrong
    assert "did you mean 'every day'?" in found.words
    typed = {field.get("name"): field for field in found.fields}
    assert (typed["schedule"]["value"], typed["note"]["value"]) == ("evry day", "mine")
    assert typed["schedule"]["aria-invalid"] == "true"
    assert "wrong-schedule" in found.ids
    assert "wrong-schedule" in typed["schedule"]["aria-describedby"].split()


@pytest.mark.parametrize("path", ["/new-job", "/jobs/shop/edit"])
async def test_lines_that_a_browser_sent_are_shown_again_and_saved(admin: Browser, store: Jobs, path: str) -> None:
    lines = {"settings": "max_pages = 5\r\ndelay = 1.0", "blackout": "22:00-06:00\r\nsat, sun"}
    given = {"name": "new", "version": "1" if "edit" in path else "0", "spider": "shop", **lines}
    status, text = await send(admin, path, **given, timeout="soon")
    assert status == 400
    assert "\\x0d" not in text
    typed = re.findall(r'<textarea id="f-(settings|blackout)"[^>]*>([^<]*)</textarea>', text)
    assert dict(typed) == {name: line.replace("\r\n", "\n") for name, line in lines.items()}
    again = {name: line.replace("\n", "\r\n") for name, line in typed}
    status, text = await send(admin, path, **{**given, **again})
    assert status == 303, text
    job = store.job("shop" if "edit" in path else "new").job
    assert (job.settings, job.blackout) == ({"max_pages": 5, "delay": 1.0}, ("22:00-06:00", "sat, sun"))


async def test_arguments_have_fields_of_their_types(admin: Browser, tmp_path: Path) -> None:
    (tmp_path / "spiders" / "typed.py").write_text(SPIDER)
    found = await page(admin, "/new-job?spider=typed")
    typed = {field["name"]: field for field in found.fields if field.get("name", "").startswith("args.")}
    assert [*typed] == ["args.shelf", "args.pages", "args.fast", "args.kind", "args.password"]
    assert typed["args.shelf"]["placeholder"] == "art"
    assert typed["args.password"]["type"] == "password"
    status, text = await send(admin, "/new-job", name="new", spider="typed", args__pages="many")
    assert status == 400
    assert "must be a whole number, not 'many'" in Page(text).words
    assert "wrong-args.pages" in Page(text).ids
    status, text = await send(admin, "/new-job", name="new", spider="typed", choose="1")
    assert status == 200
    assert "args.pages" in text


async def test_a_secret_argument_is_not_shown_and_is_kept(admin: Browser, store: Jobs, tmp_path: Path) -> None:
    (tmp_path / "spiders" / "typed.py").write_text(SPIDER)
    given = {"name": "new", "spider": "typed", "args__pages": "1", "args__password": "hunter2"}
    assert (await send(admin, "/new-job", **given))[0] == 303
    answer = await admin.client.get("/jobs/new/edit")
    assert "hunter2" not in await answer.text()
    given = {"version": "1", "spider": "typed", "args__pages": "2", "args__password": "***"}
    assert (await send(admin, "/jobs/new/edit", **given))[0] == 303
    assert store.job("new").job.args == {"pages": 2, "password": "hunter2"}


async def test_a_run_with_other_arguments_has_a_form_of_their_types(
    admin: Browser, store: Jobs, tmp_path: Path
) -> None:
    (tmp_path / "spiders" / "typed.py").write_text(SPIDER)
    own = {"pages": 1, "shelf": "7", "password": "hunter2"}
    store.put(Job(name="t", spider="typed", args=own), now=1.0, who="test")
    assert "Run with other arguments" in (await page(admin, "/jobs/t")).words
    found = await page(admin, "/jobs/t/run")
    typed = {field["name"]: field.get("value", "") for field in found.fields if field.get("name", "") > "args."}
    wanted = {"args.shelf": "7", "args.pages": "1", "args.fast": "", "args.kind": "", "args.password": "***"}
    assert {name: typed[name] for name in wanted} == wanted
    status, text = await send(admin, "/jobs/t/run", args__pages="many", args__shelf="toys")
    assert status == 400
    wrong = Page(text)
    assert not wrong.wrong
    assert "wrong-args.pages" in wrong.ids
    assert 'href="/jobs/t"' in text
    assert 'value="toys"' in text
    given = {"args__pages": "2", "args__shelf": "7", "args__fast": "true", "args__password": "***"}
    assert (await send(admin, "/jobs/t/run", **given))[0] == 303
    assert store.run(1).args == {"pages": 2, "fast": True}


async def test_a_spider_without_arguments_says_so_where_a_run_would_have_others(
    admin: Browser, store: Jobs, tmp_path: Path
) -> None:
    lines = ["class Bare(Spider):", "    name = 'bare'", "    start_urls = ['http://127.0.0.1:1/']"]
    (tmp_path / "spiders" / "bare.py").write_text("\n".join(["from scraper import Spider", *lines]))
    store.put(Job(name="b", spider="bare"), now=1.0, who="test")
    assert "takes no arguments" in (await page(admin, "/jobs/b/run")).words


async def test_a_spider_that_cannot_be_imported_is_told_beside_it(admin: Browser, tmp_path: Path) -> None:
    text = "import nothing_here\nfrom scraper import Spider\nclass B(Spider):\n    name = 'bad'\n"
    (tmp_path / "spiders" / "bad.py").write_text(text)
    assert "nothing_here" in (await page(admin, "/new-job?spider=bad")).words


@pytest.mark.parametrize("text", ["a." * 2000 + "b = 1", "a = " + "[" * 50_000, "a = " + "9" * 100_000, "a = {b."])
async def test_toml_that_costs_more_than_it_says_is_refused(admin: Browser, text: str) -> None:
    form = {"csrf": admin.csrf, "args": text}
    answer = await admin.client.post("/jobs/shop/start", data=form, headers={"Origin": admin.origin})
    assert answer.status == 400
    form = {"csrf": admin.csrf, "name": "new", "spider": "shop", "settings": text}
    answer = await admin.client.post("/new-job", data=form, headers={"Origin": admin.origin})
    assert answer.status == 400
