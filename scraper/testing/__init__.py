"""For tests of spiders and of this project: responses without a network, sites that answer on loopback."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..response import Response


def response(
    url: str,
    body: str | bytes = b"",
    *,
    status: int = 200,
    headers: Iterable[tuple[str, str]] = (("Content-Type", "text/html; charset=utf-8"),),
) -> Response:
    """A response as a callback gets it, made from text or bytes: `Shop().parse(response(url, html))`."""
    from ..parse.reader import Reader
    from ..response import Response

    content = body.encode() if isinstance(body, str) else body
    return Response(url, status=status, headers=headers, body=content, reader=Reader())
