"""The one connection that writes a run's state, a batch in one transaction. Used by one thread."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from ..clock import Clock
from ..errors import StoreError
from ..request import Request
from . import schema
from .lanes import COUNTED, Lane, Place
from .rows import Known, Row, Rows, Shape, restored
from .seen import Seen
from .store import Batch, Recovered

MOST_LOG = 64 * 2**20  # bytes
# What an earlier process has certainly sent holds a place under `max_pages`, though it has no outcome yet.
COUNT_SENT = (
    f"UPDATE queue SET counted = 1, rank = rank - {COUNTED} WHERE (started OR kills) AND NOT counted AND tries = 0"
)
SENT = (
    "SELECT name, count(*) FROM queue JOIN request USING (id) JOIN host ON host.id = host"
    " WHERE counted AND tries = 0 AND via = 0 GROUP BY name"
)
KILLED = Shape("UPDATE queue SET kills = kills + 1 WHERE id IN (%s)", "?")
WOKEN = Shape(
    "UPDATE queue SET lane = (SELECT host FROM request WHERE request.id = queue.id) WHERE id IN (%s)", "?"
)
STARTED = (
    Shape("UPDATE queue SET started = 0 WHERE id IN (%s)", "?"),
    Shape("UPDATE queue SET started = 1 WHERE id IN (%s)", "?"),
)
HOSTS = Shape("INSERT INTO host VALUES %s", "(?, ?)")
FACTS = Shape("INSERT OR REPLACE INTO fact VALUES %s", "(?, ?, ?)")
SOURCES = Shape("INSERT INTO source (start, id) VALUES %s", "(?, ?)")
POSITIONS = Shape("INSERT OR REPLACE INTO position VALUES %s", "(?, ?)")
KEPT_OUT = frozenset({"too_deep"})  # kinds of facts that are for the ledger only

T = TypeVar("T")
# CROSS JOIN, INDEXED BY: in the order of the queue.
READ = """SELECT q.id, r.url, r.parent, p.url, r.data, due, tries, counted, started, kills, rank
  FROM queue q INDEXED BY queue_order CROSS JOIN request r ON r.id = q.id LEFT JOIN request p ON p.id = r.parent
  WHERE held = 0 AND lane = ? AND (rank, q.id) >= (?, ?) AND rank < ? ORDER BY rank, q.id LIMIT ?"""
DUE = """SELECT q.id, host, rank FROM queue q INDEXED BY queue_due CROSS JOIN request r ON r.id = q.id
  WHERE lane = 0 AND due <= ? ORDER BY due LIMIT ?"""


class Left(msgspec.Struct):
    """What `open` found besides what the crawl wants to know: the hosts by name, what waits."""

    recovered: Recovered
    hosts: dict[str, Lane]
    later: Lane
    due: float  # of the first that waits


class Want(NamedTuple):
    """So many requests of a lane, from a place on and below a rank."""

    lane: Lane
    start: Place
    below: int
    number: int


class Got(NamedTuple):
    """What a lane's queue on the disk had of what was wanted, and the last place looked at."""

    lane: Lane
    requests: list[Request]
    last: Place


class Woken(NamedTuple):
    """What waited for its time and is queued for its host now, as ranks by the lane's number; when to ask next."""

    ranks: dict[int, list[int]]
    due: float


class Records:
    """A run's state on the disk. Every verb raises StoreError; times are wall-clock seconds."""

    def __init__(self, path: Path, clock: Clock, *, power: bool = False) -> None:
        self.path = path
        self._log = path.with_name(f"{path.name}-wal")
        self._clock = clock
        self._power = power
        self._base: sqlite3.Connection | None = None

    # -- begin and end ------------------------------------------------------------------------------

    def open(self, suspects: Collection[int], seen: Seen) -> Left:
        """Open the file, count what is in it, and fill `seen`. O(requests)."""
        self._base = schema.connect(self.path, power=self._power)
        try:
            return self._open(self._base, suspects, seen)
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise self._trouble(error) from error

    def _open(self, base: sqlite3.Connection, suspects: Collection[int], seen: Seen) -> Left:
        last = self._one("SELECT coalesce(max(id), 0) FROM request")
        seen.update(chain.from_iterable(base.execute("SELECT fp FROM request")), number=last)
        base.execute("UPDATE queue SET held = 0 WHERE held = 1")  # nobody holds any now
        # Last what would be done twice by a process that dies in between.
        if suspects:
            KILLED.run(base, [(token,) for token in suspects])
        base.execute(COUNT_SENT)
        lanes = {0: Lane(0)}
        counted = 0
        query = "SELECT lane, count(*), min(rank), sum(rank < ?) FROM queue WHERE held = 0 GROUP BY lane"
        for number, stored, best, places in base.execute(query, (COUNTED,)):
            lanes[number] = Lane(number, stored, best)
            counted += places
        hosts = {n: lanes.get(i) or Lane(i) for i, n in base.execute("SELECT id, name FROM host")}
        facts: dict[str, dict[str, Any]] = {}
        for kind, key, data in base.execute("SELECT kind, key, data FROM fact"):
            if kind not in KEPT_OUT:
                facts.setdefault(kind, {})[key] = msgspec.msgpack.decode(data)
        recovered = Recovered(
            resumed=bool(self._one("SELECT count(*) FROM meta WHERE key = 'opened'")),
            queued=sum(lane.stored for lane in lanes.values()),
            counted=counted,
            sent=dict(base.execute(SENT)),
            answered=self._one("SELECT count(*) FROM answer"),
            positions=dict(base.execute("SELECT segment, bytes FROM position")),
            facts=facts,
            seeds_done=bool(self._one("SELECT count(*) FROM meta WHERE key = 'seeds_done'")),
            last=last,
            blind=any(token > last for token in suspects),
        )
        base.execute("INSERT OR REPLACE INTO meta VALUES ('opened', ?)", (self._clock.wall(),))
        return Left(recovered, hosts, lanes[0], self._due(base))

    def _one(self, query: str) -> int:
        assert self._base is not None
        return int(self._base.execute(query).fetchone()[0])

    def _due(self, base: sqlite3.Connection) -> float:
        """When the first of what waits for its time is due."""
        (due,) = base.execute("SELECT min(due) FROM queue INDEXED BY queue_due WHERE lane = 0").fetchone()
        return math.inf if due is None else float(due)

    def close(self) -> None:
        """Let go of the file, which is one file then, if nobody reads it just now."""
        if self._base is not None:
            base, self._base = self._base, None
            # What cannot be moved into the file now (a full disk, a reader) is safe beside it, and is moved in
            # by the next opening.
            with suppress(sqlite3.Error):
                base.execute("PRAGMA busy_timeout = 500")  # milliseconds
                base.execute("PRAGMA journal_mode = DELETE")
            base.close()

    def _whole(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do it in one transaction, whole or not at all."""
        base = self._base
        if base is None:
            raise StoreError(f"{self.path} is not open")
        try:
            base.execute("BEGIN IMMEDIATE")
            done = work(base)
            base.execute("COMMIT")
            return done
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            with suppress(sqlite3.Error):  # the first error is the one to tell of
                if base.in_transaction:
                    base.execute("ROLLBACK")
            raise self._trouble(error) from error

    # -- a batch ------------------------------------------------------------------------------------

    def write(
        self,
        batch: Batch,
        hosts: Sequence[Row],
        known: Known,
        lanes: Mapping[str, Lane],
        coming: dict[int, Request],
    ) -> list[Request]:
        """One transaction. `hosts` are (id, name) of new ones, `known` is what is known of new requests.

        Gives what of `coming` is on the disk now.
        """
        queued = self._whole(lambda base: self._write(base, batch, hosts, Rows(batch.steps, known, lanes, coming)))
        self._trim()
        # In this thread, so that what is read from now on is not taken for what is on its way still.
        stored = [request for request in queued if coming.get(request.token) == request] if coming else []
        for request in stored:
            del coming[request.token]
        return stored

    def _write(self, base: sqlite3.Connection, batch: Batch, hosts: Sequence[Row], rows: Rows) -> list[Request]:
        HOSTS.run(base, hosts)
        rows.write(base, self._clock.wall())
        for started in (True, False):
            STARTED[started].run(base, [(token,) for token, value in batch.started.items() if value == started])
        facts = [
            (kind, key, msgspec.msgpack.encode(data))
            for kind, table in batch.facts.items()
            for key, data in table.items()
        ]
        FACTS.run(base, facts)
        SOURCES.run(base, batch.sources)
        POSITIONS.run(base, list(batch.positions.items()))
        if batch.seeds_done:
            base.execute("INSERT OR REPLACE INTO meta VALUES ('seeds_done', 1)")
        return rows.queued

    def _trim(self) -> None:
        """A reader keeps the log beside the file from being used again: cut it as soon as there is none."""
        assert self._base is not None
        try:
            if self._log.stat().st_size > MOST_LOG:
                self._base.execute("PRAGMA busy_timeout = 0")
                self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._base.execute(f"PRAGMA busy_timeout = {schema.PATIENCE * 1000:.0f}")
        except FileNotFoundError:
            return  # no log: a file system that has none
        except sqlite3.Error as error:
            raise self._trouble(error) from error

    # -- back from the disk -------------------------------------------------------------------------

    def read(self, wants: Iterable[Want], held: Container[int], coming: Container[int]) -> list[Got]:
        """What is wanted of several lanes, the first ones first, without what is held or on its way here."""
        try:
            return [self._read(want, held, coming) for want in wants]
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise self._trouble(error) from error

    def _read(self, want: Want, held: Container[int], coming: Container[int]) -> Got:
        if self._base is None:
            raise StoreError(f"{self.path} is not open")
        found: list[Request] = []
        last = want.start
        while left := want.number - len(found):
            rows = self._base.execute(READ, (want.lane.number, *last, want.below, left)).fetchall()
            for row in rows:
                # In this order: what is held begins its way to the disk by being put in `coming` first.
                if row[0] not in held and row[0] not in coming:
                    found.append(restored(*row[:-1]))
            if len(rows) < left:
                last = (want.below, 0)
                break
            last = (rows[-1][-1], rows[-1][0] + 1)
        return Got(want.lane, found, last)

    def wake(self, now: float, most: int, held: Container[int], coming: Container[int]) -> Woken:
        """Queue for their hosts those that waited until now, at most so many."""
        return self._whole(lambda base: self._wake(base, now, most, held, coming))

    def _wake(
        self, base: sqlite3.Connection, now: float, most: int, held: Container[int], coming: Container[int]
    ) -> Woken:
        rows = base.execute(DUE, (now, most)).fetchall()
        WOKEN.run(base, [row[:1] for row in rows])
        ranks: dict[int, list[int]] = {}
        for token, lane, order in rows:
            if token not in held and token not in coming:
                ranks.setdefault(lane, []).append(order)
        return Woken(ranks, self._due(base))

    def _trouble(self, error: Exception) -> StoreError:
        if isinstance(error, sqlite3.Error):
            return StoreError(schema.trouble(self.path, error))
        return StoreError(f"{self.path} has a request that cannot be read ({error}); start anew with --fresh")
