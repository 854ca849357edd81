"""What a server saw, and the judgements a test makes of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from multidict import CIMultiDict


@dataclass(slots=True)
class Hit:
    """One request as the server saw it. Times are seconds of `time.monotonic()`, the same in every process.

    `start` is when its first bytes arrived, `end` is just before the last bytes of the answer were handed
    to the kernel (infinite while it is being answered), so that two requests one after the other never
    seem to overlap. `host` is without the port, `target` as it stood in the request line.
    """

    start: float
    host: str
    method: str
    target: str
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: bytes = b""
    status: int = 0
    end: float = math.inf

    @property
    def time(self) -> float:
        """When it arrived: the same as `start`."""
        return self.start

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def dump(self) -> dict[str, Any]:
        """As JSON can carry it."""
        return {
            "start": self.start,
            "host": self.host,
            "method": self.method,
            "target": self.target,
            "headers": list(self.headers.items()),
            "body": self.body.decode("latin-1"),
            "status": self.status,
            "end": self.end,
        }

    @classmethod
    def load(cls, data: dict[str, Any]) -> Hit:
        """The inverse of `dump`."""
        headers = CIMultiDict((name, value) for name, value in data["headers"])
        return cls(**data | {"headers": headers, "body": data["body"].encode("latin-1")})


def spacing(hits: Iterable[Hit]) -> list[float]:
    """The seconds between each arrival and the one before it."""
    starts = sorted(hit.start for hit in hits)
    return [later - earlier for earlier, later in pairwise(starts)]


def parallel(hits: Iterable[Hit]) -> int:
    """The most requests that were open at one moment."""
    changes = sorted(change for hit in hits for change in ((hit.start, 1), (hit.end, -1)))
    most = now = 0
    for _, step in changes:  # at one and the same moment ends sort before starts
        now += step
        most = max(most, now)
    return most


def during(hits: Iterable[Hit], since: float, until: float) -> list[Hit]:
    """The hits that arrived in a stretch of time in which, say, the host was to be left alone."""
    return [hit for hit in hits if since <= hit.start < until]
