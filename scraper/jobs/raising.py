"""What the store is to say of verdicts: alerts that are open or have recovered, and the messages that tell them.

All of it is one transaction with the mark that a run was judged, so a kill loses nothing and tells nothing twice.
When a message is due says what holds it back: others that come soon and go with it (GROUP), `every`, quiet hours.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from ..convert import Unfit
from ..errors import UsageError
from .alerts import STALE, Judgement, Verdict, wanted
from .job import Job, Server
from .record import Alert, Delivery, JobRun, Kept
from .store import Jobs
from .windows import Window, free, windows
from .zones import zone_named

SERVER = Job(name="", spider="")  # stands for the server, which has alerts of its own and tells all channels
GROUP = 30.0  # seconds in which what comes for one channel becomes one message
MANY = 100  # steps through quiet hours


def settle(store: Jobs, run: JobRun, judgement: Judgement, now: float) -> bool:
    """Write down what came of judging a run that has ended; false when that was done before. Raises StoreError."""
    with store.change():
        if not store.judge(run.id, now, judgement.notes):
            return False
        kept = _kept(store, run.job)
        if kept is not None:
            _turned_off(store, kept.job, now)
            tell(store, kept.job, judgement.verdicts, now)
    return True


def tell(store: Jobs, job: Job, verdicts: Iterable[Verdict], now: float) -> None:
    """Open, keep or end the alerts of a job as these say, and queue what people are to hear of it."""
    with store.change():
        server = store.server()
        opened = {alert.rule: alert for alert in store.open_alerts(job.name) if alert.job == job.name}
        for verdict in verdicts:
            alert = opened.get(verdict.rule)
            if verdict.fires:
                _fire(store, server, job, verdict, alert, now)
            elif alert is not None:
                _recover(store, server, job, verdict, alert, now)


def close(store: Jobs, job: Job, rule: str, why: str, now: float) -> None:
    """End an alert that means nothing any more, and tell nobody."""
    with store.change():
        for alert in store.open_alerts(job.name):
            if alert.rule == rule:
                store.end_alert(alert.id, now, ending=why)


def _kept(store: Jobs, name: str) -> Kept | None:
    try:
        return store.job(name)
    except UsageError:  # it was removed, and with it its alerts
        return None


def _turned_off(store: Jobs, job: Job, now: float) -> None:
    for alert in store.open_alerts(job.name):
        if alert.rule not in wanted(job.alerts):
            store.end_alert(alert.id, now, ending="the rule was turned off")


def _fire(store: Jobs, server: Server, job: Job, verdict: Verdict, alert: Alert | None, now: float) -> None:
    names = channels(server, job)
    if alert is None:
        before = store.last_alert(job.name, verdict.rule, told=True)
        alert = Alert(job=job.name, rule=verdict.rule, run=verdict.run, last=verdict.run, at=now, text=verdict.text)
        alert = store.raise_alert(alert)
        when = _next(before, max(job.alerts.every, verdict.least), now)
    elif not names or (alert.told and now < alert.told + max(job.alerts.every, verdict.least)):
        if verdict.run != alert.last:
            store.keep_alert(_again(alert, verdict))
        return
    else:
        alert, when = _again(alert, verdict), now
    told = 0.0
    for channel in names:
        owing = [each for each in store.owed(channel) if alert.id in each.alerts]
        due = owing[0].due if owing else _queue(store, job, channel, alert.id, when, recovered=False)
        told = min(told or due, due)
    store.keep_alert(replace(alert, told=told or alert.told))


def _again(alert: Alert, verdict: Verdict) -> Alert:
    """An open alert whose rule still does not hold."""
    more = int(verdict.run != alert.last and verdict.rule != STALE)
    return replace(alert, text=verdict.text, last=verdict.run, times=alert.times + more)


def _next(before: Alert | None, every: float, now: float) -> float:
    """When a rule that was told before may be told again; together with what is still to be told of it."""
    if before is None:
        return now
    return before.told if before.told > now else max(now, before.told + every)


def _recover(store: Jobs, server: Server, job: Job, verdict: Verdict, alert: Alert, now: float) -> None:
    """Tell those who were told; who is still to be told hears both in one."""
    store.end_alert(alert.id, now, ending=verdict.text, last=verdict.run)
    if not alert.told:
        return
    for channel in channels(server, job):
        if not any(alert.id in each.alerts and not each.tries for each in store.owed(channel)):
            _queue(store, job, channel, alert.id, now, recovered=True)


def _queue(store: Jobs, job: Job, channel: str, alert: int, when: float, *, recovered: bool) -> float:
    """Put an alert into a message to a channel, not before `when`; gives when that is due."""
    hours = Quiet(job)
    earliest = hours.free(when)
    new = Delivery(channel=channel, due=earliest)
    new = replace(new, recovered=(alert,)) if recovered else replace(new, alerts=(alert,))
    for each in store.owed(channel):
        if not each.tries and earliest <= each.due <= earliest + GROUP and hours.free(each.due) == each.due:
            store.join(each.id, new)
            return each.due
    later = earliest + GROUP
    due = later if earliest == when and hours.free(later) == later else earliest
    store.deliver([replace(new, due=due)])
    return due


def channels(server: Server, job: Job) -> list[str]:
    """The channels by which a job tells: those it names that are still there, else all."""
    return [name for name in server.channels if name in (job.alerts.to or server.channels)]


class Quiet:
    """The times in which nobody is to hear of a job; none where they cannot be read any more."""

    def __init__(self, job: Job) -> None:
        self._windows: tuple[Window, ...] = ()
        try:
            self._zone = zone_named(job.timezone)
            self._windows = windows(job.alerts.quiet, "quiet")
        except (Unfit, UsageError):
            return

    def free(self, t: float) -> float:
        """The first moment from `t` on that is in none of them."""
        return free(t, self._windows, self._zone) if self._windows else t


def held(store: Jobs, delivery: Delivery, when: float) -> float:
    """When a message may be sent, not before `when`: outside the quiet hours of all jobs that it tells of."""
    names = {alert.job for id in (*delivery.alerts, *delivery.recovered) if (alert := store.alert(id)) is not None}
    hours = [Quiet(kept.job) for name in sorted(names) if (kept := _kept(store, name)) is not None]
    found = when
    for _ in range(MANY):
        later = max((each.free(found) for each in hours), default=found)
        if later == found:
            return found
        found = later
    return when  # quiet hours of several jobs leave no time free: they hold nothing back
