"""Runs commands in forks of this process, which has imported what they need; forks.py begins it and gives orders.

python forker.py DESCRIPTOR       # of the socket that orders come from; it ends when that is closed
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

LOADED = (
    "scraper.cli.crawl", "scraper.cli.export", "scraper.cli.running", "scraper.cli.runs", "scraper.cli.summary",
    "scraper.explain", "scraper.frontier.sqlite", "scraper.jobs.serving", "scraper.outputs.csv_table",
    "scraper.outputs.jsonl", "scraper.program",
)  # fmt: skip


def ordered(door: socket.socket) -> dict[str, Any]:
    """Fork for each order that comes, and tell its process and exit code; returns in a fork, with its order."""
    ended, ends = os.pipe()
    os.set_blocking(ends, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # noted in the pipe
    signal.set_wakeup_fd(ends, warn_on_full_buffer=False)
    living: dict[int, int] = {}  # where to tell of the end of each process
    awaited: list[Any] = [door, ended]
    while True:
        ready = select.select(awaited, [], [])[0]
        if ended in ready:
            os.read(ended, 4096)
        for pid, report in [*living.items()]:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                tell(report, os.waitstatus_to_exitcode(status))
                os.close(living.pop(pid))
        if door not in ready:
            continue
        data, streams, _, _ = socket.recv_fds(door, 2**16, 4)
        while data and not data.endswith(b"\n"):
            data += door.recv(2**16)
        if not data:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number, each in enumerate(streams[:3]):
                os.dup2(each, number)
            for each in (ended, ends, *streams, *living.values()):
                os.close(each)
            order: dict[str, Any] = json.loads(data)
            return order
        for each in streams[:3]:
            os.close(each)
        living[pid] = streams[3]
        tell(streams[3], pid)


def tell(report: int, number: int) -> None:
    """One line to whoever gave the order, and may have left."""
    with suppress(OSError):
        os.write(report, b"%d\n" % number)


def prepared(order: dict[str, Any]) -> None:
    """Be what a new process would be: its session, folder, environment and words."""
    if order["session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    os.chdir(order["cwd"])
    sys.path[0], sys.argv = order["cwd"], ["scraper", *order["words"]]
    if shim := os.environ.get("LD_PRELOAD"):
        ctypes.CDLL(shim).shim_begin()


def main() -> None:
    """Fork for orders; in a fork, run the command."""
    with socket.socket(fileno=int(sys.argv[1])) as door:
        for each in LOADED:
            importlib.import_module(each)
        gc.collect()
        gc.freeze()
        order = ordered(door)
    prepared(order)


if __name__ == "__main__":
    main()
    runpy.run_module("scraper", run_name="__main__", alter_sys=True)
