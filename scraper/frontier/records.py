"""What a batch is in rows, and back: the one connection that writes a run's state. Used by one thread.

Every statement has many rows: each step of SQLite lets go of the interpreter's lock, and getting it back from
a busy event loop takes 5 ms (1,000 rows one by one: 1.7 s; in fifties: 1.5 ms).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..clock import Clock
from ..errors import StoreError
from ..outcome import End, Outcome
from ..request import Request, altered
from . import schema
from .lanes import Lane, moment, rank
from .store import Batch, Recovered, Step

ROWS = 50  # of one statement
SENT = "(started OR kills)"  # for certain: it holds a place under `max_pages`
KEPT_OUT = frozenset({"too_deep"})  # kinds of facts that are for the ledger only

_request = msgspec.json.Decoder(Request)
_encode = msgspec.json.encode
Row = tuple[Any, ...]


class Left(msgspec.Struct):
    """What `open` found besides what the crawl wants to know: the hosts by name, the last token."""

    recovered: Recovered
    hosts: dict[str, Lane]
    later: Lane
    token: int


class Records:
    """A run's state on the disk. Every verb raises StoreError; times are wall-clock seconds."""

    def __init__(self, path: Path, clock: Clock, *, power: bool = False) -> None:
        self.path = path
        self._clock = clock
        self._power = power
        self._base: sqlite3.Connection | None = None

    # -- begin and end ------------------------------------------------------------------------------

    def open(self, suspects: Collection[int], seen: set[int]) -> Left:
        """Open the file, count what is in it, and fill `seen`. O(requests)."""
        self._base = schema.connect(self.path, power=self._power)
        try:
            return self._open(self._base, suspects, seen)
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise self._trouble(error) from error

    def _open(self, base: sqlite3.Connection, suspects: Collection[int], seen: set[int]) -> Left:
        if suspects:
            self._insert(
                "UPDATE queue SET kills = kills + 1 WHERE id IN (%s)", "?", [(token,) for token in suspects]
            )
        hosts = {name: Lane(number) for number, name in base.execute("SELECT id, name FROM host")}
        by_number = {lane.number: lane for lane in hosts.values()}
        later = by_number[0] = Lane(0)
        for number, stored, best in base.execute("SELECT lane, count(*), min(rank) FROM queue GROUP BY lane"):
            by_number[number].stored, by_number[number].best = stored, best
        requests = base.execute("SELECT fp FROM request")
        while rows := requests.fetchmany(10_000):
            seen.update(fp for (fp,) in rows)
        facts: dict[str, dict[str, Any]] = {}
        for kind, key, data in base.execute("SELECT kind, key, data FROM fact"):
            if kind not in KEPT_OUT:
                facts.setdefault(kind, {})[key] = msgspec.msgpack.decode(data)
        recovered = Recovered(
            resumed=bool(self._one("SELECT count(*) FROM meta WHERE key = 'opened'")),
            queued=later.stored + sum(lane.stored for lane in hosts.values()),
            counted=self._one(f"SELECT count(*) FROM queue WHERE counted OR {SENT}"),
            sent=dict(
                base.execute(
                    "SELECT name, count(*) FROM queue JOIN request USING (id) JOIN host ON host.id = host"
                    f" WHERE {SENT} AND NOT counted GROUP BY name"
                )
            ),
            answered=self._one("SELECT count(*) FROM answer"),
            positions=dict(base.execute("SELECT segment, bytes FROM position")),
            facts=facts,
            seeds_done=bool(self._one("SELECT count(*) FROM meta WHERE key = 'seeds_done'")),
        )
        base.execute("INSERT OR REPLACE INTO meta VALUES ('opened', ?)", (self._clock.wall(),))
        return Left(recovered, hosts, later, self._one("SELECT coalesce(max(id), 0) FROM request"))

    def _one(self, query: str) -> int:
        assert self._base is not None
        return int(self._base.execute(query).fetchone()[0])

    def close(self) -> None:
        """Let go of the file, which is one file then."""
        if self._base is not None:
            base, self._base = self._base, None
            try:
                base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                raise self._trouble(error) from error
            finally:
                base.close()

    # -- a batch ------------------------------------------------------------------------------------

    def write(self, batch: Batch, hosts: Sequence[Row], lanes: Mapping[str, Lane]) -> None:
        """One transaction, whole or not at all. `hosts` are (id, name) of new ones."""
        base = self._base
        if base is None:
            raise StoreError(f"{self.path} is not open")
        now = self._clock.wall()
        try:
            base.execute("BEGIN IMMEDIATE")
            if hosts:
                self._insert("INSERT INTO host VALUES %s", "(?, ?)", hosts)
            self._steps(batch.steps, now, lanes)
            for token, started in batch.started.items():
                base.execute("UPDATE queue SET started = ? WHERE id = ?", (started, token))
            facts = [
                (kind, key, msgspec.msgpack.encode(data))
                for kind, table in batch.facts.items()
                for key, data in table.items()
            ]
            self._insert("INSERT OR REPLACE INTO fact VALUES %s", "(?, ?, ?)", facts)
            self._insert("INSERT OR REPLACE INTO position VALUES %s", "(?, ?)", list(batch.positions.items()))
            if batch.seeds_done:
                base.execute("INSERT OR REPLACE INTO meta VALUES ('seeds_done', 1)")
            base.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._trouble(error) from error

    def _steps(self, steps: Iterable[Step], now: float, lanes: Mapping[str, Lane]) -> None:
        """The order of steps decides where a request ends that is met twice in one batch."""
        new: dict[int, Row] = {}
        queue: dict[int, Request | None] = {}
        answers: list[Row] = []
        attempts: list[Row] = []
        for step in steps:
            outcome = step.outcome
            token = outcome.request.token if outcome is not None else 0
            target = 0
            for request in step.added:
                queue[request.token] = request
                if request.token != token:
                    via = token if outcome is not None and outcome.end is End.REDIRECTED else 0
                    target = request.token if via else 0
                    new[request.token] = _request_row(request, lanes[request.host].number, via, now)
            if outcome is None:
                continue
            if outcome.final:
                queue[token] = None
                answers.append(_answer_row(outcome, target, now))
            else:
                attempts.append((token, now, outcome.reason.value, outcome.detail, outcome.status))
        waiting = [_queue_row(request, lanes) for request in queue.values() if request is not None]
        ended = [(token,) for token, request in queue.items() if request is None and token not in new]
        self._insert("INSERT INTO request VALUES %s", "(?, ?, ?, ?, ?, ?, ?, ?)", list(new.values()))
        self._insert("INSERT OR REPLACE INTO queue VALUES %s", "(?, ?, ?, ?, ?, ?, ?, ?)", waiting)
        self._insert("DELETE FROM queue WHERE id IN (%s)", "?", ended)
        self._insert("INSERT INTO answer VALUES %s", "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", answers)
        self._insert("INSERT INTO attempt VALUES %s", "(?, ?, ?, ?, ?)", attempts)

    def _insert(self, statement: str, row: str, rows: Sequence[Row]) -> None:
        assert self._base is not None
        for start in range(0, len(rows), ROWS):
            part = rows[start : start + ROWS]
            self._base.execute(statement % ", ".join([row] * len(part)), [value for each in part for value in each])

    # -- back from the disk -------------------------------------------------------------------------

    def read(self, lane: int, number: int, held: Container[int], most: int) -> tuple[list[Request], bool]:
        """Up to `number` requests of a lane that are not held, the first ones first; and whether more follow.

        Of those that are held, `most`, some or all come before them.
        """
        assert self._base is not None
        try:
            rows = self._base.execute(
                "SELECT q.id, url, parent, data, due, tries, counted, started, kills FROM queue q"
                " JOIN request r ON r.id = q.id WHERE lane = ? ORDER BY rank, q.id LIMIT ?",
                (lane, number + most + 1),
            ).fetchall()
            found = [row for row in rows if row[0] not in held]
            return [_restored(*row) for row in found[:number]], len(found) > number
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise self._trouble(error) from error

    def _trouble(self, error: Exception) -> StoreError:
        if isinstance(error, sqlite3.Error):
            return StoreError(schema.trouble(self.path, error))
        return StoreError(f"{self.path} has a request that cannot be read ({error}); start anew with --fresh")


def _request_row(request: Request, host: int, via: int, now: float) -> Row:
    rest = altered(
        request, url="", parent=0, token=0, tries=0, due=0.0, counted=False, kills=0, started=False
    )  # they have columns of their own
    data = _encode(rest).decode()
    return request.token, request.fingerprint, host, request.url, request.parent, via, now, data


def _queue_row(request: Request, lanes: Mapping[str, Lane]) -> Row:
    lane = 0 if request.due else lanes[request.host].number
    order = moment(request.due) if request.due else rank(request)
    return request.token, lane, order, request.due, request.tries, request.counted, False, request.kills


def _answer_row(outcome: Outcome, target: int, now: float) -> Row:
    return (
        outcome.request.token, outcome.end.value, outcome.reason.value, outcome.detail, outcome.status, now,
        outcome.request.tries, outcome.took, outcome.wire, outcome.size, len(outcome.items), outcome.cut, target,
        outcome.where,
    )  # fmt: skip


def _restored(
    token: int, url: str, parent: int, data: str, due: float, tries: int, counted: int, started: int, kills: int
) -> Request:
    return altered(
        _request.decode(data), token=token, url=url, parent=parent, due=due, tries=tries,
        counted=bool(counted or started or kills), started=bool(started), kills=kills,
    )  # fmt: skip
