"""Who may do what: users, their sessions, API tokens, and how often somebody may try a password.

Nothing that opens a door is kept as it is: passwords by scrypt (RFC 7914), sessions and tokens, which are 256
random bits, by SHA-256. Times are wall-clock seconds of the clock given. Its tables are in the file of the jobs.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Callable
from enum import IntEnum
from ipaddress import ip_address, ip_network

import msgspec

from ..convert import among
from ..errors import UsageError
from . import password
from .file import File

IDLE, ABSOLUTE = 12 * 3600.0, 7 * 86400.0  # a session ends when it is unused, or is as old
SEEN = 60.0  # when a session or token was last used is written at most so often
SPAN = 900.0  # failed logins count for so long
PER_ADDRESS, OVERALL = 5, 100  # failed logins in a SPAN
KNOWN = 30 * 86400.0  # an address from which a login went well is not stopped by the failures of others
PREFIX = "scr_"  # so that a token that leaked is known for what it is
TABLES = (
    """CREATE TABLE IF NOT EXISTS user (name TEXT PRIMARY KEY, role INTEGER NOT NULL, password TEXT NOT NULL,
  changed REAL NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS session (hash BLOB PRIMARY KEY, user TEXT NOT NULL, made REAL NOT NULL,
  seen REAL NOT NULL, address TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS token (id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE,
  name TEXT NOT NULL, role INTEGER NOT NULL, "by" TEXT NOT NULL, made REAL NOT NULL, expires REAL NOT NULL,
  used REAL NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS login (id INTEGER PRIMARY KEY, address TEXT NOT NULL, at REAL NOT NULL,
  good INTEGER NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS login_address ON login (address, good, at)",
    "CREATE INDEX IF NOT EXISTS login_at ON login (good, at)",
)


class Role(IntEnum):
    """What somebody may do; each may do all that the ones before it may."""

    NOBODY = 0  # what needs no login
    VIEWER = 1  # sees everything but users and tokens
    OPERATOR = 2  # starts, stops and pauses
    ADMIN = 3  # changes jobs, users, tokens

    @property
    def word(self) -> str:
        """Its name as people and the API write it."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Role:
        """The role of a word. Raises UsageError."""
        roles = {each.word: each for each in (cls.VIEWER, cls.OPERATOR, cls.ADMIN)}
        if word not in roles:
            raise UsageError(f"there is no role {word!r}{among(word, roles)}")
        return roles[word]


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who was let in. `token`: by an API token of that id, else by a session."""

    name: str
    role: Role
    session: str = ""  # what the cookie says; kept in memory only
    token: int = 0


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user as others see him."""

    name: str
    role: str
    changed: float  # his password


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An API token as it is shown after it was made; `expires` 0: never, `used` 0: not yet."""

    id: int
    name: str
    role: str
    by: str
    made: float
    expires: float = 0.0
    used: float = 0.0


class TooMany(UsageError):
    """Too many failed logins; `after` is in how many seconds the next may be tried."""

    def __init__(self, after: float) -> None:
        super().__init__(f"too many failed logins: try again in {max(1, round(after / 60))} minutes")
        self.after = after


class Access:
    """The doors. Synchronous and thread-safe; every verb raises StoreError when the file cannot be used.

    `login` and the verbs that set a password take a third of a second and 32 MB: call them in a thread.
    """

    def __init__(self, store: File, clock: Callable[[], float] = time.time) -> None:
        self._now = clock
        self._store = store
        self._none = password.hashed(secrets.token_urlsafe(16))  # what a name nobody has is compared with
        with store.change() as base:
            for statement in TABLES:
                base.execute(statement)

    # -- users --------------------------------------------------------------------------------------

    def empty(self) -> bool:
        """Whether there is no user yet."""
        return self._store.row("SELECT 1 FROM user") is None

    def users(self) -> list[User]:
        """All users by name."""
        rows = self._store.rows("SELECT name, role, changed FROM user ORDER BY name")
        return [User(name=name, role=Role(role).word, changed=changed) for name, role, changed in rows]

    def add_user(self, name: str, role: str) -> str:
        """A new user; gives his password, which is shown this once. Raises UsageError."""
        if not (0 < len(name) <= 64 and name.isprintable() and not any(c.isspace() or c in ":,;" for c in name)):
            allowed = "1 to 64 printable characters, none of them a space, ':', ',' or ';'"
            raise UsageError(f"a user name has {allowed}, not {name[:80]!r}")
        new, number = password.made(), Role.of(role)
        kept = password.hashed(new)
        with self._store.change() as base:
            if base.execute("SELECT 1 FROM user WHERE name = ?", (name,)).fetchone():
                raise UsageError(f"there is a user {name!r} already")
            base.execute("INSERT INTO user VALUES (?, ?, ?, ?)", (name, number, kept, self._now()))
        return new

    def first(self) -> str:
        """Make the user "admin" when there is none, and give it a new password; gives the password."""
        with self._store.change() as base:
            base.execute("INSERT OR IGNORE INTO user VALUES ('admin', ?, '', 0)", (Role.ADMIN,))
        return self.reset("admin")

    def reset(self, name: str, new: str = "") -> str:
        """Give a user a new password, end his sessions, and forget failed logins; gives the password.

        Raises UsageError.
        """
        if new and len(new) < password.SHORTEST:
            raise UsageError(f"a password has at least {password.SHORTEST} characters, not {len(new)}")
        new = new or password.made()
        kept = password.hashed(new)
        with self._store.change() as base:
            done = base.execute(
                "UPDATE user SET password = ?, changed = ? WHERE name = ?", (kept, self._now(), name)
            )
            if not done.rowcount:
                raise _no_user(base, name)
            base.execute("DELETE FROM session WHERE user = ?", (name,))
            base.execute("DELETE FROM login WHERE good = 0")
        return new

    def set_role(self, name: str, role: str) -> None:
        """Raise or lower a user; the last admin stays one. Raises UsageError."""
        number = Role.of(role)
        with self._store.change() as base:
            self._keep_one_admin(base, name, number)
            base.execute("UPDATE user SET role = ? WHERE name = ?", (number, name))

    def remove_user(self, name: str) -> None:
        """A user and his sessions; the last admin stays. Raises UsageError."""
        with self._store.change() as base:
            self._keep_one_admin(base, name, Role.NOBODY)
            base.execute("DELETE FROM user WHERE name = ?", (name,))
            base.execute("DELETE FROM session WHERE user = ?", (name,))

    def _keep_one_admin(self, base: sqlite3.Connection, name: str, role: Role) -> None:
        found = base.execute("SELECT role FROM user WHERE name = ?", (name,)).fetchone()
        if found is None:
            raise _no_user(base, name)
        others = base.execute("SELECT count(*) FROM user WHERE role = ? AND name <> ?", (Role.ADMIN, name))
        if role < Role.ADMIN <= found[0] and not others.fetchone()[0]:
            raise UsageError(f"{name!r} is the only admin: make another user one first")

    # -- sessions -----------------------------------------------------------------------------------

    def login(self, name: str, word: str, address: str, old: str = "") -> Who | None:
        """A new session for the right password, None for a wrong one; the session `old` ends. Raises TooMany.

        A try counts as failed before its password is looked at, so that many at once gain nothing.
        """
        place, now = network(address), self._now()
        with self._store.change() as base:
            base.execute("DELETE FROM login WHERE at < ?", (now - KNOWN,))
            self._check_rate(base, place, now)
            tried = base.execute("INSERT INTO login (address, at, good) VALUES (?, ?, 0)", (place, now)).lastrowid
        row = self._store.rows("SELECT role, password, changed FROM user WHERE name = ?", name)
        right = password.fits(word, row[0][1] if row else self._none)
        if not row or not right:
            return None
        session = secrets.token_urlsafe(32)
        with self._store.change() as base:
            if not base.execute("SELECT 1 FROM user WHERE name = ? AND password = ?", (name, row[0][1])).fetchone():
                return None  # it was changed while we compared
            base.execute("UPDATE login SET good = 1 WHERE id = ?", (tried,))
            base.execute("DELETE FROM session WHERE hash = ?", (digest(old),))
            base.execute("DELETE FROM session WHERE made <= ? OR seen <= ?", (now - ABSOLUTE, now - IDLE))
            base.execute("INSERT INTO session VALUES (?, ?, ?, ?, ?)", (digest(session), name, now, now, place))
        return Who(name=name, role=Role(row[0][0]), session=session)

    def _check_rate(self, base: sqlite3.Connection, place: str, now: float) -> None:
        def nth(most: int, where: str, *values: str) -> float:
            """When the failure was that makes this one too many, 0 when none."""
            query = f"SELECT at FROM login WHERE {where} good = 0 AND at > ? ORDER BY at DESC LIMIT 1 OFFSET ?"
            row = base.execute(query, (*values, now - SPAN, most - 1)).fetchone()
            return float(row[0]) if row else 0.0

        blocked = nth(PER_ADDRESS, "address = ? AND", place)
        known = base.execute("SELECT 1 FROM login WHERE address = ? AND good = 1", (place,)).fetchone()
        if not blocked and not known:
            blocked = nth(OVERALL, "")
        if blocked:
            raise TooMany(blocked + SPAN - now)

    def session(self, word: str) -> Who | None:
        """Whose session it is; None when it is none, or has ended."""
        if not 0 < len(word) <= 100:
            return None
        key, now = digest(word), self._now()
        rows = self._store.rows(
            "SELECT s.user, u.role, s.made, s.seen FROM session s JOIN user u ON u.name = s.user WHERE hash = ?",
            key,
        )
        if not rows:
            return None
        name, role, made, seen = rows[0]
        if now >= made + ABSOLUTE or now >= seen + IDLE:
            self._do("DELETE FROM session WHERE hash = ?", key)
            return None
        if now >= seen + SEEN:
            self._do("UPDATE session SET seen = ? WHERE hash = ?", now, key)
        return Who(name=name, role=Role(role), session=word)

    def lives(self, who: Who) -> bool:
        """Whether somebody who was let in still would be; it does not count as use."""
        now = self._now()
        if who.token:
            query = "SELECT 1 FROM token WHERE id = ? AND (expires = 0 OR expires > ?)"
            return bool(self._store.rows(query, who.token, now))
        query = "SELECT 1 FROM session s JOIN user u ON u.name = s.user WHERE hash = ? AND made > ? AND seen > ?"
        values = digest(who.session), now - ABSOLUTE, now - IDLE, who.role
        return bool(self._store.rows(f"{query} AND role >= ?", *values))

    def logout(self, word: str) -> None:
        """End a session."""
        self._do("DELETE FROM session WHERE hash = ?", digest(word))

    # -- tokens -------------------------------------------------------------------------------------

    def tokens(self) -> list[Token]:
        """All API tokens, without what they are."""
        rows = self._store.rows('SELECT id, name, role, "by", made, expires, used FROM token ORDER BY id')
        return [
            Token(id=id, name=name, role=Role(role).word, by=by, made=made, expires=expires, used=used)
            for id, name, role, by, made, expires, used in rows
        ]

    def add_token(self, name: str, role: str, by: str, days: float = 0.0) -> tuple[Token, str]:
        """A new token and what it is, which is shown this once; it ends after `days`, 0: never.

        Raises UsageError.
        """
        if not (0 < len(name) <= 64 and name.isprintable()):
            raise UsageError(f"a token's name has 1 to 64 printable characters, not {name[:80]!r}")
        if not 0 <= days <= 36_500:
            raise UsageError(f"a token lasts for 0 (for ever) to 36500 days, not {days:g}")
        word, number, now = PREFIX + secrets.token_urlsafe(32), Role.of(role), self._now()
        expires = now + days * 86400 if days else 0.0
        with self._store.change() as base:
            made = base.execute(
                'INSERT INTO token (hash, name, role, "by", made, expires, used) VALUES (?, ?, ?, ?, ?, ?, 0)',
                (digest(word), name, number, by, now, expires),
            )
        return Token(id=made.lastrowid or 0, name=name, role=number.word, by=by, made=now, expires=expires), word

    def remove_token(self, number: int) -> None:
        """A token opens nothing any more. Raises UsageError."""
        with self._store.change() as base:
            if not base.execute("DELETE FROM token WHERE id = ?", (number,)).rowcount:
                raise UsageError(f"there is no token {number}{among(str(number), _tokens(base))}")

    def token(self, word: str) -> Who | None:
        """Whose token it is; None when it is none, or has ended."""
        if not word.startswith(PREFIX) or len(word) > 100:
            return None
        now = self._now()
        rows = self._store.rows("SELECT id, name, role, expires, used FROM token WHERE hash = ?", digest(word))
        if not rows or 0 < rows[0][3] <= now:
            return None
        number, name, role, _, used = rows[0]
        if now >= used + SEEN:
            self._do("UPDATE token SET used = ? WHERE id = ?", now, number)
        return Who(name=f"token {name}", role=Role(role), token=number)

    def _do(self, query: str, *values: object) -> None:
        with self._store.change() as base:
            base.execute(query, values)


def digest(word: str) -> bytes:
    """What is kept of a session or token. Rows are found by it, so that no comparison tells anything of it."""
    return hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()


def network(address: str) -> str:
    """What counts as one place: an IPv4 address, or the /64 of an IPv6 address that one customer has."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    if found.version == 6 and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(found) if found.version == 4 else str(ip_network((found, 64), strict=False))


def _no_user(base: sqlite3.Connection, name: str) -> UsageError:
    names = [row[0] for row in base.execute("SELECT name FROM user ORDER BY name")]
    return UsageError(f"there is no user {name!r}{among(name, names)}")


def _tokens(base: sqlite3.Connection) -> list[str]:
    return [f"{id} ({name})" for id, name in base.execute("SELECT id, name FROM token ORDER BY id")]
