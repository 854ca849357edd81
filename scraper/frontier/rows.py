"""What a batch is in rows, and the statements that write them.

Every statement has many rows: each step of SQLite lets go of the interpreter's lock, and getting it back from
a busy event loop takes 5 ms (1,000 rows one by one: 1.7 s; in fifties: 1.5 ms). What is the same in all rows of the
usual shape stands in the statement: binding a value costs as much as building it. Nothing but exact `int`, `float`
and `str` is bound: for a bool or None the driver looks for an adapter first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from ..outcome import End, Outcome
from ..reasons import Reason
from ..request import Request, altered
from .lanes import Lane, rank
from .store import Step

ROWS = 128  # of one statement, at most
VARIABLES = 999  # of one statement: what SQLite before 3.32 takes
FROM_PARENT = "^"  # a referer that is the URL of the parent

_request = msgspec.json.Decoder(Request)
_encode = msgspec.json.encode
Row = tuple[Any, ...]
Known = dict[int, tuple[int, int]]  # token -> fingerprint, number of the host


class Shape(NamedTuple):
    """A statement, and what it has for each row; `?1` is the time of the batch."""

    head: str
    row: str

    def run(self, base: sqlite3.Connection, rows: Sequence[Row], *shared: Any) -> None:
        """Write rows in as few steps as there can be, of few lengths: a text that is new has to be compiled."""
        start, left, size = 0, len(rows), _most(self.row)
        while left:
            while size > left:
                size >>= 1
            part = rows[start : start + size] if size < len(rows) else rows
            base.execute(_text(self.head, self.row, size), [*shared, *chain.from_iterable(part)])
            start += size
            left -= size


@lru_cache(1024)
def _text(head: str, row: str, number: int) -> str:
    return head % ", ".join([row] * number)


@lru_cache
def _most(row: str) -> int:
    """The greatest power of two of such rows."""
    most = ROWS
    while most * row.count("?") > VARIABLES:
        most >>= 1
    return most


_REQUEST = "INSERT INTO request (at, id, fp, host, url, parent, data, via) VALUES %s"
NEW = Shape(_REQUEST, "(?1, ?, ?, ?, ?, ?, ?, 0)")
MOVED = Shape(_REQUEST, "(?1, ?, ?, ?, ?, ?, ?, ?)")
_QUEUE = "INTO queue (id, lane, rank, held, due, tries, counted, kills, started) VALUES %s"
QUEUED = Shape(f"INSERT {_QUEUE}", "(?, ?, ?, ?, 0, 0, 0, 0, 0)")
REQUEUED = Shape(f"INSERT OR REPLACE {_QUEUE}", "(?, ?, ?, ?, ?, ?, ?, ?, 0)")
ENDED = Shape("DELETE FROM queue WHERE id IN (%s)", "?")
_ANSWER = (
    "INSERT INTO answer (at, id, status, took, wire, size, items, end, reason, detail, tries, cut, target, place)"
    " VALUES %s"
)
DONE = Shape(_ANSWER, f"(?1, ?, ?, ?, ?, ?, ?, '{End.DONE.value}', '{Reason.OK.value}', '', 0, 0, 0, '')")
ANSWERED = Shape(_ANSWER, "(?1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
ATTEMPTS = Shape("INSERT INTO attempt (at, id, reason, detail, status) VALUES %s", "(?1, ?, ?, ?, ?)")


class Rows:
    """The rows of some steps. The order of steps decides where a request ends that is met twice in one batch."""

    def __init__(
        self, steps: Iterable[Step], known: Known, lanes: Mapping[str, Lane], coming: Container[int]
    ) -> None:
        self._new: list[Row] = []
        self._moved: list[Row] = []
        self._done: list[Row] = []
        self._answered: list[Row] = []
        self._attempts: list[Row] = []
        self._hosts: dict[int, int] = {}  # token of a new one -> number of its host
        self._queue: dict[int, Request | None] = {}
        for step in steps:
            target = self._added(step, known) if step.added else 0
            if step.outcome is not None:
                self._outcome(step.outcome, target)
        self._lanes = lanes
        self._coming = coming
        self.queued = [request for request in self._queue.values() if request is not None]

    def _added(self, step: Step, known: Known) -> int:
        """What an outcome led to; gives where it was redirected to."""
        outcome, target = step.outcome, 0
        token, url = (outcome.request.token, outcome.request.url) if outcome is not None else (0, "")
        moved = outcome is not None and outcome.end is End.REDIRECTED
        for request in step.added:
            number = request.token
            self._queue[number] = request
            if number == token:
                continue  # another try
            mark, self._hosts[number] = place = known.pop(number)
            parent, referer = request.parent, request.referer
            if token and parent == token and referer == url:
                referer = FROM_PARENT
            # They have columns of their own, and the other ones that have are mostly not there.
            rest = _encode(replace(request, url="", parent=0, token=0, referer=referer)).decode()
            if moved:
                target = number
                self._moved.append((number, *place, request.url, parent, rest, token))
            else:
                self._new.append((number, mark, place[1], request.url, parent, rest))
        return target

    def _outcome(self, outcome: Outcome, target: int) -> None:
        request, end, reason = outcome.request, outcome.end, outcome.reason
        token = request.token
        if end is not End.DONE and not outcome.final:
            self._attempts.append((token, reason.value, outcome.detail, outcome.status))
            return
        self._queue[token] = None
        figures = token, outcome.status, outcome.took, outcome.wire, outcome.size, len(outcome.items)
        plain = end is End.DONE and reason is Reason.OK and not (request.tries or target)
        if plain and not (outcome.detail or outcome.cut or outcome.where):
            self._done.append(figures)
        else:
            text = end.value, reason.value, outcome.detail, request.tries, int(outcome.cut), target, outcome.where
            self._answered.append(figures + text)

    def write(self, base: sqlite3.Connection, now: float) -> None:
        """All of it; `now` is the wall-clock second of the batch."""
        new, lanes, coming = self._hosts, self._lanes, self._coming
        plain: list[Row] = []
        others: list[Row] = []
        for request in self.queued:
            token = request.token
            host = new.get(token) or lanes[request.host].number
            held = 0 if token in coming else 1
            if token in new and not (request.due or request.tries or request.counted or request.kills):
                plain.append((token, host, rank(request), held))
            else:
                lane = 0 if request.due else host
                row = token, lane, rank(request), held, request.due, request.tries, int(request.counted)
                others.append((*row, request.kills))
        NEW.run(base, self._new, now)
        MOVED.run(base, self._moved, now)
        QUEUED.run(base, plain)
        REQUEUED.run(base, others)
        ENDED.run(
            base, [(token,) for token, request in self._queue.items() if request is None and token not in new]
        )
        DONE.run(base, self._done, now)
        ANSWERED.run(base, self._answered, now)
        ATTEMPTS.run(base, self._attempts, now)


def restored(
    token: int, url: str, parent: int, parent_url: str | None, data: str, due: float, tries: int, counted: int,
    started: int, kills: int,
) -> Request:  # fmt: skip
    """A request of the rows that it was written in. Raises MsgspecError."""
    request = _request.decode(data)
    referer = parent_url or "" if request.referer == FROM_PARENT else request.referer
    return altered(
        request, token=token, url=url, parent=parent, referer=referer, due=due, tries=tries,
        counted=bool(counted), started=bool(started), kills=kills,
    )  # fmt: skip
