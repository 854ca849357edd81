"""An operator cannot have what a job keeps secret sent to another host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from scraper.discover import find
from scraper.errors import UsageError
from scraper.jobs.access import Access, Role
from scraper.jobs.checking import keeps
from scraper.jobs.desk import Desk
from scraper.jobs.job import Job, Overlap
from scraper.jobs.store import Jobs
from tests.dashboard.conftest import Browser, Client

SPIDER = """
from scraper import Spider, arg

class Shop(Spider):
    name = "shop"
    url: str = "https://shop.example/"
    code: str = arg("{default}", secret=True)
    settings = {settings}

    async def start(self):
        yield self.url
"""
EVIL = {"url": "https://evil.example/"}


def spider(folder: Path, default: str = "", settings: str = "{}") -> None:
    (folder / "spiders" / "shop.py").write_text(SPIDER.format(default=default, settings=settings))


@pytest.fixture
def job(store: Jobs, desk: Desk, tmp_path: Path) -> Job:
    spider(tmp_path)
    job = Job(name="shop", spider="shop", args={"code": "hush"}, overlap=Overlap.QUEUE_ALL)
    store.put(job, now=1.0, who="test")
    return job


async def test_other_arguments_are_for_who_gives_the_secret_ones_too(
    client: Client, access: Access, job: Job, store: Jobs
) -> None:
    async def start(role: str, args: dict[str, Any]) -> tuple[int, str]:
        fields = {"Authorization": f"Bearer {access.add_token(role, role, 'test')[1]}"}
        answer = await client.post("/api/v1/jobs/shop/start", headers=fields, json={"args": args})
        return answer.status, await answer.text()

    status, text = await start("operator", EVIL)
    assert (status, "job 'shop' keeps code secret: with other arguments" in text) == (403, True)
    assert store.open_runs() == []
    for role, args in (("operator", {}), ("operator", {**EVIL, "code": "his own"}), ("admin", EVIL)):
        assert (await start(role, args))[0] == 201, (role, args)


async def test_the_forms_of_pages_hold_an_operator_to_it(client: Client, access: Access, job: Job) -> None:
    access.first()
    browser = Browser(client)
    await browser.login("eve", access.add_user("eve", "operator"))
    for path, form in (
        ("/jobs/shop/start", {"args": 'url = "https://evil.example/"'}),
        ("/jobs/shop/run", {"args.url": "https://evil.example/", "args.code": "***"}),
    ):
        fields = {"Origin": browser.origin, "X-CSRF-Token": browser.csrf}
        answer = await client.post(path, data=form, headers=fields, allow_redirects=False)
        text = await answer.text()
        assert answer.status == 403
        assert "lets an admin start it" in text
        assert "hush" not in text


@pytest.mark.parametrize(
    ("default", "settings", "own", "kept"),
    [
        ("from the environment", "{}", {}, "code"),
        ("", "{'auth': 'ann:hush'}", {}, "settings.auth"),
        ("", "{'headers': {'X-Key': 'hush'}}", {}, "settings.headers"),
        ("", "{'hosts': {'*': {'auth': 'ann:hush'}}}", {}, "settings.auth"),
        ("", "{'hosts': {'shop.example': {'auth': 'ann:hush'}}}", {}, ""),
        ("", "{'headers': {'Accept-Language': 'de'}}", {}, ""),
        ("", "{}", {"headers": {"X-Key": "hush"}}, "settings.headers"),
    ],
)
def test_what_the_spider_and_the_settings_have_counts_too(
    job: Job, tmp_path: Path, default: str, settings: str, own: dict[str, Any], kept: str
) -> None:
    spider(tmp_path, default, settings)
    asked = replace(job, args=EVIL, settings=own)
    assert ", ".join(keeps(find("shop", tmp_path), asked, tmp_path, [*EVIL])) == kept


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else "x"


@pytest.mark.parametrize("value", [nested(900), 2**70, float("nan")])
async def test_the_arguments_of_a_run_are_plain_data_as_those_of_a_job(
    desk: Desk, job: Job, store: Jobs, value: object
) -> None:
    with pytest.raises(UsageError, match=r"\[jobs.shop\] args"):
        await desk.start("shop", "eve", {"url": value}, role=Role.ADMIN)
    assert store.open_runs() == []
