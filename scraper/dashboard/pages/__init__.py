"""The pages, each part of them in a file of its own."""

from __future__ import annotations

import jinja2

from .. import written
from . import alerts, changes, crawled, declared, form, jobs, look, run, runs, settings, start

parts = tuple(
    part.routes for part in (jobs, form, start, declared, runs, run, crawled, changes, alerts, settings, look)
)


def prepare(env: jinja2.Environment) -> None:
    """Give the templates their filters."""
    written.prepare(env)
