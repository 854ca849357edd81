"""`scraper jobs`: all that can be done with scheduled jobs. One file a subject, imported when it is used."""

from __future__ import annotations

import click

from ..group import HELP, Lazy, Table, or_list

COMMANDS: Table = {
    "list": ("listing:command", "The jobs, when each runs next and how it ran last (the default)."),
    "show": ("listing:show", "All about one job."),
    "next": ("listing:upcoming", "The next planned times."),
    "apply": ("declare:apply", "Make the jobs what jobs.toml says; shows the difference first."),
    "add": ("change:add", "Add a job."),
    "edit": ("change:edit", "Change a job."),
    "remove": ("change:remove", "Take a job away; its history stays."),
    "pause": ("change:pause", "Plan no more runs of a job."),
    "unpause": ("change:unpause", "Plan runs of a job again."),
    "run": ("work:run", "Run a job now."),
    "cancel": ("work:cancel", "End a run in good order."),
    "kill": ("work:kill", "End a run at once."),
    "runs": ("history:runs", "Planned runs and how each ended; or all about one."),
    "log": ("log:command", "What a run has logged."),
    "run-due": ("due:command", "Run what is due now, without a server, and end."),
    "alerts": ("notices:alerts", "What was told, or is to be told."),
    "messages": ("notices:messages", "What was sent to which channel, and what did not arrive."),
    "test-alert": ("notices:test_alert", "Tell a channel that it is tested."),
    "audit": ("notices:audit", "Who did what."),
    "backup": ("keep:backup", "Copy jobs, history and users to a file."),
    "restore": ("keep:restore", "Put such a copy back."),
    "users": ("doors:users", "Who may log in to the dashboard."),
    "tokens": ("doors:tokens", "Tokens for programs that use the API."),
}


class Jobs(Lazy):
    """The group; without a command it lists."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`list`, where no command is named."""
        return super().parse_args(ctx, or_list(args))


@click.group(
    name="jobs", cls=Jobs, table=COMMANDS, package=__name__, context_settings={"help_option_names": [*HELP]}
)
def command() -> None:
    """Scheduled jobs: a spider with arguments, settings, outputs and a schedule.

    `scraper serve` runs them at their times, and shows them on a page. RUN is the number of a planned run, or
    the name of a job for its newest.
    """
