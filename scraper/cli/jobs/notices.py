"""`scraper jobs alerts`, `messages`, `test-alert` and `audit`: what was told, and who did what."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

import click

from ...jobs.desk import Desk
from ...jobs.record import Alert, Delivery
from ...logs import clean
from .. import options
from .moments import at, zone_of
from .place import all_said, as_json, done, opened, print_table, who

UNSET = "the environment variable"  # what an error says that is of this shell alone
SERVER = "(server)"  # in the place of a job, of an alert that none has
MOST = 200  # messages that are looked at for what became of an alert
limited = click.option(
    "--limit", default=20, type=click.IntRange(1, 500), show_default=True, help="How many, the newest."
)

before_id = click.option("--before", type=click.IntRange(1), metavar="ID", help="Only those before this one.")


@click.command(name="alerts")
@click.argument("job", default="")
@click.option("--open", "only_open", is_flag=True, help="Only those that have not recovered.")
@limited
@as_json
@options.folder
def alerts(job: str, only_open: bool, limit: int, as_json: bool, root: str | None) -> int:
    """Alerts of all jobs or of JOB, newest last: what was wrong, and whether it is told and has recovered.

    In the column `told`: yes; waits, for quiet hours, a server or the next try; failed, given up after a day; no,
    as there is no channel to tell.
    """
    with opened(root) as desk:
        _known(desk, job)
        found = done(desk.open_alerts(job))[-limit:] if only_open else done(desk.alerts(None, limit, job))[::-1]
        if all_said(found, "no alerts", as_json=as_json):
            return 0
        zones, sent = _zones(desk), done(desk.deliveries(None, MOST))
        rows = [
            (str(each.id), each.job or SERVER, each.rule.replace("_", " "), at(each.at, _of(zones, each.job)),
             _ended(each, _of(zones, each.job)), _told(each, sent), clean(each.text))
            for each in found
        ]  # fmt: skip
    print_table(("id", "job", "rule", "since", "until", "told", "what"), rows, ("id",))
    return 0


def _known(desk: Desk, job: str) -> None:
    """Raise UsageError for a job that there never was; one that is gone is on record."""
    if job and not done(desk.acts(None, 1, job)):
        desk.store.job(job)


def _ended(alert: Alert, zone: ZoneInfo) -> str:
    return at(alert.ended, zone) if alert.ended else "now"


def _told(alert: Alert, sent: list[Delivery]) -> str:
    """What became of the messages that tell of it."""
    own = [each for each in sent if alert.id in each.alerts and not each.recovered]
    if any(each.given_up for each in own):
        return "failed"
    if any(not each.sent for each in own):
        return "waits"
    return "yes" if alert.told else "no"


@click.command(name="messages")
@click.option("--failed", is_flag=True, help="Only those that were given up.")
@limited
@before_id
@as_json
@options.folder
def messages(failed: bool, limit: int, before: int | None, as_json: bool, root: str | None) -> int:
    """Messages about alerts, newest last: where they went and when, or why they did not.

    In the column `state`: sent; waits, until the time beside it; given up, a day after its first try. Times are in
    the zone of the job, those of a message about several jobs in UTC.
    """
    with opened(root) as desk:
        found = done(desk.deliveries(before, limit, given_up=failed))[::-1]
        if all_said(found, "no message was given up" if failed else "no messages", as_json=as_json):
            return 0
        zones = _zones(desk)
        rows = [_message(each, desk, zones) for each in found]
    print_table(("id", "channel", "state", "when", "tries", "tells of", "trouble"), rows, ("id", "tries"))
    return 0


def _message(sent: Delivery, desk: Desk, zones: Mapping[str, ZoneInfo]) -> tuple[str, ...]:
    told = [(alert, "") for id in sent.alerts if (alert := desk.store.alert(id))]
    told += [(alert, " is over") for id in sent.recovered if (alert := desk.store.alert(id))]
    jobs = {alert.job for alert, _ in told}
    state = "sent" if sent.sent else "given up" if sent.given_up else "waits"
    when = at(sent.sent or sent.given_up or sent.due, _of(zones, jobs.pop() if len(jobs) == 1 else ""))
    what = ", ".join(f"{alert.job or SERVER} {alert.rule.replace('_', ' ')}{over}" for alert, over in told)
    return str(sent.id), sent.channel, state, when, f"{sent.tries:,}", what, clean(sent.error)


@click.command(name="test-alert")
@click.argument("channel")
@options.folder
def test_alert(channel: str, root: str | None) -> int:
    """Tell CHANNEL of jobs.toml that it is tested. Exit code 1 when it cannot be told, and why.

    What a channel has from the environment (`env:NAME`) is that of this shell, not that of the server.
    """
    from ...jobs.channels import send_test
    from ...jobs.message import Untold

    with opened(root, change=True) as desk:
        try:
            done(send_test(desk.store.server(), channel, project=desk.project))
        except Untold as error:
            here = " here (the server has an environment of its own)" if UNSET in str(error) else ""
            raise Untold(f"{error}{here}") from error
        done(desk.acted(who(), "test alert", channel))
    click.echo(f"told {channel}")
    return 0


@click.command(name="audit")
@click.argument("job", default="")
@limited
@before_id
@as_json
@options.folder
def audit(job: str, limit: int, before: int | None, as_json: bool, root: str | None) -> int:
    """Who did what, to all jobs or to JOB, newest last; for one job in its zone, else in UTC."""
    with opened(root) as desk:
        _known(desk, job)
        found = done(desk.acts(before, limit, job))[::-1]
        if all_said(found, "nothing was done", as_json=as_json):
            return 0
        zone = _of(_zones(desk), job)
    rows = [
        (str(act.id), at(act.at, zone), clean(act.who), act.what, act.job, str(act.run or ""), clean(act.detail))
        for act in found
    ]
    print_table(("id", "when", "who", "did", "job", "run", "what"), rows, ("id", "run"))
    return 0


def _zones(desk: Desk) -> dict[str, ZoneInfo]:
    return {kept.job.name: zone_of(kept.job) for kept in desk.store.jobs()}


def _of(zones: Mapping[str, ZoneInfo], job: str) -> ZoneInfo:
    return zones.get(job) or zone_of(None)
