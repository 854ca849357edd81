"""`scraper jobs users` and `tokens`, `backup` and `restore`."""

from __future__ import annotations

import json

from scraper.jobs.access import Access, Role
from tests.cli.jobs.conftest import Project


def test_a_user_is_made_raised_given_another_password_and_taken_away(project: Project) -> None:
    assert "the first start of `scraper serve`" in project.well("users").err
    first = project.well("users", "add", "ann", "--role", "operator")
    assert first.err == "user ann, operator, has the password (it is not shown again)\n"
    project.well("users", "add", "bob", "--role", "admin")
    project.well("users", "role", "ann", "viewer")
    second = project.well("users", "password", "ann").out.strip()
    with project.store() as store:
        access = Access(store)
        assert access.login("ann", first.out.strip(), "127.0.0.1") is None
        who = access.login("ann", second, "127.0.0.1")
        assert who is not None
        assert who.role is Role.VIEWER
    assert [line.split()[:2] for line in project.well("users").lines[1:]] == [["ann", "viewer"], ["bob", "admin"]]
    project.well("users", "remove", "ann")
    assert (
        project.jobs("users", "remove", "bob").err
        == "error: 'bob' is the only admin: make another user one first\n"
    )
    assert [user["name"] for user in json.loads(project.well("users", "--json").out)] == ["bob"]


def test_a_forgotten_password_of_admin_is_made_anew(project: Project) -> None:
    word = project.well("users", "password").out.strip()
    again = project.well("users", "password").out.strip()
    assert word != again
    with project.store() as store:
        access = Access(store)
        assert access.login("admin", word, "127.0.0.1") is None
        assert access.login("admin", again, "127.0.0.1") is not None


def test_a_token_is_shown_once_and_opens_until_it_is_removed(project: Project) -> None:
    said = project.well("tokens", "add", "ci", "--role", "operator", "--for", "90 days")
    word = said.out.strip()
    assert word.startswith("scr_")
    assert said.err == "token 1, ci, operator: (it is not shown again)\n"
    assert word not in project.well("tokens").out
    assert project.well("tokens").lines[1].startswith("1 ci operator ")
    with project.store() as store:
        assert Access(store).token(word) is not None
        project.well("tokens", "remove", "1")
        assert Access(store).token(word) is None
    assert project.jobs("tokens", "remove", "1").code == 2
    assert "--for must be a duration" in project.jobs("tokens", "add", "ci", "--for", "soon").err


def test_a_copy_is_put_back_and_the_store_before_is_kept(project: Project) -> None:
    project.well("add", "shop", "--spider", "shop", "--schedule", "@daily")
    assert project.well("backup", "copy.sqlite").out.startswith("copy.sqlite  ")
    assert "is there already" in project.jobs("backup", "copy.sqlite").err
    project.well("add", "later", "--spider", "shop")
    assert project.jobs("restore", "copy.sqlite").err.startswith("error: nothing was put back: there is nobody")
    said = project.well("restore", "copy.sqlite", "--yes")
    assert said.out == "put back 1 job\n"
    assert "the store before is output/.jobs/jobs.sqlite.before-" in said.err
    assert [job["name"] for job in json.loads(project.well("--json").out)] == ["shop"]
    assert project.jobs("restore", "nothing", "--yes").code == 2
