"""Numbers for Prometheus, in a registry of their own. Labels have few values: routes as declared, states, jobs."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from ..jobs.desk import Desk
from ..jobs.record import State

KIND = CONTENT_TYPE_LATEST
JOBS = 1_000  # that have numbers of their own, by name
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})
BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)  # seconds


class Metrics:
    """The numbers of one server."""

    def __init__(self, desk: Desk) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "scraper_http_requests",
            "Requests to the dashboard.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "scraper_http_seconds", "Time of an answer.", ("route",), buckets=BUCKETS, registry=self.registry
        )
        self.logins = Counter("scraper_logins", "Logins.", ("result",), registry=self.registry)
        self.registry.register(_Jobs(desk))

    def text(self) -> bytes:
        """All numbers as Prometheus reads them; looks into the store."""
        return generate_latest(self.registry)

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request has been answered."""
        self.requests.labels(route, method if method in METHODS else "other", str(status)).inc()
        self.seconds.labels(route).observe(seconds)


class _Jobs(Collector):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def describe(self) -> list[Metric]:
        """Nothing: the store is not asked before the numbers are."""
        return []

    def collect(self) -> Iterator[Metric]:
        """What the store says now."""
        store, clock = self._desk.store, self._desk.clock
        counts = store.counts()
        runs = GaugeMetricFamily("scraper_runs", "Planned runs in history, by state.", labels=["state"])
        for state in State:
            runs.add_metric([state.value], counts.get(state, 0))
        yield runs
        yield GaugeMetricFamily("scraper_alerts_open", "Alerts that have not recovered.", len(store.open_alerts()))
        lag = self._desk.scheduler.late() if self._desk.scheduler is not None else 0.0
        yield GaugeMetricFamily("scraper_free_bytes", "Free on the disk of the output folder.", self._desk.free())
        yield GaugeMetricFamily("scraper_scheduler_lag_seconds", "By how much the scheduler is late.", lag)
        age = GaugeMetricFamily("scraper_job_good_age_seconds", "Since the last good run.", labels=["job"])
        items = GaugeMetricFamily("scraper_job_items", "Items of the last good run.", labels=["job"])
        for kept in store.jobs()[:JOBS]:
            for run in store.last(kept.job.name, (State.FINISHED,), 1):
                age.add_metric([kept.job.name], max(0.0, clock.wall() - run.ended))
                items.add_metric([kept.job.name], run.items)
        yield age
        yield items


METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)
