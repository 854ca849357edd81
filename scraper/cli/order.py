"""`--order`: the words of a crawl from a file or standard input, where other users cannot read them."""

from __future__ import annotations

import sys
from pathlib import Path

from msgspec.structs import replace

from ..errors import UsageError
from ..jobs.order import decoded
from .crawl import Order

MOST = 16 * 2**20  # bytes


def completed(order: Order) -> Order:
    """The order of the command line with what the file adds. Raises UsageError."""
    try:
        if order.order == "-":
            data = sys.stdin.buffer.read(MOST + 1)
        else:
            with Path(order.order).open("rb") as file:
                data = file.read(MOST + 1)
    except OSError as error:
        raise UsageError(f"the order {order.order} cannot be read: {error.strerror}") from error
    if len(data) > MOST:
        raise UsageError(f"the order is larger than {MOST // 2**20} MiB")
    words = decoded(data)
    if order.word and words.spider != order.word:
        raise UsageError(f"the order is for spider {words.spider!r}, not for {order.word!r}")
    return replace(
        order,
        word=words.spider,
        places=words.outputs,
        given=words.arguments,
        chosen=words.settings,
        zone=words.zone,
    )
