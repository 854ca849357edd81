"""What the page about alerts shows is read, sent and checked."""

from __future__ import annotations

import importlib.util
import re
import time
import tomllib
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from scraper.clock import Clock
from scraper.jobs import parting, space
from scraper.jobs.alerts import RULES
from scraper.jobs.declared import read
from scraper.jobs.job import Channel
from scraper.jobs.message import Message
from scraper.jobs.webhook import post

from .hook import Hook

PAGE = (Path(__file__).parents[2] / "docs" / "howto-alerts.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("text", blocks("toml"))
def test_what_is_declared_there_can_be_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_text(text)
    declared = read(tmp_path / "jobs.toml")
    assert declared.server.channels.keys() == tomllib.loads(text).get("channels", {}).keys()


def test_every_rule_is_explained_and_the_example_is_a_message() -> None:
    assert re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE) == [*RULES, space.RULE, parting.RULE]
    (text,) = blocks("json")
    message = msgspec.json.decode(text, type=Message)
    assert msgspec.json.decode(msgspec.json.encode(message)) == msgspec.json.decode(text)  # no member is left out


@pytest.fixture
def shown(tmp_path: Path) -> ModuleType:
    """The program that checks signatures, as shown."""
    (text,) = blocks("python")
    (tmp_path / "shown.py").write_text(text)
    spec = importlib.util.spec_from_file_location("shown", tmp_path / "shown.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


async def test_the_signature_is_checked_as_shown(hook: Hook, shown: ModuleType) -> None:
    channel = Channel(webhook=hook.url, allow_private=True, secret="s3cret")
    await post(channel, b'{"a": 1}', "k", Clock())
    ((headers, body),) = hook.requests
    assert shown.is_ours("s3cret", headers, body)
    assert not shown.is_ours("other", headers, body)
    assert not shown.is_ours("s3cret", headers, body + b" ")
    old = str(int(time.time()) - 301)
    assert not shown.is_ours("s3cret", headers | {"X-Scraper-Timestamp": old}, body)
