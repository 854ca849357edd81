"""Puts failed requests of a run that has ended back into its queue, in one transaction.

Their failures become attempts. What the next process reads is made true again: the counts of the run, the places
under `max_pages`, and the health of hosts that would refuse them at once. Items stay: nothing is repeated.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from ..errors import StoreError
from ..outcome import End
from ..reasons import Reason
from ..request import Request, altered
from ..url import origin
from . import schema
from .entries import Selection
from .lanes import rank

CHUNK = 1_000  # rows
REFUSED = frozenset({Reason.HOST_DOWN.value, Reason.ROBOTS_UNREACHABLE.value})  # by the gate, perhaps never sent
ILL = ("down", "trial", "trips", "failures")  # what a host's breaker knows; that it asked for a rest stays

_request = msgspec.json.Decoder(Request)
_pack = msgspec.msgpack.encode
_unpack = msgspec.msgpack.decode


def put_back(path: Path, wanted: Sequence[Selection] = (), *, unknown: bool = False) -> int:
    """Queue the failed requests of some selections again (none: all); gives how many. Raises StoreError.

    Those that failed because nobody knows whether they were sent only with `unknown`. No process may have the run.
    """
    base = schema.connect(path, power=True)
    with closing(base):
        try:
            base.execute("BEGIN IMMEDIATE")
            number = _Revival(base).put_back(_where(wanted, unknown))
            base.execute("COMMIT" if number else "ROLLBACK")
        except sqlite3.Error as error:
            raise StoreError(schema.trouble(path, error)) from error
        except msgspec.MsgspecError as error:
            raise StoreError(f"{path} has a row that cannot be read ({error}); start anew with --fresh") from error
        finally:
            if base.in_transaction:
                base.execute("ROLLBACK")
    return number


def _where(wanted: Sequence[Selection], unknown: bool) -> tuple[str, list[Any]]:
    parts, values = [], []
    for each in wanted:
        condition, given = each.where(0.0)
        parts.append(f"({condition})")
        values += given
    where = f"({' OR '.join(parts)})" if parts else "1"
    if not unknown:
        where += " AND a.reason <> ?"
        values.append(Reason.UNKNOWN.value)
    return where, values


class _Revival:
    """One transaction; what it has done to the counts is written at its end."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base
        self._reasons: Counter[str] = Counter()
        self._causes: Counter[tuple[str, str, str]] = Counter()
        self._hosts: Counter[str] = Counter()  # places that are free again, by host
        self._origins: set[str] = set()

    def put_back(self, where: tuple[str, list[Any]]) -> int:
        """Move the rows, then mend the facts; gives how many rows there were."""
        for rows in self._failed(*where):
            self._move(rows)
        if self._reasons:
            self._counts()
            self._places()
            self._servers()
        return self._reasons.total()

    def _failed(self, where: str, values: list[Any]) -> Iterator[list[Any]]:
        query = (
            "SELECT r.id, r.host, h.name, r.url, r.data, a.at, a.reason, a.detail, a.status, a.tries, a.place"
            " FROM answer a JOIN request r ON r.id = a.id JOIN host h ON h.id = r.host"
            f" WHERE a.end = 'failed' AND a.id > ? AND {where} ORDER BY a.id LIMIT {CHUNK}"
        )
        token = 0
        while rows := self._base.execute(query, (token, *values)).fetchall():
            yield rows
            token = rows[-1][0]

    def _move(self, rows: list[Any]) -> None:
        queue, attempts = [], []
        for token, lane, host, url, data, at, reason, detail, status, tries, place in rows:
            request = _request.decode(data)
            # A place was taken where its redirects began, and was given to it; any other takes a new one.
            counted = bool(request.hops)
            queue.append((token, lane, rank(altered(request, counted=counted)), counted))
            attempts.append((token, at, reason, detail, status))
            self._reasons[reason] += 1
            shown = detail.replace(url, "") if place or reason == Reason.STATUS else ""
            self._causes[reason, shown, place] += 1
            self._hosts[host] += not counted and (tries > 0 or reason not in REFUSED)
            self._origins.add(origin(url))
        self._base.executemany(
            "INSERT INTO queue (id, lane, rank, due, tries, counted) VALUES (?, ?, ?, 0, 0, ?)", queue
        )
        self._base.executemany("INSERT INTO attempt VALUES (?, ?, ?, ?, ?)", attempts)
        self._base.executemany("DELETE FROM answer WHERE id = ?", [row[:1] for row in rows])

    def _counts(self) -> None:
        """A failure that another try follows is counted as such."""
        stats = self._fact("crawl", "stats")
        if stats is not None:
            counts = Counter({(end, reason): number for end, reason, number in stats["reasons"]})
            for reason, number in self._reasons.items():
                counts[End.FAILED.value, reason] -= number
                counts[End.RETRY.value, reason] += number
            stats["reasons"] = [(*key, number) for key, number in counts.items() if number > 0]
            self._keep("crawl", "stats", stats)
        causes = self._fact("crawl", "causes")
        if causes is not None:
            known = {(each["reason"], _shown(each), each["where"]): each for each in causes}
            for (reason, detail, place), number in self._causes.items():
                cause = known.get((reason, detail, place)) or known.get((reason, "", ""))
                if cause is not None:
                    cause["count"] -= number
            self._keep("crawl", "causes", [each for each in causes if each["count"] > 0])

    def _places(self) -> None:
        limits = self._fact("crawl", "limits")
        if limits is not None:
            begun, *rest = limits
            self._keep("crawl", "limits", [max(0, begun - self._hosts.total()), *rest])
        self._base.execute("DELETE FROM fact WHERE kind = 'crawl' AND key = 'over'")  # what the spider said then

    def _servers(self) -> None:
        """Nothing is refused for what was true of a host in an earlier process; a rest it asked for is kept."""
        for host, places in self._hosts.items():
            kept = self._fact("host", host)
            if kept is not None:
                kept["pages"] = max(0, kept.get("pages", 0) - places)
                self._keep("host", host, {key: value for key, value in kept.items() if key not in ILL})
        for place in self._origins:
            known = self._fact("robots", place)
            if known is not None and known[0] is None:
                self._base.execute("DELETE FROM fact WHERE kind = 'robots' AND key = ?", (place,))

    def _fact(self, kind: str, key: str) -> Any:
        row = self._base.execute("SELECT data FROM fact WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return None if row is None else _unpack(row[0])

    def _keep(self, kind: str, key: str, data: Any) -> None:
        self._base.execute("INSERT OR REPLACE INTO fact VALUES (?, ?, ?)", (kind, key, _pack(data)))


def _shown(cause: dict[str, Any]) -> str:
    """The detail by which causes are told apart, as the counts of the run have it."""
    told = cause["where"] or cause["reason"] == Reason.STATUS
    return str(cause["detail"]).replace(cause["url"], "") if told else ""
