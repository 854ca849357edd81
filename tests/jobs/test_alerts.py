"""Which rules fire and which recover: pure, by values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from scraper.jobs.alerts import RULES, Facts, judge, span, stale, taking_long, wanted
from scraper.jobs.job import DAY, HOUR, Alerts, Job
from scraper.jobs.record import JobRun, Kept, State

from .world import planned


def job(**alerts: Any) -> Job:
    return Job(name="shop", spider="shop", alerts=Alerts(**{"failed": False, **alerts}))


def ended(id: int = 9, **given: Any) -> JobRun:
    """A run that took an hour."""
    usual = {"state": State.FINISHED, "pages": 100, "items": 100, "began": 1000.0, "ended": 4600.0, "attempts": 1}
    return planned(id * 10.0, **{"id": id, **usual, **given})


def good(*items: int) -> tuple[JobRun, ...]:
    return tuple(ended(number, items=many) for number, many in enumerate(items, 1))


def said(job: Job, **facts: Any) -> dict[str, tuple[bool, str]]:
    judgement = judge(job, Facts(**facts))
    return {each.rule: (each.fires, each.text) for each in judgement.verdicts}


def test_a_failed_run_is_told_with_its_cause_and_its_numbers_against_the_usual() -> None:
    run = ended(state=State.FAILED, why="timeout (3 times)", items=7, attempts=2)
    told = said(job(failed=True), run=run, good=good(100, 90, 110))
    assert told == {"failed": (True, "run 9 failed after 2 attempts: timeout (3 times); 7 items, usually 100")}
    told = said(job(failed=True), run=ended(state=State.RULE_BROKEN, why="9 items, fewer than min_items = 50"))
    assert told["failed"] == (True, "run 9 broke a rule: 9 items, fewer than min_items = 50; 100 items")


def test_a_finished_run_of_which_nobody_was_told_what_changed_is_told() -> None:
    run = ended(why="what changed was not told: the comparison failed")
    told = said(job(failed=True), run=run, untold=True)
    assert told == {"failed": (True, f"run 9 finished with 100 items, but {run.why}")}


def test_a_finished_run_is_recovery() -> None:
    assert said(job(failed=True), run=ended()) == {"failed": (False, "run 9 finished with 100 items")}


@pytest.mark.parametrize("state", [State.CANCELLED, State.SKIPPED, State.MISSED])
def test_what_did_not_crawl_to_an_end_of_its_own_says_nothing(state: State) -> None:
    every = job(failed=True, items_below=0.5, error_rate=0.1, block_pages=True, longer_than=60.0)
    assert judge(every, Facts(run=ended(state=state), good=good(9, 9, 9))).verdicts == ()


def test_items_are_measured_by_the_median_of_the_last_good_runs() -> None:
    rules = job(items_below=0.5, items_above=2.0)
    seven = good(100, 100, 100, 0, 0, 0, 900)
    assert said(rules, run=ended(items=49), good=seven) == {
        "items_below": (True, "run 9 has 49 items, usually 100, less than 0.5 times that"),
        "items_above": (False, "run 9 has 49 items, usually 100"),
    }
    assert not any(fires for fires, _ in said(rules, run=ended(items=50), good=seven).values())
    assert not any(fires for fires, _ in said(rules, run=ended(items=200), good=seven).values())
    assert said(rules, run=ended(items=201), good=seven)["items_above"][0]


def test_nothing_is_usual_with_fewer_than_three_good_runs() -> None:
    judgement = judge(job(items_below=0.9), Facts(run=ended(items=0), good=good(100, 100)))
    assert judgement.verdicts == ()
    assert judgement.notes == ("items_below: not asked, it needs 3 good runs before it and there are 2",)


def test_items_of_a_run_that_was_cut_off_are_no_measure() -> None:
    rules = job(items_below=0.9, coverage_drop=0.1)
    assert judge(rules, Facts(run=ended(state=State.FAILED, items=1), good=good(9, 9, 9))).verdicts == ()
    assert said(rules, run=ended(state=State.RULE_BROKEN, items=1), good=good(9, 9, 9))["items_below"][0]


def test_coverage_is_judged_field_by_field() -> None:
    before = ({"title": 1.0, "price": 0.9, "isbn": 0.5},) * 3
    told = said(
        job(coverage_drop=0.2), run=ended(), shares={"title": 1.0, "price": 0.65}, usual_shares=before, good=good()
    )
    text = "price in 65.0% of the items, usually 90.0%"
    assert told["coverage_drop"] == (
        True,
        f"run 9 has fields filled in less often: isbn in 0.0% of the items, usually 50.0% and {text}",
    )
    same = said(
        job(coverage_drop=0.2), run=ended(), shares={"title": 0.81, "price": 1.0, "isbn": 0.4}, usual_shares=before
    )
    assert same["coverage_drop"] == (False, "run 9 has its fields filled in as usual")


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"run": ended()}, "it is not known how often the fields of its items are filled in"),
        ({"run": ended(items=0), "shares": {}}, "it has no items"),
        (
            {"run": ended(), "shares": {"a": 1.0}, "usual_shares": ({"a": 1.0},)},
            "it needs 3 good runs whose fields are known and there is 1",
        ),
    ],
)
def test_coverage_that_is_not_known_is_not_judged(facts: dict[str, Any], why: str) -> None:
    judgement = judge(job(coverage_drop=0.1), Facts(**facts))
    assert (judgement.verdicts, judgement.notes) == ((), (f"coverage_drop: not asked, {why}",))


def test_no_more_than_a_few_fields_are_named() -> None:
    before = ({f"f{number}": 1.0 for number in range(20)},) * 3
    _, text = said(job(coverage_drop=0.5), run=ended(), shares={}, usual_shares=before)["coverage_drop"]
    assert text.endswith("f4 in 0.0% of the items, usually 100.0% and 15 more") or "and 15 more" in text


def test_the_share_of_pages_that_failed_is_limited() -> None:
    rules = job(error_rate=0.1)
    assert said(rules, run=ended(pages=90, failed=10))["error_rate"] == (
        False,
        "run 9 failed on 10 of 100 pages (10.0%)",
    )
    told = said(rules, run=ended(pages=80, failed=20), good=good(1, 1, 1))["error_rate"]
    assert told == (True, "run 9 failed on 20 of 100 pages (20.0%, usually 0.0%), more than 10.0%")
    assert judge(rules, Facts(run=ended(pages=0))).notes == ("error_rate: not asked, no page was answered",)


def test_a_failed_run_breaks_rules_and_never_mends_them() -> None:
    rules = job(error_rate=0.5, longer_than=7200.0)
    assert said(rules, run=ended(state=State.FAILED, pages=1, failed=9)).keys() == {"error_rate"}
    assert said(rules, run=ended(state=State.FAILED, pages=9)) == {}


def test_only_statuses_that_are_new_to_a_host_are_block_pages() -> None:
    rules, run = job(block_pages=True), ended()
    told = said(
        rules, run=run, blocks={"a.test": {403: 7, 404: 1}, "b.test": {429: 1}}, blocks_before={"b.test": {429: 5}}
    )
    assert told["block_pages"][0]
    assert "a.test answered 403 to 7 pages" in told["block_pages"][1]
    assert "b.test" not in told["block_pages"][1]
    assert not said(rules, run=run, blocks={"b.test": {429: 50}}, blocks_before={"b.test": {429: 5}})[
        "block_pages"
    ][0]
    assert not said(rules, run=run, blocks={})["block_pages"][0]
    assert judge(rules, Facts(run=run, blocks={"b.test": {429: 1}})).notes
    assert judge(rules, Facts(run=run)).notes


def test_a_run_takes_too_long_while_it_runs_and_when_it_has_ended() -> None:
    rules = job(longer_than=HOUR)
    running = ended(state=State.RUNNING, ended=0.0, began=1000.0, pages=5, items=1)
    assert taking_long(rules, running, 1000.0 + HOUR - 1) is None
    verdict = taking_long(rules, running, 1000.0 + 2 * HOUR)
    assert verdict is not None
    assert verdict.text == "run 9 has lasted 2 hours, longer than 1 hour; so far 5 pages and 1 item"
    waits = taking_long(rules, replace(running, state=State.QUEUED, why="the server was stopped"), 9e4)
    assert waits is not None
    assert "and now waits to go on (the server was stopped)" in waits.text
    assert taking_long(rules, replace(running, began=0.0), 9e9) is None
    assert taking_long(job(), running, 9e9) is None
    assert said(rules, run=ended(), good=good(1, 1, 1))["longer_than"] == (
        True,
        "run 9 took 1 hour, usually 1 hour, longer than 1 hour",
    )
    assert not said(rules, run=ended(ended=2000.0))["longer_than"][0]


def test_no_good_run_for_long_is_told_also_of_a_paused_job() -> None:
    kept = Kept(job=job(no_run_in=DAY), paused=True, paused_why="holidays")
    verdict = stale(kept, ended(4, ended=0.0), ended(5, state=State.MISSED), 0.0, 3 * DAY)
    assert verdict is not None
    assert verdict.text == (
        "no run has ended well for 3 days, longer than 1 day; the last one, run 5, is missed;"
        " the job is paused (holidays)"
    )
    fine = stale(kept, ended(4, ended=2.5 * DAY), None, 0.0, 3 * DAY)
    assert fine is not None
    assert (fine.fires, fine.text) == (False, "run 4 finished")
    never = stale(kept, None, None, 0.0, DAY)
    assert never is not None
    assert never.text.endswith("none ever has; the job is paused (holidays)")
    assert stale(Kept(job=job()), None, None, 0.0, 9e9) is None


def test_every_rule_is_a_key_of_the_alerts_table() -> None:
    options = {"to", "quiet", "every"}
    assert set(RULES) | options == set(Alerts.__struct_fields__)
    assert wanted(Alerts()) == {"failed"}


counts = st.integers(0, 10**7)


@given(items=counts, usual=st.lists(counts, min_size=3, max_size=7), below=st.floats(0, 1), above=st.floats(1, 100))
def test_a_run_is_never_both_below_and_above(items: int, usual: list[int], below: float, above: float) -> None:
    told = said(job(items_below=below, items_above=above), run=ended(items=items), good=good(*usual))
    assert not (told["items_below"][0] and told["items_above"][0])
    usually = said(job(items_below=below, items_above=above), run=ended(items=usual[0]), good=good(*usual[:1] * 3))
    assert not any(fires for fires, _ in usually.values())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.2 seconds"), (90, "1 minute 30 seconds"), (125.3, "2 minutes 5 seconds"),
     (3 * HOUR + 61, "3 hours 1 minute"), (50 * HOUR + 3000, "2 days 2 hours")],
)  # fmt: skip
def test_durations_are_as_exact_as_people_want_them(seconds: float, text: str) -> None:
    assert span(seconds) == text
