"""What the end of a process means."""

from __future__ import annotations

from typing import Any

import pytest

from scraper.jobs import ends
from scraper.jobs.job import DAY, Job
from scraper.jobs.record import JobRun, State
from scraper.jobs.runner import Ended

NOW = 1_767_268_800.0
JOB = Job(name="shop", spider="shop", retries=2)
RUN = JobRun(
    id=7, job="shop", spider="shop", planned=NOW, state=State.RUNNING, attempts=1, run="r1", pid=5, birth="b",
    started=NOW,
)  # fmt: skip


def after(code: int | None, state: str = "", *, job: Job | None = JOB, **fields: Any) -> JobRun:
    """What the run has become."""
    stopping = fields.pop("stopping", False)
    pages = fields.pop("new_pages", 0)
    run = JobRun(**{**{name: getattr(RUN, name) for name in RUN.__struct_fields__}, **fields})
    return ends.verdict(run, job, Ended(at=NOW + 10, exit_code=code, state=state, pages=pages), stopping=stopping)


@pytest.mark.parametrize(
    ("code", "state", "expected"),
    [
        (0, "finished", "finished"), (3, "rule_broken", "rule_broken"), (1, "failed", "queued"), (2, "", "failed"),
        (-11, "running", "queued"), (130, "interrupted", "queued"), (-9, "running", "queued"),
        (None, "finished", "finished"), (None, "failed", "queued"), (None, "rule_broken", "rule_broken"),
        (None, "interrupted", "queued"), (None, "running", "queued"), (None, "", "queued"),
    ],
)  # fmt: skip
def test_an_exit_code_or_the_record_of_the_crawl_says_what_has_become_of_it(
    code: int | None, state: str, expected: str
) -> None:
    assert after(code, state).state == State(expected)


@pytest.mark.parametrize(("code", "state"), [(0, "running"), (0, ""), (3, "running"), (0, "interrupted")])
def test_a_good_exit_code_of_a_crawl_that_is_not_over_is_a_failure(code: int, state: str) -> None:
    run = after(code, state, failures=2)
    assert (run.state, run.exit_code) == (State.FAILED, code)
    assert run.why == f"its process exited with {code}, and its crawl is not over"


@pytest.mark.parametrize(("code", "state"), [(-9, "finished"), (-11, "finished"), (-15, "rule_broken")])
def test_a_crawl_that_was_over_when_its_process_was_killed_is_not_done_again(code: int, state: str) -> None:
    assert (after(code, state).state, after(code, state).exit_code) == (State(state), code)


def test_what_a_good_run_has_to_say_is_kept() -> None:
    ended = Ended(at=NOW, exit_code=0, state="finished", why="what changed is not known: no key")
    assert ends.verdict(RUN, JOB, ended).why == "what changed is not known: no key"


def test_a_failure_is_tried_again_later_and_later_until_its_retries_are_used_up() -> None:
    first, second, third = (after(1, "failed", failures=number) for number in range(3))
    assert (first.failures, first.due, second.due) == (1, NOW + 10 + 60, NOW + 10 + 120)
    assert (third.state, third.why) == (State.FAILED, "its process exited with 1")
    assert ends.back_off(JOB, 5000) == DAY


def test_a_retry_goes_on_with_a_crawl_that_has_not_ended_and_else_begins_a_new_one() -> None:
    assert after(-11, "running").run == "r1"
    assert after(1, "failed").run == ""
    assert after(-11, "running", job=Job(name="shop", spider="shop", retries=1, resume=False)).run == ""
    assert ends.begun(after(1, "failed"), NOW).run.endswith("-7-2")


def test_a_kill_that_nobody_asked_for_goes_on_at_once_and_counts_as_no_failure() -> None:
    run = after(-9, "running", new_pages=40)
    assert (run.state, run.due, run.failures, run.deaths, run.pages, run.run) == (State.QUEUED, 0.0, 0, 0, 40, "r1")


def test_a_process_that_keeps_dying_without_a_page_more_is_given_up() -> None:
    run = RUN
    for number in range(5):
        assert run.deaths == number
        run = ends.verdict(ends.begun(run, NOW), JOB, Ended(at=NOW, exit_code=-9, state="running"))
    assert (run.state, run.why) == (State.FAILED, "its process keeps dying")
    forward = after(-9, "running", deaths=4, pages=1, new_pages=2)
    assert (forward.state, forward.deaths) == (State.QUEUED, 0)


def test_a_crawl_that_begins_anew_each_time_does_not_come_forward() -> None:
    anew = Job(name="shop", spider="shop", resume=False)
    assert after(-9, "running", job=anew, deaths=4, new_pages=99).state is State.FAILED


def test_who_was_asked_to_stop_is_cancelled_unless_it_had_finished() -> None:
    asked: dict[str, Any] = {"stop": "cancel", "stopped_by": "ann"}
    assert (after(130, "interrupted", **asked).state, after(130, **asked).why) == (
        State.CANCELLED,
        "stopped by ann",
    )
    assert after(1, "failed", **asked).state is State.CANCELLED
    assert after(0, "finished", **asked).state is State.FINISHED


def test_a_run_beyond_its_limit_has_failed_and_is_tried_again() -> None:
    assert (after(130, "interrupted", why="timeout").failures, after(-9, why="memory").why) == (1, "memory")
    assert after(0, "finished", why="timeout").state is State.FINISHED


def test_what_ran_when_the_server_was_stopped_waits_for_its_next_start() -> None:
    run = after(130, "interrupted", stopping=True, deaths=2)
    assert (run.state, run.why, run.run, run.deaths) == (State.QUEUED, "the server was stopped", "r1", 2)
    assert after(130, "interrupted", stopping=True, deaths=2, new_pages=3).deaths == 0  # it came forward


def test_an_interrupted_run_of_a_job_that_is_gone_is_cancelled() -> None:
    assert after(None, "running", job=None).state is State.CANCELLED
    assert after(1, "failed", job=None).state is State.FAILED


def test_what_was_not_let_go_has_not_begun() -> None:
    queued = JobRun(id=7, job="shop", spider="shop", planned=NOW)
    assert ends.undone(ends.begun(queued, NOW)) == queued
    again = ends.undone(ends.begun(after(-9, "running"), NOW + 60))
    assert (again.state, again.attempts, again.run) == (State.QUEUED, 1, "r1")
