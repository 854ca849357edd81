"""No command shows what a spider declares secret, unless it is asked to."""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing

import pytest

from tests.cli.jobs.conftest import Project

SPIDER = """
from scraper import Spider, arg

class Shop(Spider):
    name = "shop"
    start_urls = ["http://127.0.0.1:9/"]
    shelf: str = "art"
    code: str = arg("", secret=True)
"""
TOML = '[jobs.{name}]\nspider = "shop"\nargs = {{ code = "hush-{number}" }}\n'


def test_no_command_shows_what_a_spider_declares_secret(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    (project.folder / "spiders" / "shop.py").write_text(SPIDER)
    project.declare(TOML.format(name="filed", number=1))
    commands = (
        "apply --check", "apply --check --json", "apply --yes", "add shop --spider shop -a code=hush-2",
        "edit shop -a code=hush-3 -a shelf=new", "run shop -a code=hush-4", "run shop -a code=hush-5 --json",
        "list", "list --json", "show shop", "show shop --json", "show shop --toml", "runs", "runs --json", "runs 1",
        "runs 1 --json", "next --json", "audit", "audit --json", "alerts --json", "pause shop --why x",
    )  # fmt: skip
    for words in commands:
        said = project.jobs(*words.split())
        assert "hush" not in said.out + said.err, (words, said)
    project.declare(TOML.format(name="filed", number=6))
    change = json.loads(project.jobs("apply", "--check", "--json").out)
    assert change[0]["keys"] == [{"key": "args.code", "old": "***", "new": "(changed)"}]
    assert 'code = "hush-3"' in project.well("show", "shop", "--toml", "--secrets").out
    assert "hush" not in caplog.text


def test_a_run_that_was_waited_for_shows_no_secret_either(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.folder / "spiders" / "shop.py").write_text(SPIDER)
    project.well("add", "shop", "--spider", "shop")

    def end_it(_: float) -> None:
        with closing(sqlite3.connect(project.home / "jobs.sqlite")) as base, base:
            base.execute("UPDATE run SET state = 'finished', ended = 2")

    monkeypatch.setattr("scraper.cli.jobs.work.time.sleep", end_it)
    said = project.jobs("run", "shop", "-a", "code=hush", "--wait", "--json")
    assert json.loads(said.out)["args"] == {"code": "***"}
    assert said.code == 0
