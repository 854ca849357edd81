"""Users, sessions, tokens, and how often a password may be tried."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scraper.errors import UsageError
from scraper.jobs import password, tries
from scraper.jobs.access import ABSOLUTE, IDLE, Access, Role, TooMany, network
from scraper.jobs.store import Jobs
from scraper.jobs.tries import DEVICES, FORGET, FREE, KNOWN, LONGEST, wait

HERE, THERE = "192.0.2.1", "192.0.2.2"


class Now:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Jobs]:
    with Jobs(tmp_path) as jobs:
        yield jobs


@pytest.fixture
def access(store: Jobs, now: Now, monkeypatch: pytest.MonkeyPatch) -> Access:
    monkeypatch.setattr(password, "COST", 2**4)
    return Access(store, now)


def test_a_password_costs_much_and_is_kept_as_a_salted_key() -> None:
    word = password.made()
    first, second = password.hashed(word), password.hashed(word)
    assert first.startswith("scrypt$32768$8$1$")
    assert first != second
    assert word not in first
    assert password.fits(word, first)
    assert not password.fits(word + "x", first)
    assert not password.fits(word, "")
    assert not password.fits("x" * 2000, password.hashed("x" * 1024))


def test_the_first_admin_gets_a_password_that_opens_a_session(access: Access) -> None:
    assert access.empty()
    word = access.first()
    assert not access.empty()
    who = access.login("admin", word, HERE)
    assert who is not None
    assert (who.name, who.role) == ("admin", Role.ADMIN)
    assert access.session(who.session) == who
    assert access.login("admin", word + "x", HERE) is None
    assert access.login("nobody", word, HERE) is None


def test_nothing_that_opens_a_door_is_in_the_file(access: Access, store: Jobs, tmp_path: Path) -> None:
    word = access.first()
    who = access.login("admin", word, HERE)
    assert who is not None
    _, token = access.add_token("ci", "viewer", "admin")
    store.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    for secret in (word, who.session, token):
        assert secret.encode() not in data


def test_a_session_ends_when_it_is_unused_or_old(access: Access, now: Now) -> None:
    word = access.first()
    who = access.login("admin", word, HERE)
    assert who is not None
    now.at += IDLE
    assert access.session(who.session) is None
    who = access.login("admin", word, HERE)
    assert who is not None
    began = now.at
    while now.at < began + ABSOLUTE - IDLE / 2:
        now.at += IDLE / 2
        if now.at < began + ABSOLUTE:
            assert access.session(who.session) is not None
            assert access.lives(who)
    now.at = began + ABSOLUTE
    assert not access.lives(who)
    assert access.session(who.session) is None


def test_a_login_ends_the_session_before_it(access: Access) -> None:
    word = access.first()
    first = access.login("admin", word, HERE)
    assert first is not None
    second = access.login("admin", word, HERE, first.session)
    assert second is not None
    assert second.session != first.session
    assert access.session(first.session) is None


def test_logging_out_and_a_new_password_end_sessions(access: Access) -> None:
    word = access.first()
    first, second = access.login("admin", word, HERE), access.login("admin", word, HERE)
    assert first is not None
    assert second is not None
    access.logout(first.session)
    assert not access.lives(first)
    assert access.lives(second)
    new = access.first()
    assert not access.lives(second)
    assert access.login("admin", word, HERE) is None
    assert access.login("admin", new, HERE) is not None


def failed(access: Access, times: int, now: Now, *, name: str = "admin", place: str = HERE) -> None:
    """So many wrong passwords, each as soon as it may be tried."""
    for _ in range(times):
        try:
            assert access.login(name, "wrong", place) is None
        except TooMany as many:
            now.at += many.after
            assert access.login(name, "wrong", place) is None


def waited(access: Access, word: str, *, name: str = "admin", place: str = HERE, device: str = "") -> float:
    """Seconds that one would have to wait now; 0: he is let in."""
    try:
        assert access.login(name, word, place, device=device) is not None
    except TooMany as many:
        return many.after
    return 0.0


def test_each_failure_makes_the_wait_longer_up_to_a_quarter_of_an_hour_and_over_a_restart(
    access: Access, store: Jobs, now: Now
) -> None:
    word = access.first()
    assert [wait(failures) for failures in (0, FREE - 1, FREE, FREE + 1, FREE + 4)] == [0, 0, 1, 2, 16]
    assert wait(10_000) == LONGEST
    failed(access, FREE + 4, now)
    for door in (access, Access(store, now)):
        assert waited(door, word) == 16
    assert str(TooMany(8.0)).endswith("try again in 8 seconds")
    assert str(TooMany(LONGEST)).endswith("try again in 15 minutes")
    now.at -= 86400  # the clock is set back: it is no day to wait
    failed(access, 1, now)
    assert waited(access, word) == 32
    now.at += 32
    assert waited(access, word) == 0
    failed(access, 1, now)
    assert waited(access, word) == 0  # it began anew


def test_failures_stop_one_name_from_one_address(access: Access, now: Now) -> None:
    word, other = access.first(), access.add_user("eve", "viewer")
    failed(access, 30, now)
    failed(access, 30, now, name="nobody")
    failed(access, 1, now)
    assert waited(access, word) > 60
    assert waited(access, other, name="eve") == 0
    assert waited(access, word, place=THERE) == 0


def test_a_browser_that_has_logged_in_is_held_up_by_nobody_else(access: Access, now: Now) -> None:
    word = access.first()
    access.add_user("eve", "viewer")
    device = access.remember("admin")
    failed(access, 30, now)
    failed(access, 1, now)
    assert waited(access, word, device=device) == 0
    assert waited(access, word, device="x" * 43) > 60
    assert waited(access, word, device=access.remember("eve")) > 60
    for _ in range(FREE):
        assert access.login("admin", "wrong", THERE, device=device) is None
    assert waited(access, word, device=device) == 1  # it has a count of its own
    assert waited(access, access.reset("admin"), device=device) == 0
    assert not access.knows(device, "admin")
    device = access.remember("admin")
    now.at += KNOWN
    assert not access.knows(device, "admin")


def test_only_the_newest_browsers_of_a_user_are_known(access: Access, now: Now) -> None:
    access.first()
    found = []
    for _ in range(DEVICES + 1):
        now.at += 1
        found.append(access.remember("admin"))
    assert [access.knows(each, "admin") for each in found] == [False] + [True] * DEVICES


def test_made_up_names_are_bounded_and_forget_no_count_of_many_failures(
    access: Access, store: Jobs, now: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "MOST", 20)
    word = access.first()
    failed(access, FREE + 10, now)
    for number in range(40):
        failed(access, 1, now, name=f"nobody{number}")
    assert store.rows("SELECT count(*) FROM guess") == [(20,)]
    assert waited(access, word) > 60
    now.at += FORGET + 1
    failed(access, 1, now, name="nobody")
    assert store.rows("SELECT count(*) FROM guess") == [(1,)]


def test_many_tries_at_once_gain_nothing(access: Access) -> None:
    access.first()

    def tried(_: int) -> bool:
        try:
            access.login("admin", "wrong", HERE)
        except TooMany:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(tried, range(40))) == FREE


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("somewhere", "somewhere"),
    ],
)
def test_an_address_counts_with_those_its_owner_has_too(address: str, place: str) -> None:
    assert network(address) == place


def test_users_are_added_raised_and_removed_and_one_admin_stays(access: Access) -> None:
    access.first()
    word = access.add_user("eve", "viewer")
    who = access.login("eve", word, HERE)
    assert who is not None
    assert who.role is Role.VIEWER
    access.set_role("eve", "operator")
    assert [(user.name, user.role) for user in access.users()] == [("admin", "admin"), ("eve", "operator")]
    access.remove_user("eve")
    assert access.session(who.session) is None
    for wrong in (
        lambda: access.remove_user("admin"),
        lambda: access.set_role("admin", "viewer"),
        lambda: access.add_user("admin", "viewer"),
        lambda: access.add_user("a b", "viewer"),
        lambda: access.add_user("mallory", "root"),
        lambda: access.reset("nobody"),
        lambda: access.reset("admin", "short"),
        lambda: access.reset("admin", "x" * 1025),
    ):
        with pytest.raises(UsageError):
            wrong()


def test_a_lowered_user_no_longer_lives_as_what_he_was(access: Access) -> None:
    access.first()
    who = access.login("eve", access.add_user("eve", "operator"), HERE)
    assert who is not None
    access.set_role("eve", "viewer")
    assert not access.lives(who)
    lowered = access.session(who.session)
    assert lowered is not None
    assert lowered.role is Role.VIEWER


def test_a_token_opens_until_it_ends_or_is_removed(access: Access, now: Now) -> None:
    made, word = access.add_token("ci", "operator", "admin", days=1)
    who = access.token(word)
    assert who is not None
    assert (who.name, who.role, who.token) == ("token ci", Role.OPERATOR, made.id)
    assert access.tokens()[0].used == now.at
    assert access.lives(who)
    now.at += 86400
    assert access.token(word) is None
    assert not access.lives(who)
    other, word = access.add_token("other", "viewer", "admin")
    assert access.token(word) is not None
    access.remove_token(other.id)
    assert access.token(word) is None
    assert access.token("scr_" + "x" * 43) is None
    with pytest.raises(UsageError):
        access.remove_token(other.id)
    with pytest.raises(UsageError):
        access.add_token("x", "root", "admin")


def test_a_token_ends_with_its_user_and_may_no_more_than_he(access: Access) -> None:
    access.first()
    access.add_user("eve", "admin")
    made, word = access.add_token("ci", "operator", "eve", owner="eve")
    _, loose = access.add_token("cron", "operator", "eve")  # by a command of a user of the machine who is called so
    who = access.token(word)
    assert who is not None
    assert (who.user, who.role, made.owner) == ("eve", Role.OPERATOR, "eve")
    access.set_role("eve", "viewer")
    assert not access.lives(who)
    lowered = access.token(word)
    assert lowered is not None
    assert lowered.role is Role.VIEWER
    assert [token.role for token in access.tokens()] == ["viewer", "operator"]
    assert access.lives(lowered)
    access.remove_user("eve")
    assert access.token(word) is None
    assert not access.lives(lowered)
    access.add_user("eve", "admin")  # another one of this name
    assert access.token(word) is None
    assert access.token(loose) is not None
    assert [token.name for token in access.tokens()] == ["cron"]
    with pytest.raises(UsageError):
        access.add_token("ci", "viewer", "adam", owner="adam")


def test_the_tokens_of_a_store_of_before_belong_to_the_users_who_made_them(access: Access, store: Jobs) -> None:
    access.add_user("eve", "operator")
    words = [access.add_token("ci", "admin", by)[1] for by in ("eve", "root")]
    with store.change() as base:
        base.execute("ALTER TABLE token DROP COLUMN owner")
        base.execute("CREATE TABLE login (id INTEGER PRIMARY KEY, address TEXT NOT NULL)")
        base.execute("DROP TABLE device")
    with Jobs(store.home, read_only=True) as reader:  # who only looks comes first
        assert [token.owner for token in Access(reader).tokens()] == ["eve", ""]
    again = Access(store)
    found = [again.token(word) for word in words]
    assert [who.role for who in found if who is not None] == [Role.OPERATOR, Role.ADMIN]
    assert store.rows("SELECT name FROM sqlite_master WHERE name = 'login'") == []  # nor are addresses kept on
