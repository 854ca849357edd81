"""Jobs as people declare them: jobs.toml, a form, JSON. What is wrong is told with its place and what is near."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ..convert import among
from ..errors import Mistakes, UsageError
from ..outputs.registry import STDOUT, open_output
from ..spider import NAME as SPIDER_NAME
from .channels import check_headers
from .difference import Change as Change
from .difference import Declared as Declared
from .difference import difference as difference
from .job import Channel, Job, Mail, Output, Overlap, Server
from .keys import JOB, address, data_of, fitted, made, numbered, room, table, values_of
from .places import Found, Place, Wrong, lined
from .schedule import Schedule
from .whole import EACH, fits

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
NAMED = "the name of a job must be 1 to 64 letters, digits, '-' or '_', and not begin with '-'"
TABLES = ("server", "groups", "channels", "mail", "jobs")
TIMES = ("timezone", "start", "end", "jitter", "schedule")  # each is judged beside those before it
ASKED = ("spider", "args", "settings", "output", "key")  # keys that a spider is asked about
UNNAMED = "job"  # of a job whose name is wrong
TOGETHER = frozenset({"parallel", "overlap", "output", "key"})
SAMPLE = {"date": "2000-01-01", "run": "20000101-000000-0000"}
_AT = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")


def read(path: Path) -> Declared:
    """A whole jobs.toml. Raises UsageError (Mistakes) that names the file, the line, the table and the key."""
    declared, wrong = looked(path)
    if wrong:
        raise Mistakes(wrong)
    return declared


def looked(path: Path) -> tuple[Declared, list[Wrong]]:
    """What a jobs.toml has right, and all that is wrong in it, by line. Raises UsageError where it is no TOML."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = _AT.search(str(error))
        line = f":{said[1]}" if said and said[1] else ""
        raise UsageError(f"{path}{line}: {_AT.sub('', str(error))}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    found = Found()
    declared = _declared(data, found)
    named = [data[name] if isinstance(data.get(name), dict) else {} for name in ("channels", "jobs")]
    with found:  # what is wrong in itself may still be named by others
        fits(named[0], declared.jobs, others=named[1])
    wrong = {each.place[1] for each in found.each if each.place[0] == "jobs" and len(each.place) > 1}
    right = {name: job for name, job in declared.jobs.items() if name not in wrong}
    return Declared(declared.server, right), lined(path, text, found.each)


def declared_from(data: Mapping[str, Any]) -> Declared:
    """The tables of a jobs.toml, each for itself. Raises Mistakes (UsageError)."""
    found = Found()
    declared = _declared(data, found)
    found.tell()
    return declared


def _declared(data: Mapping[str, Any], found: Found) -> Declared:
    """What is right of these tables, also of a job that has something wrong."""
    server, jobs = Server(), {}
    for name in data:
        with found:
            if name not in TABLES:
                raise Wrong((name,), f"unknown table{among(name, TABLES)}")
    with found:
        server = _server(data)
    with found:
        for name, each in table(data.get("jobs", {}), ("jobs",)).items():
            with found:
                if not NAME.fullmatch(name):
                    raise Wrong(("jobs", name), NAMED)
                jobs[name] = _job(name, each, found)
    return Declared(server, jobs)


def job_from(name: str, data: Mapping[str, Any], where: str) -> Job:
    """One job from its keys, wherever they come from: `where` stands before what is wrong. Raises Mistakes."""
    found, job = Found(), None
    with found:
        if not NAME.fullmatch(name):
            given = f", not {name[:80]!r}" if name else "; it is missing"
            raise Wrong(("jobs", name[:80], "name"), f"{NAMED}{given}")
    with found:
        job = _job(name, data, found)
    found.tell(where)
    assert job is not None
    return job


def right_of(name: str, data: Mapping[str, Any], found: Found) -> Job | None:
    """Of a job with mistakes that were `found` what a spider can be asked about; None where nothing is left."""
    wrong = found.keys(2)
    right = {key: data[key] for key in ASKED if key in data and key not in wrong}
    try:
        return job_from(UNNAMED if "name" in wrong else name, right, "")
    except Mistakes:
        return None


def args_from(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of one run of the job `name`, as those of a job may be. Raises Mistakes."""
    return data_of(data, ("jobs", name, "args"))


def server_from(data: Mapping[str, Any], where: str) -> Server:
    """What holds for all jobs, from the tables server, groups, channels and mail. Raises Mistakes."""
    found, server = Found(), Server()
    with found:
        server = _server(data)
    found.tell(where)
    return server


def _job(name: str, data: object, all_found: Found) -> Job:
    """What is right of a job. Raises Wrong where it is no table."""
    place, found = ("jobs", name), Found()
    values = values_of(Job, data, place, JOB, found, name=name)
    job, wrong = Job(**{"spider": "", **values}), found.keys(len(place))
    with found:
        known = SPIDER_NAME.fullmatch(job.spider) and not job.spider.endswith(".py")
        if not known and "spider" not in wrong:
            what = f"must be the name of a spider, not {job.spider!r}; see `scraper list`"
            raise Wrong((*place, "spider"), what)
    _times(job, place, found)
    if wrong.isdisjoint(TOGETHER):
        _together(job, place, found)
    all_found.each += found.each
    return job


def _times(job: Job, place: Place, found: Found) -> None:
    """When it runs: key by key, so that one that is wrong hides no other."""
    right = Job(name=job.name, spider=job.spider)
    for key in TIMES:
        tried = replace(right, **{key: getattr(job, key)})
        with found:
            try:
                Schedule.parse(tried)
            except UsageError as error:
                raise Wrong((*place, key), str(error).partition(" ")[2]) from error
            right = tried


def _together(job: Job, place: Place, found: Found) -> None:
    """What keys of one job can have wrong only together."""
    with found:
        if job.parallel > 1 and job.overlap is not Overlap.ALLOW:
            raise Wrong((*place, "parallel"), f'is for overlap = "allow", not for "{job.overlap.value}"')
    for at, output in numbered("output", job.output):
        with found:
            _check_output(job, output, (*place, at))


def _check_output(job: Job, output: Output, place: Place) -> None:
    if output.only == "changes" and not job.key:
        raise Wrong(place, 'only = "changes" needs `key`: the fields that tell items apart')
    if job.parallel > 1 and EACH not in output.path:
        raise Wrong(place, f"two runs at once would write {output.path}: put {EACH} into the path")
    if output.path == STDOUT:
        raise Wrong(place, "a job has no standard output: give the path of a file")
    try:
        open_output(output.path, append=output.append, variables={**SAMPLE, "spider": job.spider})
    except UsageError as error:
        raise Wrong(place, str(error)) from error


def _server(data: Mapping[str, Any]) -> Server:
    """What holds for all jobs. Raises Mistakes: all that is wrong with it."""
    found = Found()
    own: dict[str, Any] = {}
    groups: dict[str, int] = {}
    channels: dict[str, Channel] = {}
    mail = None
    with found:
        for name, each in table(data.get("groups", {}), ("groups",)).items():
            with found:
                groups[name] = fitted("parallel", each, int, ("groups", name))
    with found:
        for name, each in table(data.get("channels", {}), ("channels",)).items():
            with found:
                channels[name] = _channel(each, ("channels", name), mail="mail" in data)
    with found:
        if "mail" in data:
            mail = made(Mail, data["mail"], ("mail",), {})
    with found:
        fixed = {"groups": groups, "channels": channels, "mail": mail}
        own = values_of(
            Server, data.get("server", {}), ("server",), {"address": address, "free_space": room}, found, **fixed
        )
    found.tell()
    return Server(**own)


def _channel(data: object, place: Place, *, mail: bool) -> Channel:
    """One channel; `mail`: there is a server that sends e-mail. Raises Mistakes."""
    channel, found = made(Channel, data, place, {"webhook": address}), Found()
    ways = [name for name in ("webhook", "email", "command") if getattr(channel, name)]
    with found:
        if len(ways) != 1:
            given = " and ".join(ways) or "none"
            raise Wrong(place, f"must have exactly one of webhook, email and command, not {given}")
        if channel.email and not mail:
            raise Wrong((*place, "email"), "needs the table [mail]: the server that sends it")
    for name in ("secret", "headers", "allow_private"):
        with found:
            if ways and getattr(channel, name) and not channel.webhook:
                raise Wrong((*place, name), f"is for a webhook, and this channel has {' and '.join(ways)}")
    with found:
        try:
            check_headers(channel.headers)
        except UsageError as error:
            raise Wrong((*place, "headers"), str(error)) from error
    found.tell()
    return channel
