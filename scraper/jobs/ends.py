"""What the end of a process means for its planned run: over, tried again, or gone on with. Pure."""

from __future__ import annotations

import signal
import time
from typing import Final

from msgspec.structs import replace

from ..folder import BROKE_RULE, ENDED, FAILED, FINISHED, INTERRUPTED
from .job import DAY, Job
from .record import Attempt, JobRun, State
from .runner import Ended

DEATHS = 5  # in a row without a page more: then it is given up
TIMEOUT, MEMORY = "timeout", "memory"
STOPPED = "the server was stopped"
KILLED = "its process was killed"
DYING = "its process keeps dying"
REMOVED = "its job was removed"
OPEN = "its process exited with {}, and its crawl is not over"
NEWER = "a newer run"  # in the place of a person who stopped a run
USAGE, RULE, INTERRUPT = 2, 3, 130  # exit codes of a crawl
GOOD: Final = (FINISHED, BROKE_RULE)  # states of a crawl that is over
CODES: Final = {FINISHED: 0, FAILED: 1, BROKE_RULE: RULE, INTERRUPTED: INTERRUPT}
# Signals by which people and machines end a process; any other is a crash.
KILLS = frozenset({signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP})


def begun(run: JobRun, now: float) -> JobRun:
    """The run as it is on record before its process is started, with the id of its crawl.

    An id is the time, the planned run and its attempt, so no two are equal.
    """
    run = replace(run, state=State.RUNNING, attempts=run.attempts + 1, pid=0, birth="", why="", exit_code=None)
    if not run.run:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
        run = replace(run, run=f"{stamp}-{run.id}-{run.attempts}", pages=0, items=0, failed=0, bytes=0)
    return replace(run, began=run.began or now, started=now)


def undone(run: JobRun) -> JobRun:
    """A run whose server died before its process was let go: nothing has been done, it waits as before."""
    first = run.attempts <= 1
    run = replace(run, state=State.QUEUED, attempts=max(0, run.attempts - 1), pid=0, birth="", why="")
    return replace(run, run="", began=0.0, started=0.0) if first else run


def attempt(run: JobRun, ended: Ended | None = None, why: str = "") -> Attempt:
    """The attempt that a run is at, begun or ended."""
    made = Attempt(number=run.attempts, run=run.run, pid=run.pid, started=run.started)
    return made if ended is None else replace(made, ended=ended.at, exit_code=_code(ended), why=why)


def verdict(run: JobRun, job: Job | None, ended: Ended, *, stopping: bool = False) -> JobRun:
    """The run after its process has ended; `job` is None when it was removed, `stopping` that the server stops.

    A crawl that is over, and whose process exited with 0 or 3 or was killed behind that, has finished or broken a
    rule, whatever was asked meanwhile. Otherwise a run that was asked to stop is cancelled; one that took too long
    or too much memory has failed, as one that exits 1 or 2 or crashes; it is tried again while `retries` last,
    except after 2, a mistake that stays. Whatever else ended the process (130, a kill that nobody here asked for,
    the machine) has interrupted it: it waits for its turn again at once, and after DEATHS in a row without a page
    more it has failed.
    """
    code = _code(ended)
    after = _counted(run, ended)
    good = code in (0, RULE)
    if ended.state in GOOD and (good or code is None or code < 0):
        finished = code == 0 or (not good and ended.state == FINISHED)
        why = ended.why or ("" if finished else "it broke a rule")
        return over(after, State.FINISHED if finished else State.RULE_BROKEN, ended.at, why, code)
    if run.stop:
        return over(after, State.CANCELLED, ended.at, stopped_by(run), code)
    if run.why in (TIMEOUT, MEMORY):
        return _failed(after, job, ended, run.why)
    if code in (None, INTERRUPT) or -code in KILLS:
        return _interrupted(run, after, job, ended, stopping=stopping)
    return _failed(after, job, ended, OPEN.format(code) if good else ended.why or _said(code))


def stopped_by(run: JobRun) -> str:
    """Who stopped a run, in words."""
    return "a newer run took its place" if run.stopped_by == NEWER else f"stopped by {run.stopped_by}"


def replaced(run: JobRun, at: float) -> JobRun:
    """A run that has waited, ended by a newer one that begins in its place."""
    run = replace(run, stop=run.stop or "cancel", stopped_by=run.stopped_by or NEWER)
    return over(run, State.CANCELLED, at, stopped_by(run))


def over(run: JobRun, state: State, at: float, why: str, code: int | None = None) -> JobRun:
    """The run, ended for good."""
    return replace(run, state=state, ended=at, why=why, exit_code=code, pid=0, birth="")


def _interrupted(run: JobRun, after: JobRun, job: Job | None, ended: Ended, *, stopping: bool) -> JobRun:
    code = _code(ended)
    if job is None:
        return over(after, State.CANCELLED, ended.at, REMOVED, code)
    forward = job.resume and ended.pages > run.pages
    deaths = 0 if forward else run.deaths + (not stopping)
    if stopping:
        return _again(replace(after, deaths=deaths), job, ended, STOPPED)
    if deaths >= DEATHS:
        return over(replace(after, deaths=deaths), State.FAILED, ended.at, DYING, code)
    return _again(replace(after, deaths=deaths), job, ended, ended.why or KILLED)


def _failed(run: JobRun, job: Job | None, ended: Ended, why: str) -> JobRun:
    run = replace(run, failures=run.failures + 1, deaths=0)
    if job is None or run.failures > job.retries or _code(ended) == USAGE:
        return over(run, State.FAILED, ended.at, why, _code(ended))
    return replace(_again(run, job, ended, why), due=ended.at + back_off(job, run.failures))


def back_off(job: Job, failures: int) -> float:
    """Seconds before a retry: `retry_delay`, twice as long with each, but a day at most if that is not less."""
    return min(job.retry_delay * 2.0 ** min(failures - 1, 60), max(DAY, job.retry_delay))


def _again(run: JobRun, job: Job, ended: Ended, why: str) -> JobRun:
    """Waiting once more: with the same crawl where that has not ended and the job resumes, else with a new one."""
    same = job.resume and ended.state not in ENDED
    return replace(run, state=State.QUEUED, run=run.run if same else "", pid=0, birth="", why=why)


def _counted(run: JobRun, ended: Ended) -> JobRun:
    if not ended.state:  # it has not come so far as to leave a record
        return run
    run = replace(run, pages=ended.pages, items=ended.items, failed=ended.failed, bytes=ended.bytes)
    return replace(run, added=ended.added, changed=ended.changed, removed=ended.removed, told=ended.told)


def _code(ended: Ended) -> int | None:
    return CODES.get(ended.state) if ended.exit_code is None else ended.exit_code


def _said(code: int) -> str:
    if code >= 0:
        return f"its process exited with {code}"
    try:
        return f"its process crashed ({signal.Signals(-code).name})"
    except ValueError:
        return f"its process crashed (signal {-code})"
