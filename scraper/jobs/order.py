"""What a crawl is told on its standard input: secrets there are not for every user to see, as a command line is."""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import UsageError
from ..folder import Place


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The words of a crawl as values: `arguments` of the spider, `settings`, `outputs`.

    `zone` is the time zone in which it tells times, "" for the machine's.
    """

    spider: str
    arguments: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    outputs: tuple[Place, ...] = ()
    zone: str = ""

    def encoded(self) -> bytes:
        """As JSON, in one line. Raises UsageError for values that JSON has not."""
        try:
            return msgspec.json.encode(self) + b"\n"
        except (TypeError, ValueError) as error:
            raise UsageError(f"the order for spider {self.spider!r} cannot be written: {error}") from error


def decoded(data: bytes) -> Words:
    """The inverse of `encoded`. Raises UsageError; also for what breaks off, as when its writer was killed."""
    if not data.strip():
        raise UsageError("no order has come: nothing is done")
    try:
        return msgspec.json.decode(data, type=Words)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"the order cannot be read: {error}") from error
