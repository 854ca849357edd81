"""What makes two crawls the same one: seeds, arguments, the settings that say what is crawled, the source.

A run that was cut short is continued by a command with the same identity; what it differs in is said in words.
Secrets enter the digests through a slow key derivation, and run.json never.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from .folder import RunInfo
from .settings import Settings
from .spider import Spider, arguments

SECRET_NAME = re.compile(r"pass|secret|token|api_?key|credential", re.IGNORECASE)
SECRET_SETTINGS = frozenset({"auth", "proxy", "headers", "hosts"})
USERINFO = re.compile(r"//[^/?#\s]*@")
NOT_KEPT = "(not kept)"
ROUNDS = 100_000  # of PBKDF2: some 30 ms, and only where there are secrets

# The settings that say what is fetched and what a callback gets of it. A change here could mix two crawls in
# one result, so it begins a new run: a run too many is told and loses nothing.
WHAT = (
    *("scope", "allowed_domains", "prefixes", "allow", "deny", "traps", "nofollow", "max_depth"),  # which URLs
    *("robots", "allow_private"),  # and which of them may be fetched
    *("user_agent", "headers", "auth", "cookies"),  # whom servers see: by it they choose language and content
    *("accept_status", "keep_partial"),  # which responses reach a callback
)
WHAT_OF_HOSTS = ("robots", "headers", "auth")
# Not among them, so that a run goes on with another: pace (concurrency, per_host, delay, max_rest), patience
# (timeouts, retries, backoff, breaker, max_wait, grace), sizes, limits of the run (max_pages, max_items ...: may
# be raised), the way there (proxy, verify, contact), and the results (commit_every ... log_level).
SECRET_WHAT = frozenset({"headers", "auth", "hosts"})

PACKAGE = Path(__file__).parent
LIBRARIES = ("site-packages", "dist-packages")
STDLIB = Path(sysconfig.get_path("stdlib"))


class Identity(msgspec.Struct, frozen=True):
    """What a crawl is: digests of its parts, and what run.json may say of them."""

    spider: str
    source: str  # the file of the spider, "" when it has none
    digests: dict[str, str]  # of seeds, arguments, settings, source
    arguments: dict[str, Any]
    settings: dict[str, Any]

    @classmethod
    def of(cls, spider: Spider, settings: Settings) -> Identity:
        """Of a spider that has its arguments, with the settings in force. Reads the spider's source file."""
        kept, secret = _told_arguments(spider)
        digests = {
            "seeds": digest(_seeds(spider)),
            "arguments": digest([kept, _sealed(spider.name, secret)]),
            "settings": digest(_settings(spider.name, settings)),
            "source": _source(type(spider)),
        }
        return cls(spider.name, source_file(type(spider)), digests, kept, told_settings(settings, spider))

    @property
    def whole(self) -> str:
        """One digest of everything."""
        return digest([self.spider, self.digests])

    def info(self, run: str, started: float) -> RunInfo:
        """The record of a run that begins."""
        return self.into(RunInfo(run=run, spider=self.spider, started=started))

    def into(self, info: RunInfo) -> RunInfo:
        """Let a record say what is crawled from now on."""
        info.source, info.arguments, info.settings = self.source, self.arguments, self.settings
        info.identity, info.digests = self.whole, self.digests
        return info

    def differences(self, info: RunInfo) -> list[str]:
        """What a run was begun with that is different now, in words; empty when it is the same crawl."""
        if info.identity == self.whole:
            return []
        if not info.digests:
            return ["its record is of an older version"]
        changed = [part for part in self.digests if info.digests.get(part) != self.digests[part]]
        words = {"seeds": "its start URLs differ", "source": "the spider's source has changed"}
        words["arguments"] = f"its arguments differ{_names(info.arguments, self.arguments)}"
        words["settings"] = f"its settings differ{_names(info.settings, self.settings, of=(*WHAT, 'hosts'))}"
        return [words[part] for part in changed]


def _names(before: dict[str, Any], now: dict[str, Any], of: Sequence[str] = ()) -> str:
    """Which values differ, in brackets; a secret one does not show."""
    names = of or [*dict.fromkeys([*before, *now])]
    changed = [name for name in names if before.get(name) != now.get(name)]
    return f" ({', '.join(changed) or 'a secret one'})"


def digest(value: Any) -> str:
    """32 hexadecimal digits for plain data; tables and sets are the same in any order."""
    data = msgspec.json.encode(value, order="deterministic", enc_hook=str)
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _sealed(spider: str, secret: Any) -> str:
    """Secrets as something that can be compared, and costs time to be guessed; "" for none."""
    if not secret:
        return ""
    data = msgspec.json.encode(secret, order="deterministic", enc_hook=str)
    return hashlib.pbkdf2_hmac("sha256", data, f"scraper {spider}".encode(), ROUNDS).hex()


def _seeds(spider: Spider) -> list[list[str]]:
    """What may be looked at without being used up."""
    found = []
    for each in (spider.start_urls, spider.allowed_domains):
        texts = [*map(str, each)] if isinstance(each, Sequence | set | frozenset) else []
        found.append(texts if isinstance(each, Sequence) else sorted(texts))
    return found


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=str, order="deterministic")


def _told_arguments(spider: Spider) -> tuple[dict[str, Any], dict[str, Any]]:
    """What may be kept of the arguments, and those of which something may not, as they are.

    A secret that is the default is not mentioned: whoever continues the run has the default again.
    """
    kept, secret = {}, {}
    for name, (_, argument) in arguments(type(spider)).items():
        given = _plain(getattr(spider, name))
        hidden = argument.secret or SECRET_NAME.search(name)
        shown = NOT_KEPT if hidden else _without_userinfo(given)
        if shown != given:
            secret[name] = given
        if shown == given or given != _plain(argument.default):
            kept[name] = shown
    return kept, secret


def not_kept(info: RunInfo) -> list[str]:
    """The arguments of a run that run.json does not hold, or not whole."""
    return [name for name, value in info.arguments.items() if NOT_KEPT in msgspec.json.encode(value).decode()]


def kept_settings(info: RunInfo, kind: type[Spider]) -> dict[str, Any]:
    """The settings that a run was begun with, as far as run.json holds them, without what is its spider's own."""
    own = {"allowed_domains": sorted(map(str, kind.allowed_domains))}
    return {name: value for name, value in info.settings.items() if value not in (NOT_KEPT, own.get(name))}


def _without_userinfo(value: Any) -> Any:
    """Plain data without the `user:password@` of URLs in it."""
    if isinstance(value, str):
        return USERINFO.sub(f"//{NOT_KEPT}@", value)
    if isinstance(value, dict):
        return {key: _without_userinfo(each) for key, each in value.items()}
    return [_without_userinfo(each) for each in value] if isinstance(value, list) else value


def told_settings(settings: Settings, spider: Spider | None = None) -> dict[str, Any]:
    """The settings that differ from the defaults, without their secrets; a spider's own domains are one of them."""
    own: Any = spider.allowed_domains if spider is not None and not settings.allowed_domains else ()
    listed = isinstance(own, Sequence | set | frozenset) and own
    return ({"allowed_domains": sorted(map(str, own))} if listed else {}) | {
        name: NOT_KEPT if name in SECRET_SETTINGS else msgspec.to_builtins(value)
        for name, value in _changed(settings, Settings.__struct_fields__)
    }


def _changed(settings: Settings, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    default = Settings()
    for name in names:
        value = getattr(settings, name)
        if value != getattr(default, name):
            yield name, value


def _settings(spider: str, settings: Settings) -> list[Any]:
    """Only what differs from the defaults: a new version, with new settings, continues the runs of the old one."""
    values: dict[str, Any] = {}
    for name, value in _changed(settings, WHAT):
        values[name] = sorted(value) if isinstance(value, list) else value
    hosts = {}
    for pattern, rule in settings.hosts.items():
        what = {name: getattr(rule, name) for name in WHAT_OF_HOSTS if getattr(rule, name) is not None}
        if what:
            hosts[pattern] = what
    if hosts:
        values["hosts"] = hosts
    secret = {name: values.pop(name) for name in SECRET_WHAT & values.keys()}
    return [values, _sealed(spider, secret)]


def source_file(kind: type[Spider]) -> str:
    """The file that a class is written in, "" for one that was typed at a prompt."""
    with suppress(OSError, TypeError):
        return inspect.getsourcefile(kind) or ""
    return ""


def _source(kind: type[Spider]) -> str:
    """A digest of the spider's file, and of those of its bases that belong to the project, wherever they lie."""
    files = dict.fromkeys(source_file(each) for each in kind.__mro__ if _is_project(each, kind))
    texts = [_read(Path(file)) for file in files if file]
    return digest(texts or [_typed(kind)])


def _is_project(each: type, kind: type[Spider]) -> bool:
    path = Path(source_file(each))
    if path.is_relative_to(PACKAGE):
        return False
    foreign = path.is_relative_to(STDLIB) or not set(LIBRARIES).isdisjoint(path.parts)
    return each is kind or not foreign


def _read(file: Path) -> str:
    try:
        return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
    except OSError:  # it came from elsewhere: an archive
        return str(file)


def _typed(kind: type[Spider]) -> list[str]:
    """The methods of a class without a file, as far as the prompt remembers them."""
    found = []
    for name, value in sorted(vars(kind).items()):
        if inspect.isfunction(value):
            with suppress(OSError, TypeError):
                found.append(f"{name} {inspect.getsource(value)}")
    return found
