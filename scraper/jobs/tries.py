"""How often somebody may try a password, and which browsers are known to be a user's.

Failures count for one name from one address, and each makes the wait for the next try longer, as OWASP's
Authentication Cheat Sheet advises instead of a lock-out: that would be a way to keep others out. It would count all
addresses of a name together; but then, as behind a proxy that hides addresses, anybody could hold a name up for
all. For that there are device cookies, as of OWASP's "Slow Down Online Guessing Attacks with Device Cookies": a
browser from which the user has logged in has a count of its own. What is left to a guesser with many addresses is
bounded by what a try costs (password.py) and how few are compared at once.

Nothing here is kept as it is, but as SHA-256. Times are wall-clock seconds.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3

from ..errors import UsageError

FREE = 5  # failures after which one has to wait
FIRST, LONGEST = 1.0, 900.0  # seconds to wait then; they double with each failure
FORGET = 86400.0  # seconds after the last try
MOST = 10_000  # counts that are kept
DEVICES = 20  # browsers of one user that are known, the newest
KNOWN = 90 * 86400.0  # seconds for which a browser is known after a login
DEVICE = "SELECT 1 FROM device WHERE hash = ? AND user = ? AND at > ?"
TABLES = (
    """CREATE TABLE IF NOT EXISTS guess (key BLOB PRIMARY KEY, failures INTEGER NOT NULL, at REAL NOT NULL)
WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS guess_at ON guess (at)",
    "CREATE INDEX IF NOT EXISTS guess_least ON guess (failures, at)",
    """CREATE TABLE IF NOT EXISTS device (hash BLOB PRIMARY KEY, user TEXT NOT NULL, at REAL NOT NULL)
WITHOUT ROWID""",
    "DROP TABLE IF EXISTS login",  # an older version kept addresses there
)


class TooMany(UsageError):
    """Too many failed logins; `after` is in how many seconds the next may be tried."""

    def __init__(self, after: float) -> None:
        minutes = after / 60
        wait = f"{round(minutes)} minutes" if minutes >= 2 else f"{max(1, round(after))} seconds"
        super().__init__(f"too many failed logins: try again in {wait}")
        self.after = after


def digest(word: str) -> bytes:
    """What is kept of a secret. Rows are found by it, so that no comparison tells anything of it."""
    return hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()


def wait(failures: int) -> float:
    """Seconds between the last of so many failures and the next try."""
    return min(LONGEST, FIRST * 2.0 ** min(failures - FREE, 30)) if failures >= FREE else 0.0


def begin(base: sqlite3.Connection, place: str, name: str, now: float) -> bytes:
    """Count a try as failed before its password is looked at, so that many at once gain nothing.

    `place` is the address, or the browser that is known. Gives the key of the count. Raises TooMany.
    """
    key = digest(f"{place}\n{name}")
    base.execute("DELETE FROM guess WHERE at < ?", (now - FORGET,))
    found = base.execute("SELECT failures, at FROM guess WHERE key = ?", (key,)).fetchone()
    failures, at = found or (0, now)
    left = wait(failures) - (now - at)
    if left > 0 and now >= at:  # else the clock was set back: nobody waits until it is there again
        raise TooMany(left)
    base.execute("INSERT OR REPLACE INTO guess VALUES (?, ?, ?)", (key, failures + 1, now))
    # Who makes up names makes counts of few failures: these go first, so that no other is forgotten by that.
    base.execute(
        "DELETE FROM guess WHERE key IN (SELECT key FROM guess WHERE key <> ? ORDER BY failures, at LIMIT"
        " max(0, (SELECT count(*) FROM guess) - ?))",
        (key, MOST),
    )
    return key


def succeeded(base: sqlite3.Connection, key: bytes) -> None:
    """Forget the failures of a count."""
    base.execute("DELETE FROM guess WHERE key = ?", (key,))


def known(base: sqlite3.Connection, device: str, name: str, now: float) -> bool:
    """Whether a user has logged in from a browser, not too long ago."""
    return base.execute(DEVICE, (digest(device), name, now - KNOWN)).fetchone() is not None


def remember(base: sqlite3.Connection, name: str, now: float) -> str:
    """Know a browser from now on; gives what it is to show next time."""
    device = secrets.token_urlsafe(32)
    base.execute("DELETE FROM device WHERE at <= ?", (now - KNOWN,))
    base.execute("INSERT INTO device VALUES (?, ?, ?)", (digest(device), name, now))
    base.execute(
        "DELETE FROM device WHERE user = ? AND hash NOT IN"
        " (SELECT hash FROM device WHERE user = ? ORDER BY at DESC LIMIT ?)",
        (name, name, DEVICES),
    )
    return device
