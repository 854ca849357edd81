"""A port for a server that a command begins, which has to be told one."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress

LOWEST, NUMBER = 12_000, 20_000  # below all that Linux and macOS give away by themselves


def free_port() -> int:
    """A port that is free, and that nobody is given by chance before the server takes it."""
    while True:
        port = LOWEST + secrets.randbelow(NUMBER)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
