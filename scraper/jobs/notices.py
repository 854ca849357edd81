"""What the store keeps for people: who did what, what they are to be told, and by which way."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from ..errors import StoreError
from .file import LARGEST, File, Row, columns, marks, value
from .record import Act, Alert, Delivery
from .runs import note

_ACT, _ALERT, _DELIVERY = columns(Act), columns(Alert), columns(Delivery)
_OWED = "sent = 0 AND given_up = 0"
_IDS = ("alerts", "recovered")  # kept as JSON


class Notices(File):
    """The verbs about the audit log, alerts and their deliveries. All raise StoreError."""

    def act(self, act: Act) -> Act:
        """Write a line of the audit log; gives it with its id."""
        with self.change() as base:
            return replace(act, id=note(base, act))

    def acts(self, before: int | None = None, limit: int = 50, *, job: str = "") -> list[Act]:
        """A page of the audit log, newest first; the next one is `before` the id of the last."""
        return [value(Act, row) for row in self._newest("act", _ACT, before, limit, job)]

    def raise_alert(self, alert: Alert) -> Alert:
        """Keep an alert; gives it with its id."""
        with self.change() as base:
            return replace(alert, id=_insert(base, "alert", _ALERT, _plain(alert)))

    def keep_alert(self, alert: Alert) -> None:
        """Write how an open alert stands: its text, newest run, when it is told. One that has ended stays so."""
        with self.change() as base:
            base.execute(
                "UPDATE alert SET text = ?, last = ?, times = ?, told = ? WHERE id = ? AND ended = 0",
                (alert.text, alert.last, alert.times, alert.told, alert.id),
            )

    def end_alert(
        self, id: int, now: float, deliveries: Sequence[Delivery] = (), *, ending: str = "", last: int = 0
    ) -> bool:
        """Note that what an alert told of has recovered, and queue who is told; false when it was noted before.

        `ending` says how, `last` is the run that showed it.
        """
        with self.change() as base:
            done = base.execute(
                "UPDATE alert SET ended = ?, ending = ?, last = max(last, ?) WHERE id = ? AND ended = 0",
                (now, ending, last, id),
            )
            if done.rowcount:
                _queue(base, deliveries)
            return bool(done.rowcount)

    def alert(self, id: int) -> Alert | None:
        """One alert, None when it is there no more."""
        found = self.row(f"SELECT {_ALERT} FROM alert WHERE id = ?", id)
        return None if found is None else value(Alert, found)

    def alerts(self, before: int | None = None, limit: int = 50, *, job: str = "") -> list[Alert]:
        """A page of alerts, newest first; the next one is `before` the id of the last."""
        return [value(Alert, row) for row in self._newest("alert", _ALERT, before, limit, job)]

    def open_alerts(self, job: str = "") -> list[Alert]:
        """The alerts of a job (no name: of all jobs) that have not recovered, oldest first."""
        which, values = (" AND job = ?", [job]) if job else ("", [])
        text = f"SELECT {_ALERT} FROM alert WHERE ended = 0{which} ORDER BY id"
        return [value(Alert, row) for row in self.rows(text, *values)]

    def last_alert(self, job: str, rule: str, *, told: bool = False) -> Alert | None:
        """The newest alert of a job by a rule; with `told` the newest that was told."""
        which = " AND told > 0" if told else ""
        found = self.row(
            f"SELECT {_ALERT} FROM alert WHERE job = ? AND rule = ?{which} ORDER BY id DESC LIMIT 1", job, rule
        )
        return None if found is None else value(Alert, found)

    def untold(self) -> list[Alert]:
        """The alerts that nobody has been told of yet, oldest first."""
        return [value(Alert, row) for row in self.rows(f"SELECT {_ALERT} FROM alert WHERE told = 0 ORDER BY id")]

    def deliver(
        self, deliveries: Sequence[Delivery], *, now: float = 0.0, told: Iterable[int] = ()
    ) -> list[Delivery]:
        """Queue messages, and mark alerts as told at `now`: both or neither. Gives them with their ids."""
        with self.change() as base:
            base.executemany("UPDATE alert SET told = ? WHERE id = ?", [(now, id) for id in told])
            return _queue(base, deliveries)

    def unjudged(self, most: int = 1000) -> list[int]:
        """The ids of runs that have ended and whose job's rules have not been asked what to tell, oldest first."""
        return [id for (id,) in self.rows("SELECT id FROM judged WHERE at = 0 ORDER BY id LIMIT ?", most)]

    def judge(self, run: int, now: float, notes: Sequence[str]) -> bool:
        """Note that a run was judged, and what kept a rule from being asked; false when it was noted before.

        To be done in one transaction (`change`) with what comes of it.
        """
        with self.change() as base:
            told = msgspec.json.encode(notes).decode()
            values = (now or 1.0, told, run)
            done = base.execute("UPDATE judged SET at = ?, notes = ? WHERE id = ? AND at = 0", values)
            return bool(done.rowcount)

    def notes(self, run: int) -> list[str] | None:
        """Which rules were not asked when a run was judged, and why; None when it was not judged."""
        found = self.row("SELECT notes FROM judged WHERE id = ? AND at > 0", run)
        return None if found is None else msgspec.json.decode(found[0], type=list[str])

    def join(self, id: int, more: Delivery) -> None:
        """Let a message that nobody has tried to send tell the alerts of another one too."""
        with self.change() as base:
            found = base.execute(f"SELECT {_DELIVERY} FROM delivery WHERE id = ? AND tries = 0", (id,)).fetchone()
            if found is None:
                raise StoreError(f"message {id} is on its way, or not there any more")
            before = _delivery(found)
            alerts, recovered = before.alerts + more.alerts, before.recovered + more.recovered
            self.update_delivery(replace(before, alerts=alerts, recovered=recovered))

    def delivery(self, id: int) -> Delivery | None:
        """One message, None when it is there no more."""
        found = self.row(f"SELECT {_DELIVERY} FROM delivery WHERE id = ?", id)
        return None if found is None else _delivery(found)

    def owed(self, channel: str = "") -> list[Delivery]:
        """The messages (to a channel) that are neither sent nor given up, the longest due first."""
        which, values = (" AND channel = ?", [channel]) if channel else ("", [])
        text = f"SELECT {_DELIVERY} FROM delivery WHERE {_OWED}{which} ORDER BY due"
        return [_delivery(row) for row in self.rows(text, *values)]

    def update_delivery(self, delivery: Delivery) -> None:
        """Write how a message stands; one that was sent or given up stays so."""
        names = columns(Delivery).split(", ")[1:]
        places = ", ".join(f"{name} = ?" for name in names)
        with self.change() as base:
            base.execute(f"UPDATE delivery SET {places} WHERE id = ? AND {_OWED}", [*_plain(delivery), delivery.id])

    def deliveries(self, before: int | None = None, limit: int = 50, *, given_up: bool = False) -> list[Delivery]:
        """A page of messages, newest first, with `given_up` only those; the next is `before` the id of the last."""
        which = ["given_up > 0"] if given_up else []
        return [_delivery(row) for row in self._newest("delivery", _DELIVERY, before, limit, "", which)]

    def _newest(
        self, table: str, names: str, before: int | None, limit: int, job: str, which: Sequence[str] = ()
    ) -> list[Row]:
        where = [*which] + (["job = ?"] if job else []) + (["id < ?"] if before is not None else [])
        values = ([job] if job else []) + ([min(before, LARGEST)] if before is not None else [])
        only = f" WHERE {' AND '.join(where)}" if where else ""
        return self.rows(f"SELECT {names} FROM {table}{only} ORDER BY id DESC LIMIT ?", *values, limit)


def _plain(made: Alert | Delivery) -> list[Any]:
    """All columns but the id, as SQLite takes them."""
    values = [getattr(made, name) for name in made.__struct_fields__[1:]]
    return [msgspec.json.encode(each).decode() if isinstance(each, tuple) else each for each in values]


def _insert(base: sqlite3.Connection, table: str, names: str, values: Sequence[Any]) -> int:
    text = f"INSERT INTO {table} ({names.partition(', ')[2]}) VALUES ({marks(len(values))})"
    return base.execute(text, values).lastrowid or 0


def _queue(base: sqlite3.Connection, deliveries: Iterable[Delivery]) -> list[Delivery]:
    return [replace(each, id=_insert(base, "delivery", _DELIVERY, _plain(each))) for each in deliveries]


def _delivery(row: Row) -> Delivery:
    pairs = zip(Delivery.__struct_fields__, row, strict=True)
    return value(Delivery, [msgspec.json.decode(each) if name in _IDS else each for name, each in pairs])
