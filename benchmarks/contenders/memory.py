"""The framework with its state in memory: what durability costs is the difference to `ours`."""

from __future__ import annotations

from functools import partial

from .lap import run
from .ours import main

if __name__ == "__main__":
    run(partial(main, durability="none"))
