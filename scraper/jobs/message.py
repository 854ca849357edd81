"""What people are told, as one value: JSON for webhooks and commands, text for mail and for reading."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import msgspec

from ..errors import ScraperError
from ..logs import clean
from .alerts import STALE
from .job import Server
from .record import Alert, Delivery
from .store import Jobs

SCHEMA = 1  # of the JSON; a reader may rely on what one number means, new members may come
OPEN, RECOVERED = "open", "recovered"
SERVER = "server"  # what an alert is of that no job has
LONGEST = 1000  # characters of a text
MOST = 200  # alerts of which one message tells all; of more it tells the number
TITLE = 150  # characters of a title


class Untold(ScraperError):
    """A message could not be handed over; the text, which has no secrets, says why. `after`: seconds to wait."""

    def __init__(self, text: str, after: float = 0.0) -> None:
        super().__init__(text)
        self.after = after


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of a message; `job` is "" for one of the server itself.

    Times are in seconds since 1970; `ended` is 0 while `state` is "open".
    """

    id: int
    job: str
    rule: str
    state: str
    text: str
    run: int = 0  # 0: none
    at: float  # since when the rule does not hold
    ended: float = 0.0
    ending: str = ""
    times: int = 1  # how many runs broke the rule
    link: str = ""
    type: str = ""  # a command that shows more


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one channel. `delivery` tells it from all others of this store, and stays when it is sent
    again; `at` is when it was first tried.
    """

    schema: int = SCHEMA
    delivery: int
    at: float
    title: str
    text: str
    test: bool = False
    more: int = 0  # alerts that are left out
    alerts: tuple[Told, ...] = ()


def written(store: Jobs, delivery: Delivery, now: float) -> Message:
    """What a message says at its first try, from its alerts as they stand. Raises StoreError."""
    server = store.server()
    raised = [alert for id in delivery.alerts if (alert := store.alert(id)) is not None]
    over = [alert for id in delivery.recovered if (alert := store.alert(id)) is not None]
    told = [_told(alert, server, ended=alert.ended > 0) for alert in raised]
    told += [_told(alert, server, ended=True) for alert in over]
    few = tuple(told[:MOST])
    return Message(
        delivery=delivery.id, at=round(now, 3), title=title(few), text=text_of(few, len(told) - len(few)),
        more=len(told) - len(few), alerts=few,
    )  # fmt: skip


def example(server: Server, channel: str, now: float) -> Message:
    """What a test says."""
    text = f"This is a test of channel {channel!r}: what tells of jobs arrives."
    where = f"\n  {server.address.rstrip('/')}/" if server.address else ""
    return Message(delivery=0, at=round(now, 3), title=f"test of channel {channel}", text=text + where, test=True)


def _told(alert: Alert, server: Server, *, ended: bool) -> Told:
    page = f"runs/{alert.last}" if alert.last else f"jobs/{alert.job}" if alert.job else "alerts"
    return Told(
        id=alert.id, job=alert.job, rule=alert.rule, state=RECOVERED if ended else OPEN, text=_short(alert.text),
        run=alert.last, at=alert.at, ended=alert.ended if ended else 0.0,
        ending=_short(alert.ending) if ended else "", times=alert.times,
        link=f"{server.address.rstrip('/')}/{page}" if server.address else "", type=command(alert),
    )  # fmt: skip


def command(alert: Alert) -> str:
    """What to type to see more."""
    if alert.last and alert.rule != STALE:
        return f"scraper jobs log {alert.last}"
    return f"scraper jobs show {alert.job}" if alert.job else "scraper jobs alerts"


def title(told: Sequence[Told]) -> str:
    """One line: `shop: failed`, `3 alerts, 1 recovered: books, shop`."""
    if len(told) == 1:
        only = told[0]
        return f"{only.job or SERVER}: {only.rule}{' has recovered' if only.state == RECOVERED else ''}"
    over = sum(each.state == RECOVERED for each in told)
    counted = [f"{len(told) - over} alert{'s' if len(told) - over != 1 else ''}"] if len(told) > over else []
    counted += [f"{over} recovered"] if over else []
    names = ", ".join(sorted({each.job or SERVER for each in told}))
    line = f"{', '.join(counted)}: {names}"
    return line if len(line) <= TITLE else f"{line[: TITLE - 1]}…"


def text_of(told: Iterable[Told], more: int = 0) -> str:
    """Alerts for people to read, and how many more there are."""
    parts = ["\n".join(_lines(each)) for each in told]
    if more:
        parts.append(f"and {more:,} more: see all with `scraper jobs alerts`")
    return "\n\n".join(parts)


def _lines(told: Told) -> list[str]:
    times = f", {told.times} runs so far" if told.times > 1 else ""
    since = f"since {moment(told.at)}{times}"
    if told.state == RECOVERED:
        lines = [f"{told.job or SERVER}: {told.rule} has recovered", f"  {told.ending}"]
        lines += [f"  it was: {told.text} ({since}, until {moment(told.ended)})"]
    else:
        lines = [f"{told.job or SERVER}: {told.rule}", f"  {told.text}", f"  {since}"]
    if told.link:
        lines.append(f"  {told.link}")
    return [*lines, f"  more: {told.type}"]


def moment(at: float) -> str:
    """A wall-clock second for people anywhere: `2026-03-01 08:30 UTC`."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))


def _short(text: str) -> str:
    text = clean(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
