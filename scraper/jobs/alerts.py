"""Which rules of a job do not hold, or hold again: by a run that has ended, or by the time that passes. Pure.

Usual is the median of the last good runs, at most MOST and at least FEW of them: with fewer nothing is usual, and a
rule that needs it says so in a note and stays as it was. What stays different becomes the usual in a few runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

import msgspec

from .job import DAY, HOUR, MINUTE, Alerts, Job
from .record import BAD, JobRun, Kept, State
from .words import listed, spell

FEW, MOST = 3, 7  # good runs that make something usual
BLOCKS = (401, 403, 407, 429, 503)  # statuses with which a site keeps somebody out
NAMED = 5  # fields and hosts that a text names
LETTERS = 80  # of the name of a field
CLOSE = 1e-9  # what floating point may be off

FAILED, BELOW, ABOVE, COVERAGE = "failed", "items_below", "items_above", "coverage_drop"
ERRORS, BLOCK, LONG, STALE = "error_rate", "block_pages", "longer_than", "no_run_in"
RULES = (FAILED, BELOW, ABOVE, COVERAGE, ERRORS, BLOCK, LONG, STALE)

Pages = Mapping[str, Mapping[int, int]]  # host -> status -> pages
Shares = Mapping[str, float]  # field -> share of the items that have something in it


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run that has ended. None: not known; only what the job's rules ask for needs to be.

    `good` are the good runs before it, newest first. `blocks` are its pages with one of the statuses BLOCKS,
    `blocks_before` those of the last good run, or, while an alert is open, of the last one before that. `untold`:
    what has changed was to be told, and was not.
    """

    run: JobRun
    good: tuple[JobRun, ...] = ()
    shares: Shares | None = None
    usual_shares: tuple[Shares, ...] = ()
    blocks: Pages | None = None
    blocks_before: Pages | None = None
    untold: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """What a rule says: it does not hold (`fires`), or it does; `text` says what is so, `run` (0: none) showed it.

    `least` is how many seconds, besides the job's `every`, lie between two tellings of it.
    """

    rule: str
    fires: bool
    text: str
    run: int = 0
    least: float = 0.0


class Judgement(msgspec.Struct, frozen=True):
    """The rules that say something, and why others do not. Open alerts of rules that are neither stay open."""

    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()


class _Silent(Exception):
    """A rule cannot be asked; the text says why."""


def wanted(alerts: Alerts) -> frozenset[str]:
    """The rules that are turned on."""
    return frozenset(rule for rule in RULES if (value := getattr(alerts, rule)) is not None and value is not False)


def judge(job: Job, facts: Facts) -> Judgement:
    """Ask the rules of a job about a run that has ended, but for what only time tells.

    A run that was cancelled says nothing; one that failed says what is wrong and never that something is right
    again, as it did not come to its end.
    """
    whole = facts.run.state is not State.FAILED
    found, notes = [], []
    for rule, ask in _RULES.items():
        if rule not in wanted(job.alerts) or facts.run.state not in {State.FINISHED, *BAD}:
            continue
        if not whole and rule in _OF_WHOLE:
            continue
        try:
            fires, text = ask(job.alerts, facts)
        except _Silent as why:
            notes.append(f"{rule}: not asked, {why}")
            continue
        if fires or whole:
            found.append(Verdict(rule, fires, text, facts.run.id))
    return Judgement(tuple(found), tuple(notes))


def taking_long(job: Job, run: JobRun, now: float) -> Verdict | None:
    """Whether a run that is not over has lasted too long since it began; None when it has not, or may."""
    limit = job.alerts.longer_than
    if limit is None or not run.open or not run.began or now - run.began < limit:
        return None
    where = "" if run.state is State.RUNNING else f", and now waits to go on ({run.why or 'for its turn'})"
    so_far = f"so far {_count(run.pages, 'page')} and {_count(run.items, 'item')}" if run.pages else ""
    text = f"run {run.id} has lasted {span(now - run.began)}, longer than {span(limit)}{where}"
    return Verdict(LONG, True, "; ".join(filter(None, [text, so_far])), run.id, limit)


def stale(kept: Kept, good: JobRun | None, last: JobRun | None, since: float, now: float) -> Verdict | None:
    """Whether no run has ended well for too long; None when the job has no such rule.

    `good` is the last good run, `last` the last one that is over at all; without a good one it counts from `since`.
    A pause is no excuse, since nobody notices a pause that was forgotten; the text says that there is one.
    """
    limit = kept.job.alerts.no_run_in
    if limit is None:
        return None
    passed = now - (good.ended if good else since)
    if passed < limit:
        return Verdict(STALE, False, f"run {good.id} finished" if good else "not so long", good.id if good else 0)
    said = [f"no run has ended well for {span(passed)}, longer than {span(limit)}"]
    if last is not None and (good is None or last.id != good.id):
        why = f" ({last.why})" if last.why else ""
        said.append(f"the last one, run {last.id}, is {last.state.replace('_', ' ')}{why}")
    if good is None:
        said.append("none ever has")
    if kept.paused:
        said.append(f"the job is paused{f' ({kept.paused_why})' if kept.paused_why else ''}")
    return Verdict(STALE, True, "; ".join(said), last.id if last else 0, limit)


# Each gives whether it does not hold, and what is so.


def _failed(alerts: Alerts, facts: Facts) -> tuple[bool, str]:
    run = facts.run
    if run.state is State.FINISHED:
        said = f"run {run.id} finished with {_items(facts)}"
        return (True, f"{said}, but {run.why}") if facts.untold else (False, said)
    what = "broke a rule" if run.state is State.RULE_BROKEN else "failed"
    tries = f" after {run.attempts} attempts" if run.attempts > 1 else ""
    return True, f"run {run.id} {what}{tries}: {run.why or 'nobody knows why'}; {_items(facts)}"


def _below(alerts: Alerts, facts: Facts) -> tuple[bool, str]:
    usual, factor = _usual_items(facts), alerts.items_below or 0.0
    fires = facts.run.items < factor * usual - CLOSE
    limit = f", less than {factor:g} times that" if fires else ""
    return fires, f"run {facts.run.id} has {_items(facts)}{limit}"


def _above(alerts: Alerts, facts: Facts) -> tuple[bool, str]:
    usual, factor = _usual_items(facts), alerts.items_above or 0.0
    fires = facts.run.items > factor * usual + CLOSE
    limit = f", more than {factor:g} times that" if fires else ""
    return fires, f"run {facts.run.id} has {_items(facts)}{limit}"


def _coverage(alerts: Alerts, facts: Facts) -> tuple[bool, str]:
    drop = alerts.coverage_drop or 0.0
    if facts.shares is None:
        raise _Silent("it is not known how often the fields of its items are filled in")
    if not facts.run.items:
        raise _Silent("it has no items")
    _enough(len(facts.usual_shares), "whose fields are known")
    fallen = sorted(_fallen(facts.shares, facts.usual_shares, drop))
    if not fallen:
        return False, f"run {facts.run.id} has its fields filled in as usual"
    told = [
        f"{field[:LETTERS]} in {now:.1%} of the items, usually {usual:.1%}"
        for _, field, now, usual in fallen[:NAMED]
    ]
    return True, f"run {facts.run.id} has fields filled in less often: {_listed(told, len(fallen))}"


def _fallen(shares: Shares, before: Sequence[Shares], drop: float) -> Iterator[tuple[float, str, float, float]]:
    """Minus by how much, field, share now, usual share; the largest fall sorts first."""
    for field in dict.fromkeys(field for each in before for field in each):
        usual = median(each.get(field, 0.0) for each in before)
        now = shares.get(field, 0.0)
        if now < usual and usual - now >= drop - CLOSE:
            yield now - usual, field, now, usual


def _errors(alerts: Alerts, facts: Facts) -> tuple[bool, str]:
    run, limit = facts.run, alerts.error_rate or 0.0
    answered = run.pages + run.failed
    if not answered:
        raise _Silent("no page was answered")
    rate = run.failed / answered
    usual = median(_rate(each) for each in facts.good) if len(facts.good) >= FEW else None
    said = f", usually {usual:.1%}" if usual is not None else ""
    beyond = f", more than {limit:.1%}" if rate > limit + CLOSE else ""
    return bool(beyond), f"run {run.id} failed on {run.failed:,} of {answered:,} pages ({rate:.1%}{said}){beyond}"


def _rate(run: JobRun) -> float:
    return run.failed / (run.pages + run.failed) if run.failed else 0.0


def _blocks(alerts: Alerts, facts: Facts) -> tuple[bool, str]:
    if facts.blocks is None:
        raise _Silent("the statuses of its pages are not known")
    if not facts.blocks:
        return False, f"run {facts.run.id} was kept out nowhere"
    if facts.blocks_before is None:
        raise _Silent("there is no good run to compare with")
    new = [
        (-pages, f"{host} answered {status} to {_count(pages, 'page')}")
        for host, statuses in facts.blocks.items()
        for status, pages in statuses.items()
        if status not in facts.blocks_before.get(host, ())
    ]
    if not new:
        return False, f"run {facts.run.id} was kept out nowhere where the last good run was not"
    told = [text for _, text in sorted(new)[:NAMED]]
    return True, f"run {facts.run.id} was kept out: {_listed(told, len(new))}; the last good run was not"


def _long(alerts: Alerts, facts: Facts) -> tuple[bool, str]:
    run, limit = facts.run, alerts.longer_than or 0.0
    took = run.ended - run.began
    usual = f", usually {span(_median([each.ended - each.began for each in facts.good]))}" if facts.good else ""
    beyond = f", longer than {span(limit)}" if took >= limit else ""
    return bool(beyond), f"run {run.id} took {span(took)}{usual}{beyond}"


_RULES: dict[str, Callable[[Alerts, Facts], tuple[bool, str]]] = {
    FAILED: _failed, BELOW: _below, ABOVE: _above, COVERAGE: _coverage, ERRORS: _errors, BLOCK: _blocks,
    LONG: _long,
}  # fmt: skip
_OF_WHOLE = frozenset({BELOW, ABOVE, COVERAGE})  # what a crawl that was cut off has is no measure of these


def _usual_items(facts: Facts) -> float:
    _enough(len(facts.good), "before it")
    return _median([run.items for run in facts.good])


def _enough(number: int, which: str) -> None:
    if number < FEW:
        raise _Silent(f"it needs {FEW} good runs {which} and there {'is' if number == 1 else 'are'} {number}")


def _items(facts: Facts) -> str:
    """`12 items, usually 980`."""
    usual = f", usually {_median([run.items for run in facts.good]):,.10g}" if len(facts.good) >= FEW else ""
    return f"{_count(facts.run.items, 'item')}{usual}"


def _median(numbers: Sequence[float]) -> float:
    return float(median(numbers))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def _listed(told: list[str], number: int) -> str:
    return listed(told if number == len(told) else [*told, f"{number - len(told)} more"])


def span(seconds: float) -> str:
    """A duration for people, as exact as they want it: `2 days 3 hours`, `48 minutes 5 seconds`."""
    for unit in (DAY, HOUR, MINUTE):
        if seconds >= unit:
            part = {DAY: HOUR, HOUR: MINUTE, MINUTE: 1.0}[unit]
            return spell(seconds // part * part)
    return spell(round(max(0.0, seconds)) if seconds >= 1 else round(max(0.0, seconds), 1))
