"""Who may do what: users, their sessions, API tokens. How often a password may be tried is in tries.py.

Nothing that opens a door is kept as it is: passwords by scrypt (RFC 7914), sessions and tokens, which are 256
random bits, by SHA-256. Times are wall-clock seconds of the clock given. Its tables are in the file of the jobs.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable
from enum import IntEnum
from ipaddress import ip_address, ip_network

import msgspec

from ..convert import among
from ..errors import StoreError, UsageError
from . import password, tries
from .file import File
from .tries import TooMany as TooMany
from .tries import digest

IDLE, ABSOLUTE = 12 * 3600.0, 7 * 86400.0  # a session ends when it is unused, or is as old
SEEN = 60.0  # when a session or token was last used is written at most so often
PREFIX = "scr_"  # so that a token that leaked is known for what it is
TABLES = (
    """CREATE TABLE IF NOT EXISTS user (name TEXT PRIMARY KEY, role INTEGER NOT NULL, password TEXT NOT NULL,
  changed REAL NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS session (hash BLOB PRIMARY KEY, user TEXT NOT NULL, made REAL NOT NULL,
  seen REAL NOT NULL, address TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS token (id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE,
  name TEXT NOT NULL, role INTEGER NOT NULL, "by" TEXT NOT NULL, made REAL NOT NULL, expires REAL NOT NULL,
  used REAL NOT NULL, owner TEXT NOT NULL DEFAULT '')""",
    *tries.TABLES,
)
# A token of a user may do no more than he may now; one without (`owner` "") was made by a command.
TOKENS = "token t LEFT JOIN user u ON u.name = t.owner"
ROLE = "min(t.role, CASE t.owner WHEN '' THEN t.role ELSE coalesce(u.role, 0) END)"


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
    """Somebody who was let in. `token`: by an API token of that id, else by a session.

    `user` is the user he is, or whose token it is; "" for a token that a command has made.
    """

    name: str
    role: Role
    user: str = ""
    session: str = ""  # what the cookie says; kept in memory only
    token: int = 0


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user as others see him."""

    name: str
    role: str
    changed: float  # his password


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An API token as it is shown after it was made; `expires` 0: never, `used` 0: not yet.

    `role` is what it may do now, `owner` the user with whom it ends, "" for none.
    """

    id: int
    name: str
    role: str
    by: str
    made: float
    expires: float = 0.0
    used: float = 0.0
    owner: str = ""


class Access:
    """The doors. Synchronous and thread-safe; every verb raises StoreError when the file cannot be used.

    `login` and the verbs that set a password take a third of a second and 32 MB: call them in a thread.
    """

    def __init__(self, store: File, clock: Callable[[], float] = time.time) -> None:
        self._now = clock
        self._store = store
        self._none = password.hashed(secrets.token_urlsafe(16))  # what a name nobody has is compared with
        self._there = not store.read_only or _there(store)
        if not store.read_only:
            _make(store)

    # -- users --------------------------------------------------------------------------------------

    def empty(self) -> bool:
        """Whether there is no user yet."""
        return self._store.row("SELECT 1 FROM user") is None

    def users(self) -> list[User]:
        """All users by name; none in a store that is only read and has never had any."""
        if not self._there:
            return []
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
        if new and not password.SHORTEST <= len(new) <= password.LONGEST:
            bounds = f"{password.SHORTEST} to {password.LONGEST:,} characters"
            raise UsageError(f"a password has {bounds}, not {len(new):,}")
        new = new or password.made()
        kept = password.hashed(new)
        with self._store.change() as base:
            done = base.execute(
                "UPDATE user SET password = ?, changed = ? WHERE name = ?", (kept, self._now(), name)
            )
            if not done.rowcount:
                raise _no_user(base, name)
            base.execute("DELETE FROM session WHERE user = ?", (name,))
            base.execute("DELETE FROM device WHERE user = ?", (name,))
            base.execute("DELETE FROM guess")
        return new

    def set_role(self, name: str, role: str) -> None:
        """Raise or lower a user, and with him his tokens; the last admin stays one. Raises UsageError."""
        number = Role.of(role)
        with self._store.change() as base:
            self._keep_one_admin(base, name, number)
            base.execute("UPDATE user SET role = ? WHERE name = ?", (number, name))

    def remove_user(self, name: str) -> None:
        """A user with his sessions and tokens; the last admin stays. Raises UsageError."""
        with self._store.change() as base:
            self._keep_one_admin(base, name, Role.NOBODY)
            base.execute("DELETE FROM user WHERE name = ?", (name,))
            base.execute("DELETE FROM session WHERE user = ?", (name,))
            base.execute("DELETE FROM device WHERE user = ?", (name,))
            base.execute("DELETE FROM token WHERE owner = ?", (name,))

    def _keep_one_admin(self, base: sqlite3.Connection, name: str, role: Role) -> None:
        found = base.execute("SELECT role FROM user WHERE name = ?", (name,)).fetchone()
        if found is None:
            raise _no_user(base, name)
        others = base.execute("SELECT count(*) FROM user WHERE role = ? AND name <> ?", (Role.ADMIN, name))
        if role < Role.ADMIN <= found[0] and not others.fetchone()[0]:
            raise UsageError(f"{name!r} is the only admin: make another user one first")

    # -- sessions -----------------------------------------------------------------------------------

    def login(self, name: str, word: str, address: str, old: str = "", device: str = "") -> Who | None:
        """A new session for the right password, None for a wrong one; the session `old` ends. Raises TooMany.

        `device` is what `remember` gave the browser.
        """
        place, now = network(address), self._now()
        with self._store.change() as base:
            known = tries.known(base, device, name, now)
            tried = tries.begin(base, f"device {device}" if known else place, name, now)
        row = self._store.rows("SELECT role, password, changed FROM user WHERE name = ?", name)
        right = password.fits(word, row[0][1] if row else self._none)
        if not row or not right:
            return None
        session = secrets.token_urlsafe(32)
        with self._store.change() as base:
            if not base.execute("SELECT 1 FROM user WHERE name = ? AND password = ?", (name, row[0][1])).fetchone():
                return None  # it was changed while we compared
            tries.succeeded(base, tried)
            base.execute("DELETE FROM session WHERE hash = ?", (digest(old),))
            base.execute("DELETE FROM session WHERE made <= ? OR seen <= ?", (now - ABSOLUTE, now - IDLE))
            base.execute("INSERT INTO session VALUES (?, ?, ?, ?, ?)", (digest(session), name, now, now, place))
        return Who(name=name, role=Role(row[0][0]), user=name, session=session)

    def knows(self, device: str, name: str) -> bool:
        """Whether a user has logged in from a browser before."""
        return self._store.row(tries.DEVICE, digest(device), name, self._now() - tries.KNOWN) is not None

    def remember(self, name: str) -> str:
        """Know the browser from which a user has logged in; gives what it is to show at the next login."""
        with self._store.change() as base:
            return tries.remember(base, name, self._now())

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
        return Who(name=name, role=Role(role), user=name, session=word)

    def lives(self, who: Who) -> bool:
        """Whether somebody who was let in still would be; it does not count as use."""
        now = self._now()
        if who.token:
            query = f"SELECT 1 FROM {TOKENS} WHERE id = ? AND (expires = 0 OR expires > ?) AND {ROLE} >= ?"
            return bool(self._store.rows(query, who.token, now, who.role))
        query = "SELECT 1 FROM session s JOIN user u ON u.name = s.user WHERE hash = ? AND made > ? AND seen > ?"
        values = digest(who.session), now - ABSOLUTE, now - IDLE, who.role
        return bool(self._store.rows(f"{query} AND role >= ?", *values))

    def logout(self, word: str) -> None:
        """End a session."""
        self._do("DELETE FROM session WHERE hash = ?", digest(word))

    # -- tokens -------------------------------------------------------------------------------------

    def tokens(self) -> list[Token]:
        """All API tokens, without what they are; none in a store that is only read and has never had any."""
        if not self._there:
            return []
        query = f'SELECT id, t.name, {ROLE}, "by", made, expires, used, owner FROM {TOKENS} ORDER BY id'
        return [
            Token(id=id, name=name, role=Role(role).word, by=by, made=made, expires=expires, used=used, owner=owner)
            for id, name, role, by, made, expires, used, owner in self._store.rows(query)
        ]

    def add_token(self, name: str, role: str, by: str, days: float = 0.0, *, owner: str = "") -> tuple[Token, str]:
        """A new token and what it is, which is shown this once; it ends after `days`, 0: never.

        It ends with the user `owner` too, and may do no more than he may at that time. Raises UsageError.
        """
        if not (0 < len(name) <= 64 and name.isprintable()):
            raise UsageError(f"a token's name has 1 to 64 printable characters, not {name[:80]!r}")
        if not 0 <= days <= 36_500:
            raise UsageError(f"a token lasts for 0 (for ever) to 36500 days, not {days:g}")
        word, number, now = PREFIX + secrets.token_urlsafe(32), Role.of(role), self._now()
        expires = now + days * 86400 if days else 0.0
        with self._store.change() as base:
            if owner and not base.execute("SELECT 1 FROM user WHERE name = ?", (owner,)).fetchone():
                raise UsageError(f"there is no user {owner!r}")  # he was removed just now
            made = base.execute(
                'INSERT INTO token (hash, name, role, "by", made, expires, used, owner)'
                " VALUES (?, ?, ?, ?, ?, ?, 0, ?)",
                (digest(word), name, number, by, now, expires, owner),
            )
        id = made.lastrowid or 0
        return Token(id=id, name=name, role=number.word, by=by, made=now, expires=expires, owner=owner), word

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
        query = f"SELECT id, t.name, {ROLE}, expires, used, owner FROM {TOKENS} WHERE hash = ?"
        rows = self._store.rows(query, digest(word))
        if not rows or 0 < rows[0][3] <= now or rows[0][2] < Role.VIEWER:
            return None
        number, name, role, _, used, owner = rows[0]
        if now >= used + SEEN:
            self._do("UPDATE token SET used = ? WHERE id = ?", now, number)
        return Who(name=f"token {name}", role=Role(role), user=owner, token=number)

    def _do(self, query: str, *values: object) -> None:
        with self._store.change() as base:
            base.execute(query, values)


def network(address: str) -> str:
    """What counts as one place: an IPv4 address, or the /64 of an IPv6 address that one customer has."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    if found.version == 6 and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(found) if found.version == 4 else str(ip_network((found, 64), strict=False))


def _make(store: File) -> None:
    """Make the tables that are not there, and bring those of an older version up to date."""
    with store.change() as base:
        for statement in TABLES:
            base.execute(statement)
        if "owner" not in {row[1] for row in store.rows("PRAGMA table_info(token)")}:  # of an older version
            base.execute("ALTER TABLE token ADD COLUMN owner TEXT NOT NULL DEFAULT ''")
            base.execute('UPDATE token SET owner = "by" WHERE "by" IN (SELECT name FROM user)')


def _there(store: File) -> bool:
    """Whether a store that is only read has users; one of an older version is brought up to date first.

    Raises StoreError where that cannot be done.
    """
    found = {name for (name,) in store.rows("SELECT name FROM sqlite_master WHERE name IN ('user', 'device')")}
    if found == {"user"}:
        try:
            with File(store.home) as own:
                _make(own)
        except StoreError as error:
            raise StoreError(f"what says who may log in is of an older version: {error}") from error
    return bool(found)


def _no_user(base: sqlite3.Connection, name: str) -> UsageError:
    names = [row[0] for row in base.execute("SELECT name FROM user ORDER BY name")]
    return UsageError(f"there is no user {name!r}{among(name, names)}")


def _tokens(base: sqlite3.Connection) -> list[str]:
    return [f"{id} ({name})" for id, name in base.execute("SELECT id, name FROM token ORDER BY id")]
