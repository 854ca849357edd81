"""Users, sessions, tokens, and how often a password may be tried."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scraper.errors import UsageError
from scraper.jobs import password
from scraper.jobs.access import ABSOLUTE, IDLE, KNOWN, OVERALL, PER_ADDRESS, SPAN, Access, Role, TooMany, network
from scraper.jobs.store import Jobs

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


def test_too_many_failures_from_one_address_stop_it_for_a_while_and_over_a_restart(
    access: Access, store: Jobs, now: Now
) -> None:
    word = access.first()
    for _ in range(PER_ADDRESS):
        assert access.login("admin", "wrong", HERE) is None
        now.at += 1
    for door in (access, Access(store, now)):
        with pytest.raises(TooMany) as error:
            door.login("admin", word, HERE)
        assert 0 < error.value.after <= SPAN
    assert access.login("admin", word, THERE) is not None
    now.at += SPAN
    assert access.login("admin", word, HERE) is not None


def test_failures_from_everywhere_stop_only_those_who_never_logged_in(access: Access, now: Now) -> None:
    word = access.first()
    assert access.login("admin", word, HERE) is not None
    for number in range(OVERALL):
        assert access.login("admin", "wrong", f"198.51.100.{number}") is None
    with pytest.raises(TooMany):
        access.login("admin", word, THERE)
    assert access.login("admin", word, HERE) is not None
    now.at += KNOWN
    assert access.login("admin", word, THERE) is not None


def test_many_tries_at_once_gain_nothing(access: Access) -> None:
    access.first()

    def tried(_: int) -> bool:
        try:
            access.login("admin", "wrong", HERE)
        except TooMany:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(tried, range(40))) == PER_ADDRESS


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
