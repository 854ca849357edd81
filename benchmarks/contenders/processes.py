"""The framework with two worker processes. Not bound to one core: it shares both with the server."""

from __future__ import annotations

from functools import partial

from .lap import run
from .ours import main

if __name__ == "__main__":
    run(partial(main, processes=2))
