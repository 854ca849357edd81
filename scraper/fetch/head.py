"""The head of a request as bytes: every line of it is one line (RFC 9112 3, RFC 9110 5.5)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import FetchError
from ..reasons import Reason

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # all but TAB (RFC 9110 5.5)
_NO_BODY = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # methods that need not say that they have none


def request_line(method: str, target: str) -> bytes:
    """`GET /page HTTP/1.1`. Raises FetchError(BAD_REQUEST) for what would not be two words."""
    line = f"{method} {target}"
    if not (line.isascii() and line.isprintable() and line.count(" ") == 1) or method == "CONNECT":
        raise FetchError(Reason.BAD_REQUEST, f"request line {line[:200]!a}")
    return f"{line} HTTP/1.1\r\n".encode("ascii")


def field_lines(fields: Sequence[tuple[str, str]], host: str) -> bytes:
    """The lines of all fields, `Host` first where they do not name it. Raises FetchError(BAD_REQUEST)."""
    own = any(name.lower() == "host" for name, _ in fields)
    lines = [field_line(name, value) for name, value in fields]
    return b"".join(lines) if own else field_line("Host", host) + b"".join(lines)


def field_line(name: str, value: str) -> bytes:
    """One line, UTF-8. Raises FetchError(BAD_REQUEST) for what would be two."""
    line = f"{name}: {value}"
    if not (line.isascii() and line.isprintable()) and _CONTROL.search(line):
        raise FetchError(Reason.BAD_REQUEST, f"control character in header {name!a}")
    try:
        return f"{line}\r\n".encode()
    except UnicodeEncodeError as error:
        raise FetchError(Reason.BAD_REQUEST, f"header {name!a} is no text") from error


def length_line(method: str, lines: bytes, body: bytes | None) -> bytes:
    """The Content-Length that goes with a body (RFC 9110 8.6), b"" where none is needed or it is there.

    Raises FetchError(BAD_REQUEST) where the fields themselves say another, or frame the body in another way.
    """
    if body is None and method in _NO_BODY:
        return b""
    size = len(body or b"")
    names = [line.partition(b":") for line in lines.lower().split(b"\r\n")]
    said = [value.strip() for name, _, value in names if name == b"content-length"]
    if any(name == b"transfer-encoding" for name, _, _ in names) or said not in ([], [b"%d" % size]):
        raise FetchError(Reason.BAD_REQUEST, f"the fields frame another body than that of {size:,} bytes")
    return b"" if said else b"Content-Length: %d\r\n" % size


def waits(lines: bytes) -> bool:
    """Whether the body is to follow only once the server asks for it (RFC 9110 10.1.1)."""
    return b"\r\nexpect: 100-continue\r\n" in (b"\r\n" + lines).lower()
