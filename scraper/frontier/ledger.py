"""The ledger: what became of every request of a run, read from its state beside the writer or after its end.

Every accepted URL has a row, and so has every drop that depends on when it happened; links that were too deep are
facts. Nothing here holds a read transaction between two chunks, so a slow reader costs a running crawl nothing.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ..errors import StoreError
from ..reasons import Reason
from . import schema
from .entries import NOT_SENT, QUEUED, WAITING, Attempt, Count, Entry, Rest, Selection, Story
from .robots import Robots

CHUNK = 1_000  # rows read at once
SPAN = 10_000  # tokens looked at between two glances at the time
ROW = """
SELECT r.id, r.url, r.parent, r.via, r.at, r.data, a.end, a.reason, a.detail, a.status, a.at, a.tries, a.took,
  a.wire, a.size, a.items, a.cut, a.target, a.place, q.lane, q.due, q.tries, q.started, q.kills, p.url, v.url, t.url
FROM request r LEFT JOIN answer a ON a.id = r.id LEFT JOIN queue q ON q.id = r.id
  LEFT JOIN request p ON p.id = r.parent LEFT JOIN request v ON v.id = r.via LEFT JOIN request t ON t.id = a.target
"""


class _Data(msgspec.Struct):
    """What the ledger tells of a request's other fields."""

    depth: int = 0
    method: str = "GET"
    seed: bool = False
    session: str = ""
    scope: str = ""


class _Kept(msgspec.Struct):
    """Of the counts that a crawl hands over to its next process."""

    done: int
    reasons: list[tuple[str, str, int]]
    counts: list[int]


_data = msgspec.json.Decoder(_Data)


class Ledger:
    """The state of one run, to be read; `now` is the wall-clock second it is told for.

    A context manager. Every verb raises StoreError when the file is missing, no state, or cannot be read.
    """

    def __init__(self, path: Path, now: float) -> None:
        self.path = path
        self.now = now
        self._base = schema.look(path)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *error: object) -> None:
        self._base.close()

    # -- all of it ----------------------------------------------------------------------------------

    def counts(self) -> list[Count]:
        """How many there are of each state and reason. O(requests)."""
        with self._reading():
            found = self._base.execute(
                "SELECT end, reason, CASE reason WHEN 'status' THEN status ELSE 0 END AS code, count(*)"
                " FROM answer GROUP BY 1, 2, 3"
            ).fetchall()
            deep = self._one("SELECT count(*) FROM fact WHERE kind = 'too_deep'")
            left = self._one("SELECT count(*) FROM queue")
            waiting = self._one("SELECT count(*) FROM queue WHERE lane = 0 AND due > ?", self.now)
        found.append(("dropped", Reason.TOO_DEEP.value, 0, deep))
        found += [(QUEUED, "", 0, left - waiting), (WAITING, "", 0, waiting)]
        return [Count(*row) for row in found if row[-1]]

    def rows(self, wanted: Selection) -> Iterator[list[Entry]]:
        """The requests of a selection in the order of their acceptance, some at a time; bounded memory."""
        where, values = wanted.where(self.now)
        query = f"{ROW} WHERE r.id > ? AND {where} ORDER BY r.id LIMIT {CHUNK}"
        token = 0
        while rows := self._all(query, token, *values):
            yield [self._entry(row) for row in rows]
            token = rows[-1][0]
        key = ""
        query = f"SELECT key, data FROM fact WHERE kind = 'too_deep' AND key > ? ORDER BY key LIMIT {CHUNK}"
        while wanted.deep and (rows := self._all(query, key)):
            yield [self._deep(*row) for row in rows]
            key = rows[-1][0]

    def page(self, wanted: Selection, after: int, most: int, patience: float) -> tuple[list[Entry], int | None]:
        """Some requests of a selection behind the token `after`, in order, and the token to go on behind.

        None when there are no more. Looks no longer than about `patience` seconds; links that were too deep have
        no tokens and are left out.
        """
        where, values = wanted.where(self.now)
        query = f"{ROW} WHERE r.id > ? AND r.id <= ? AND {where} ORDER BY r.id LIMIT ?"
        with self._reading():
            last = self._one("SELECT coalesce(max(id), 0) FROM request")
        found: list[Entry] = []
        end = time.monotonic() + patience
        while after < last and len(found) < most:
            upto = after + SPAN
            rows = self._all(query, after, upto, *values, most - len(found))
            found += [self._entry(row) for row in rows]
            after = found[-1].token if len(found) == most else upto
            if time.monotonic() > end:
                break
        return found, after if after < last else None

    def durable(self) -> dict[str, int]:
        """Pages, items, failed pages and bytes as the last commit counted them; {} before the first. O(1)."""
        rows = self._all("SELECT data FROM fact WHERE kind = 'crawl' AND key = 'stats'")
        if not rows:
            return {}
        with self._reading():
            kept = msgspec.msgpack.decode(rows[0][0], type=_Kept)
        failed = sum(number for end, _, number in kept.reasons if end == "failed")
        return {"pages": kept.done, "items": kept.counts[0], "failed": failed, "bytes": kept.counts[-1]}

    def left(self) -> int:
        """How many requests are still to be answered."""
        with self._reading():
            return self._one("SELECT count(*) FROM queue")

    def oldest(self) -> Entry | None:
        """Of those that are still to be answered the one that was found first."""
        with self._reading():
            token = self._one("SELECT coalesce(min(id), 0) FROM queue")
        return self.entry(token) if token else None

    def resting(self) -> list[Rest]:
        """The hosts that are left alone now, the longest first, and those that are down."""
        found = []
        for host, data in self._all("SELECT key, data FROM fact WHERE kind = 'host' ORDER BY key"):
            rest = self._rest(host, data)
            if rest is not None:
                found.append(rest)
        return sorted(found, key=lambda rest: (not rest.down, -rest.until))

    def position(self, segment: str) -> int:
        """How many bytes of a journal are committed."""
        with self._reading():
            return self._one("SELECT coalesce(max(bytes), 0) FROM position WHERE segment = ?", segment)

    def knows(self, host: str) -> bool:
        """Whether anything of a host (its netloc) was accepted. O(hosts)."""
        with self._reading():
            return bool(self._one("SELECT count(*) FROM host WHERE name = ?", host))

    def hosts_with(self, statuses: Sequence[int]) -> dict[str, dict[int, int]]:
        """How many answers of each host have each of these statuses. O(answers)."""
        rows = self._all(
            "SELECT h.name, a.status, count(*) FROM answer a JOIN request r ON r.id = a.id"
            f" JOIN host h ON h.id = r.host WHERE a.status IN ({', '.join('?' * len(statuses))})"
            " GROUP BY h.name, a.status",
            *statuses,
        )
        found: dict[str, dict[int, int]] = {}
        for host, status, number in rows:
            found.setdefault(host, {})[status] = number
        return found

    def labels(self) -> list[str]:
        """The scope labels that seeds, and what they were redirected to, gave to what they lead to. O(requests)."""
        rows = self._all("SELECT data FROM request WHERE parent = 0")
        return [*dict.fromkeys(self._decoded(data).scope for (data,) in rows)]

    # -- one URL ------------------------------------------------------------------------------------

    def story(self, url: str) -> list[Story]:
        """All requests of a canonical URL, oldest first. O(requests): there is no index of URLs."""
        return [self._story(token) for (token,) in self._all("SELECT id FROM request WHERE url = ?", url)]

    def among(self, urls: Sequence[str]) -> list[Entry]:
        """Requests of some URLs, at most ten. O(requests)."""
        marks = ", ".join("?" * len(urls))
        rows = self._all(f"SELECT id FROM request WHERE url IN ({marks}) LIMIT 10", *urls)
        return [self.entry(token) for (token,) in rows]

    def entry(self, token: int) -> Entry:
        """One request. Raises StoreError when there is none."""
        rows = self._all(f"{ROW} WHERE r.id = ?", token)
        if not rows:
            raise StoreError(f"{self.path} has no request {token}")
        return self._entry(rows[0])

    def deep(self, url: str) -> Story | None:
        """A link that was too deep, None when this URL was none."""
        rows = self._all("SELECT key, data FROM fact WHERE kind = 'too_deep' AND key = ?", url)
        if not rows:
            return None
        entry = self._deep(*rows[0])
        return Story(entry=entry, chain=self._chain(entry.parent_token))

    def sent_here(self, url: str) -> list[Entry]:
        """Pages whose redirect to a URL was not followed, as it leads out of the scope; at most ten."""
        said = f"redirected to {url}"
        query = "SELECT id FROM answer WHERE reason = ? AND detail = ? LIMIT 10"
        return [self.entry(token) for (token,) in self._all(query, Reason.OUT_OF_SCOPE.value, said)]

    def rest(self, host: str) -> Rest | None:
        """Until when a host is left alone; None when it is not."""
        rows = self._all("SELECT data FROM fact WHERE kind = 'host' AND key = ?", host)
        return self._rest(host, rows[0][0]) if rows else None

    def robots(self, origin: str) -> Robots | None:
        """The rules of an origin as far as they are known: None when they are not, or could not be fetched."""
        rows = self._all("SELECT data FROM fact WHERE kind = 'robots' AND key = ?", origin)
        rules = self._unpacked(rows[0][0])[0] if rows else None
        return None if rules is None else Robots.from_bytes(rules)

    def _story(self, token: int) -> Story:
        entry = self.entry(token)
        tries = self._all("SELECT at, reason, detail, status FROM attempt WHERE id = ? ORDER BY rowid", token)
        onward: list[Entry] = []
        while (last := onward[-1] if onward else entry).target:
            onward.append(self.entry(last.target))
        ahead = 0
        if entry.state == QUEUED:
            with self._reading():
                ahead = self._one(
                    "SELECT count(*) FROM queue q, (SELECT lane, rank, id FROM queue WHERE id = ?) own"
                    " WHERE q.lane = own.lane AND q.lane AND (q.rank, q.id) < (own.rank, own.id)",
                    token,
                )
        return Story(
            entry=entry,
            attempts=[Attempt(*row) for row in tries],
            chain=self._chain(entry.via or entry.parent_token),
            onward=onward,
            ahead=ahead,
        )

    def _chain(self, token: int) -> list[Entry]:
        """From a page back to a seed; it ends, as what leads to a request has a lower token."""
        found = []
        while token:
            entry = self.entry(token)
            found.append(entry)
            token = entry.via or entry.parent_token
        return found

    # -- rows ---------------------------------------------------------------------------------------

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        (
            token, url, parent, via, at, text, end, reason, detail, status, answered, tries, took, wire, size,
            items, cut, target, place, lane, due, tried, started, kills, parent_url, from_url, to_url,
        ) = row  # fmt: skip
        data = self._decoded(text)
        common: dict[str, Any] = {
            "url": url, "depth": data.depth, "method": data.method, "parent": parent_url or "",
            "redirected_from": from_url or "", "found": at, "seed": data.seed and not via, "session": data.session,
            "token": token, "parent_token": parent, "via": via,
        }  # fmt: skip
        if end is None:
            state = WAITING if lane == 0 and due > self.now else QUEUED
            return Entry(
                **common, state=state, tries=tried or 0, due=due or 0.0, started=bool(started), kills=kills or 0
            )
        return Entry(
            **common, state=end, reason=reason, detail=detail, status=status, answered=answered, seconds=took,
            tries=tries + (reason not in NOT_SENT), wire=wire, bytes=size, items=items, cut=bool(cut),
            target=target, redirected_to=to_url or "", place=place,
        )  # fmt: skip

    def _deep(self, url: str, packed: bytes) -> Entry:
        data = self._unpacked(packed)
        query = "SELECT url, coalesce(a.at, 0) FROM request r LEFT JOIN answer a ON a.id = r.id WHERE r.id = ?"
        parent, found = next(iter(self._all(query, data["parent"])), ("", 0.0))
        return Entry(
            url=url, state="dropped", reason=Reason.TOO_DEEP.value, depth=data["depth"], parent=parent, found=found,
            answered=found, parent_token=data["parent"],
        )  # fmt: skip

    def _rest(self, host: str, packed: bytes) -> Rest | None:
        data = self._unpacked(packed)
        until, down = float(data.get("rest", 0.0)), bool(data.get("down"))
        return Rest(host, until, down) if down or until > self.now else None

    def _decoded(self, text: str) -> _Data:
        try:  # for each row: a context manager costs as much as the decoding
            return _data.decode(text)
        except msgspec.MsgspecError as error:
            raise self._trouble(error) from error

    def _unpacked(self, packed: bytes) -> Any:
        with self._reading():
            return msgspec.msgpack.decode(packed)

    def _all(self, query: str, *values: Any) -> list[Any]:
        with self._reading():
            return self._base.execute(query, values).fetchall()

    def _one(self, query: str, *values: Any) -> int:
        return int(self._base.execute(query, values).fetchone()[0])

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise self._trouble(error) from error

    def _trouble(self, error: Exception) -> StoreError:
        return StoreError(f"{self.path} cannot be read: {error}")
