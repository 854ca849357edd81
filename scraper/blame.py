"""Whose fault an error is, and where in the spider's own code it came from."""

from __future__ import annotations

import asyncio
import traceback
from pathlib import Path
from typing import Any

from .errors import writable

OWN_FOLDER = str(Path(__file__).parent)


def isolated(error: BaseException) -> bool:
    """Whether what a spider raised costs it a page: all but the user's Ctrl-C and a cancellation from outside."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or not task.cancelling()
    return not isinstance(error, KeyboardInterrupt)


def described(error: BaseException) -> str:
    """Type and text of an error, whatever its own `__str__` does."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  a spider's error may raise anything when asked
        text = ""
    return writable(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def at(running: Any) -> str:
    """The line of the spider that a generator or coroutine has got to."""
    stopped = next(
        (f for name in ("gi_frame", "ag_frame", "cr_frame") if (f := getattr(running, name, None))), None
    )
    if stopped is None:
        return ""
    return f"{Path(stopped.f_code.co_filename).name}:{stopped.f_lineno} in {stopped.f_code.co_name}"


def frame(error: BaseException) -> str:
    """Where in the spider's own code an error came from: `shop.py:12 in parse`."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(OWN_FOLDER) and "site-packages" not in f.filename]
    if not own:
        return ""
    last = own[-1]
    return f"{Path(last.filename).name}:{last.lineno} in {last.name}"
