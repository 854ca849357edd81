"""The command line: one file a command, and each is imported when it is used."""

from __future__ import annotations

from collections.abc import Sequence


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code; a bug ends with its traceback (exit code 1)."""
    from .group import run

    return run(words)
