"""Locks on folders."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scraper.lock import Lock, alone

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")


def test_one_of_two_has_it(tmp_path: Path) -> None:
    one, other = Lock(tmp_path), Lock(tmp_path)
    one.take()
    one.take()
    with pytest.raises(BlockingIOError):
        other.take()
    assert one.taken()
    assert other.taken()
    one.release()
    one.release()
    assert not one.taken()
    other.take()
    other.release()


def test_a_place_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Lock(tmp_path / "gone").take()


def test_those_who_only_look_keep_nobody_out(tmp_path: Path) -> None:
    ended = threading.Event()

    def look() -> None:
        lock = Lock(tmp_path)
        while not ended.is_set():
            lock.taken()

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    lock = Lock(tmp_path)
    for _ in range(300):
        lock.take()
        lock.release()
    ended.set()
    for looker in lookers:
        looker.join()


def test_the_children_of_a_process_that_died_do_not_keep_its_lock(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from scraper.lock import Lock\n"
        "Lock(Path(sys.argv[1])).take()\n"
        "child = os.fork()\n"
        "if not child: print(os.getpid(), flush=True); os.read(0, 1)\n"
        "else: os.waitpid(child, 0)"
    )
    words = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    lock = Lock(tmp_path)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert lock.taken()
        process.kill()
        process.wait()
        os.kill(child, 0)  # it lives
        assert not lock.taken()


def test_a_child_that_lets_go_lets_its_parent_keep_it(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from scraper.lock import Lock\n"
        "lock = Lock(Path(sys.argv[1])); lock.take()\n"
        "child = os.fork()\n"
        "if not child: lock.release(); os._exit(0)\n"
        "os.waitpid(child, 0); print(Lock(lock.path).taken())"
    )
    words = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    assert subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True).stdout == "True\n"


def test_one_waits_for_the_other(tmp_path: Path) -> None:
    entered, order = threading.Event(), []

    def second() -> None:
        entered.wait()
        with alone(tmp_path):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with alone(tmp_path):
        entered.set()
        thread.join(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
