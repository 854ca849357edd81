"""A fast server of static files, for benchmarks on machines without nginx.

    python -m scraper.testing.static ROOT --port 8000
    async with StaticServer(root) as url: ...

Answers as nginx does with its default settings: `index.html` for a directory, 301 from a directory without
its slash, 403 for a directory without index, 404 for what is not there, `text/html` without charset. A whole
response is kept in memory after its first use, so a further request costs one look-up and one write.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote_to_bytes

from .routes import LOOPBACK

CACHE = 512 * 1024 * 1024  # bytes of responses kept in memory
MAX_HEAD = 65536  # bytes of a request head
TYPES = {
    "html": "text/html", "htm": "text/html", "shtml": "text/html", "css": "text/css", "xml": "text/xml",
    "txt": "text/plain", "js": "application/javascript", "json": "application/json", "pdf": "application/pdf",
    "atom": "application/atom+xml", "rss": "application/rss+xml", "gif": "image/gif", "png": "image/png",
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "svg": "image/svg+xml", "webp": "image/webp",
    "ico": "image/x-icon", "woff": "font/woff", "woff2": "font/woff2", "zip": "application/zip",
    "xhtml": "application/xhtml+xml",
}  # fmt: skip


def _response(status: int, body: bytes, kind: str = "text/html", more: str = "") -> tuple[bytes, bytes]:
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nServer: static\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: keep-alive\r\n{more}\r\n"
    )
    return head.encode(), body


def _error(status: int) -> tuple[bytes, bytes]:
    phrase = HTTPStatus(status).phrase
    return _response(status, f"<html><title>{status} {phrase}</title><h1>{status} {phrase}</h1></html>\n".encode())


class Files:
    """A folder as heads and bodies of responses, by the raw target of the request. O(1) once known."""

    def __init__(self, root: Path, cache: int = CACHE) -> None:
        self._root = root.resolve()
        self._room = cache
        self._known: dict[bytes, tuple[bytes, bytes]] = {}

    def get(self, target: bytes) -> tuple[bytes, bytes]:
        """The head and body that answer a target."""
        path, _, query = target.partition(b"?")
        found = self._known.get(path)
        if found is None:
            found = self._make(path, query)
            size = len(found[0]) + len(found[1])
            if size <= self._room and not found[0].startswith(b"HTTP/1.1 301"):  # a redirect keeps its query
                self._room -= size
                self._known[path] = found
        return found

    def _make(self, path: bytes, query: bytes) -> tuple[bytes, bytes]:
        name = os.fsdecode(unquote_to_bytes(path))
        if not name.startswith("/") or "\0" in name or ".." in name.split("/"):
            return _error(400)
        file = Path(f"{self._root}/{name.lstrip('/')}")
        try:
            if file.is_dir():
                if not name.endswith("/"):
                    where = (path + b"/" + (b"?" + query if query else b"")).decode("latin-1")
                    return _response(301, b"", more=f"Location: {where}\r\n")
                file /= "index.html"
                if not file.is_file():
                    return _error(403)
            elif name.endswith("/"):
                return _error(404)
            kind = TYPES.get(file.suffix[1:].lower(), "application/octet-stream")
            return _response(200, file.read_bytes(), kind)
        except OSError:
            return _error(404)


class _Connection(asyncio.Protocol):
    """One client: every complete head in what came in is answered in order."""

    __slots__ = ("_buffer", "_clients", "_files", "_transport")

    def __init__(self, files: Files, clients: set[asyncio.Transport]) -> None:
        self._files = files
        self._clients = clients
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._clients.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clients.discard(self._transport)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        start = 0
        while (end := data.find(b"\r\n\r\n", start)) >= 0:
            if not self._answer(data[start:end]):
                return
            start = end + 4
        self._buffer = data[start:]
        if len(self._buffer) > MAX_HEAD:
            self._close(*_error(431))

    def _answer(self, head: bytes) -> bool:
        """Answer one request; False when the connection ends with it."""
        first = head.find(b"\r\n")
        parts = (head if first < 0 else head[:first]).split(b" ")
        if len(parts) != 3 or not parts[2].startswith(b"HTTP/1."):
            return self._close(*_error(400))
        method, target, version = parts
        if method not in (b"GET", b"HEAD"):  # the body, if any, is not read, so the connection cannot go on
            return self._close(*_error(405))
        reply, body = self._files.get(target)
        if method == b"HEAD":
            body = b""
        if version == b"HTTP/1.0" or b"\r\nconnection: close" in head.lower():
            return self._close(reply, body)
        self._transport.write(reply + body)
        return True

    def _close(self, head: bytes, body: bytes) -> bool:
        self._transport.write(head.replace(b"Connection: keep-alive", b"Connection: close") + body)
        self._transport.close()
        return False


class StaticServer:
    """The files below `root` on a loopback port: `async with StaticServer(root) as url`."""

    def __init__(self, root: Path | str, port: int = 0, *, cache: int = CACHE) -> None:
        self.port = port
        self._files = Files(Path(root), cache)
        self._clients: set[asyncio.Transport] = set()

    async def __aenter__(self) -> str:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self._files, self._clients), LOOPBACK, self.port, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return f"http://{LOOPBACK}:{self.port}/"

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for client in list(self._clients):
            client.abort()
        await asyncio.sleep(0)  # one turn of the loop, in which the transports close their sockets


async def _serve(root: Path, port: int) -> None:
    async with StaticServer(root, port) as url:
        print(f"{root} at {url}", flush=True)
        await asyncio.get_running_loop().create_future()


def main() -> None:
    """Serve a folder until interrupted, on uvloop where it is installed."""
    parser = argparse.ArgumentParser(prog="python -m scraper.testing.static", description="Serve a folder.")
    parser.add_argument("root", type=Path)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    given = parser.parse_args()
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(given.root, given.port))


if __name__ == "__main__":
    main()
