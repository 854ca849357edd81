"""A server that lets every second request of a connection run dry, and stamps each: `python -m benchmarks.stale`.

It answers the first request of a connection, reads the next one and closes without a word, as a server does
whose keep-alive time is over when the request is under way. It tells its port on the first line, and its hits as
JSON when its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

ROBOTS = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Stale:
    """The server and its record. `page` is the HTML of every page."""

    def __init__(self, page: bytes) -> None:
        self.hits: list[dict[str, Any]] = []
        self._answer = (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page) + page
        )

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            for answers in (True, False):
                lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                start = time.monotonic()
                method, target, _ = lines[0].split(" ")
                host = next(line.partition(":")[2].strip() for line in lines if line.lower().startswith("host:"))
                reply = ROBOTS if target == "/robots.txt" else self._answer
                hit = {"start": start, "host": host, "method": method, "target": target, "headers": [], "body": ""}
                self.hits.append(hit | {"status": 200 if answers else 0, "end": time.monotonic()})
                if answers:
                    writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client let go first
        finally:
            writer.close()


async def main(links: int) -> None:
    """Serve pages that link to `/0` ... until standard input ends."""
    page = "".join(f'<a href="/{number}">{number}</a>' for number in range(links))
    stale = Stale(f"<!doctype html><title>stale</title>{page}".encode())
    server = await asyncio.start_server(stale.talk, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()
    print(json.dumps(stale.hits))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
