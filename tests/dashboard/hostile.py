"""Texts that sites send, or people type, to make a page do what it should not; and a history full of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from scraper.jobs.job import Alerts, Channel, Job, Output, Server
from scraper.jobs.record import Act, Alert, Attempt, Cause, Delivery, JobRun, State
from scraper.jobs.store import Jobs

TEXTS = (
    "<script>alert(1)</script>",
    '"><svg/onload=alert(1)>',
    "' onmouseover='alert(1)' x='",
    "</title></textarea></style></pre></script><script>alert(1)</script>",
    "javascript:alert(1)",
    " java\nscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    'http://a.test/"onclick=alert(1)//',
    "http://a.test/\u202egpj.exe",
    "https://a.test/%0ajavascript:alert(1)",
    "//evil.test/",
    "{{ 7*7 }}{% raw %}${7*7}",
    "<!--",
    "]]><![CDATA[",
    "\u202eright to left\u2066 \x1b[31m\x00\x07 \u200b \ufeff \U000e0041 \u2028",
    "&lt;script&gt;&#106;avascript:",
    "../../../etc/passwd",
    "a" * 3000,
)


def fill(store: Jobs, root: Path, text: str, now: float) -> JobRun:
    """A job with a run whose every field has this text where it can have one."""
    job = Job(
        name="evil", spider="shop", schedule="@daily", timezone="Europe/Berlin", note=text,
        args={text[:60]: text, "url": text, "more": {"a": [text]}}, settings={text[:60]: text},
        output=(Output(text),), key=(text[:60],), after=("shop",), group=text[:60], blackout=(text,),
        start=text, alerts=Alerts(to=(text[:60],)),
    )  # fmt: skip
    with store.change():  # a server that lives sees nothing of it before it is over
        store.set_server(Server(channels={text[:60]: Channel(webhook=text)}, groups={text[:60]: 2}), now, text)
        store.put(job, now=now - 3600, who=text)
        store.pause("evil", text, now, text)
        made = store.plan(
            JobRun(
                id=0, job="evil", spider="shop", planned=now - 60, cause=Cause.HAND, by=text, args={text[:60]: text}
            )
        )
        assert made is not None
        done = msgspec.structs.replace(
            made,
            state=State.RUNNING,
            run="r1",
            began=now - 50,
            started=now - 50,
            attempts=1,
            pages=3,
            items=3,
            failed=1,
        )
        store.update(done, attempt=Attempt(number=1, run=text, pid=1, started=now - 50, ended=now - 40, why=text))
        done = msgspec.structs.replace(
            done,
            state=State.FAILED,
            ended=now - 40,
            why=text,
            exit_code=1,
            stopped_by=text,
            added=1,
            changed=1,
            removed=1,
        )
        store.update(done)
        store.raise_alert(Alert(job="evil", rule=text[:60], run=made.id, at=now, text=text))
        store.deliver([Delivery(channel=text, alerts=(1,), due=now, tries=3, given_up=now, error=text)])
        store.act(Act(at=now, who=text, what=text, job="evil", run=made.id, detail=text))
    folder = root / "shop" / "r1"
    folder.mkdir(parents=True)
    for name, lines in files(text, now):
        (folder / name).write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    store.log(made.id).parent.mkdir(exist_ok=True)
    store.log(made.id).write_text(text)
    return done


def files(text: str, now: float) -> Iterator[tuple[str, list[Any]]]:
    """(name, values) of the files of a run."""
    item = {text[:60]: text, "url": text, "n": 1.5, "none": None, "deep": {"a": [text, {"b": text}]}, "": ""}
    cause = {"reason": text, "detail": text, "where": text, "url": text, "count": 1, "trace": text}
    host = {
        "delay": 0.5,
        "per_host": 1,
        "departures": 3,
        "least_gap": 0.6,
        "most_parallel": 1,
        "early": 0,
        "rests": 0,
    }
    yield "items.jsonl", [item, {"url": text}, [text], text]
    yield "log.jsonl", [{"time": now, "level": text, "logger": text, "message": text, "trace": text}, {"x": text}]
    yield "live.jsonl", [
        {"at": now - 50, "pages": 1, "reasons": {f"failed:{text}": 1}, "statuses": {text: 1}},
        {"at": now - 45, "pages": 3}, {"at": text}, text,
    ]  # fmt: skip
    yield "run.json", [{"run": "r1", "spider": text, "why": text}]
    yield "stats.json", [
        {
            "said": [text], "errors": [cause, text], "politeness": {text: host, "b.test": text},
            "reasons": {f"failed:{text}": 2, text: 1}, "statuses": {text: 3},
        },
    ]  # fmt: skip
    yield (
        "changes.jsonl",
        [
            {"_change": "added", "_key": {text[:60]: text}, **item, "_why": text},
            {
                "_change": "changed",
                "_key": {"url": text},
                **item,
                "_old": {text[:60]: text, "deep.a": None, text: 1},
            },
            {"_change": "removed", "_key": {"url": text}, "url": text, "title": text, "_why": text},
            {"_change": text, "_key": text},
        ],
    )
    yield (
        "changes.json",
        [
            {
                "old": text,
                "key": [text],
                "added": 1,
                "fields": {text: 1},
                "why": {text: 1},
                "notes": [text],
                "same": text,
            },
        ],
    )
