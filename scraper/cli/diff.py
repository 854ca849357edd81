"""`scraper diff`: which items were added, changed or removed from one run to another."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from ..changes.compare import Compared, compare
from ..changes.items import Items
from ..changes.keep import LINES, Kept, again, keep, tell
from ..errors import OutputError, StoreError, UsageError
from ..folder import RunFolder, RunInfo, find
from ..outputs.follow import CursorFile, Follower
from ..outputs.registry import STDOUT, VARIABLE, expand, open_output
from ..resume import variables
from ..settings import resolve
from ..words import count
from . import options
from .changed import MOST, told
from .crawl import check_outputs
from .project import layers, output_folder
from .terminal import columns

NONE = "-"  # instead of the old run
CHUNK = 256 * 1024  # bytes read at once


@click.command(name="diff")
@click.argument("old")
@click.argument("new", default="")
@click.option(
    "--key", "key", multiple=True, metavar="FIELD",
    help="The field that tells one item from another, or several of them; `size.eu` is one of an object.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object on standard output.")
@click.option(
    "-o", "--output", "outputs", multiple=True, metavar="PATH",
    help="Write the changes there, in the format that the ending names, as of `export`; '-' is standard output.",
)  # fmt: skip
@options.append
@options.settings
@options.folder
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless something is wrong.")
@click.option("--into", "--keep", "into", is_flag=True, hidden=True, help="Keep the result in the folder of NEW.")
@click.option("--add", multiple=True, metavar="PATH", hidden=True, help="As -o, with --append.")
def command(
    old: str, new: str, key: tuple[str, ...], as_json: bool, outputs: tuple[str, ...],
    append: bool, pairs: tuple[str, ...], root: str | None, quiet: bool, into: bool, add: tuple[str, ...],
) -> int:  # fmt: skip
    """Compare the items of two runs, OLD and NEW: what was added, changed, removed.

    A run is its id or the beginning of it, SPIDER for its latest, or a folder. OLD may be '-' for none: everything
    is added then. An item counts as removed only when its page was fetched without it or is gone.
    """
    if not new:
        if not into:
            raise UsageError("give two runs, an older one and a newer one; '-' for no older one")
        old, new = NONE, old
    place = output_folder(root)
    after = find(place, new)
    before = None if old == NONE else find(place, old)
    info = after.read()
    key = tuple(dict.fromkeys(key))
    if not key and (not into or outputs or add):
        raise UsageError(f"which field tells one item from another? give --key FIELD{_fields(after)}")
    if as_json and STDOUT in outputs:
        raise UsageError("--json and -o - both write to standard output; give one of them")
    safe = resolve(layers(None, pairs)).csv_safe or (into and info.settings.get("csv_safe") is True)
    if not into:
        check_outputs((*outputs, *add), info.spider, append=append, adding=add)
    with _compared(before, after, key, into=into) as (done, first, lines):
        if into:  # what was found is kept, whatever becomes of the outputs
            check_outputs((*outputs, *add), info.spider, append=append, adding=add)
        for path in (*outputs, *add):
            added = append or path in add
            _write(path, info, done, lines, append=added, into=after if into else None, safe=safe, quiet=quiet)
        if isinstance(done, Kept) and key:
            tell(after, done)
        if as_json:
            _print(done, lines)
        elif not quiet:
            out = sys.stderr if STDOUT in outputs else sys.stdout
            for line in told(done, first, columns(out), colour=out.isatty()):
                click.echo(line, file=out)
    return 0


def _fields(folder: RunFolder) -> str:
    """The fields that the first item of a run has, for who has given none."""
    with Items(folder) as items:
        for each in items:
            return f"; its items have {', '.join(list(each.item)[:20])}"
    return ""


@contextmanager
def _compared(
    before: RunFolder | None, after: RunFolder, key: Sequence[str], *, into: bool
) -> Iterator[tuple[Compared, list[dict[str, Any]], IO[bytes]]]:
    """What comparing came to, the first changes of each kind, and all of them in a file."""
    if into:
        done: Compared = again(before, after, key) or keep(before, after, key)
        with open(after.path / LINES if key else os.devnull, "rb") as kept:
            yield done, [], kept
        return
    scratch = after.path if os.access(after.path, os.W_OK) else Path(tempfile.gettempdir())
    first = _First()
    with _unnamed(scratch) as lines:

        def write(line: bytes) -> None:
            lines.write(line)
            first.take(line)

        try:
            done = compare(before, after, key, write, scratch=scratch)
            lines.flush()
        except OSError as error:
            raise _told(scratch, error) from error
        yield done, first.lines, lines


class _First:
    """The first few changes of each kind."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self._left = dict.fromkeys((b'{"_change":"a', b'{"_change":"c', b'{"_change":"r'), MOST)

    def take(self, line: bytes) -> None:
        """One more."""
        kind = line[:13]
        if self._left[kind]:
            self._left[kind] -= 1
            self.lines.append(msgspec.json.decode(line))


@contextmanager
def _unnamed(folder: Path) -> Iterator[IO[bytes]]:
    try:
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed below
    except OSError as error:
        raise _told(folder, error) from error
    with file:
        yield file


def _told(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"a file for the changes, in {folder}: {error.strerror or error}; make room there")


# -- outputs ----------------------------------------------------------------------------------------


class _Lines:
    """The changes as a follower reads them; positions are bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.end = file.seek(0, os.SEEK_END) if file.name != os.devnull else 0

    async def read(self, position: int, end: int) -> tuple[list[bytes], int]:
        """Whole lines up to about a chunk."""
        data = b""
        while (whole := data.rfind(b"\n") + 1) == 0 and position + len(data) < end:
            try:
                self._file.seek(position + len(data))
                more = self._file.read(min(CHUNK, end - position - len(data)))
            except OSError as error:
                raise StoreError(f"the changes cannot be read: {error.strerror}") from error
            if not more:
                raise StoreError("the changes end too early: their file was cut from outside")
            data += more
        return data[: whole - 1].split(b"\n"), position + whole


def _write(
    path: str, info: RunInfo, done: Compared, file: IO[bytes], *, append: bool, into: RunFolder | None, safe: bool,
    quiet: bool,
) -> None:  # fmt: skip
    """Write all changes to an output. Raises OutputError.

    What a run keeps is not written twice, however often that is asked for: how far it came is kept there too.
    """
    where = expand(path, variables(info.spider, info.run, info.started))
    known = {name: f"{{{name}}}" for name in VARIABLE.findall(where)}  # it is filled in already
    # not the position of the run's items, nor that of another comparison
    known["run"] = "/".join((info.run, "changes", done.old, *done.key)) if into is not None else ""
    cursor = None if into is None else CursorFile(into.path / "outputs" / f"changes-{_digest(done, where)}")
    if isinstance(done, Kept) and done.told and cursor is not None and cursor.path.exists():
        return  # it had them all, and who reads it may have taken them away
    made = open_output(where, append=append, variables=known, columns=_columns(done), csv_safe=safe)
    lines = _Lines(file)
    follower = Follower(
        lines, made, name=where, committed=lines.end,
        cursor=cursor.load() if cursor else None, save=cursor.save if cursor else None,
    )  # fmt: skip
    follower.end(finished=True)
    asyncio.run(follower.run())
    if follower.error is not None:
        said = str(follower.error).removeprefix(f"{where}: ")
        raise OutputError(f"{where}: {said}") from follower.error
    if path != STDOUT and not quiet:
        click.echo(f"{where}  {count(done.added + done.changed + done.removed, 'change')}", err=True)


def _columns(done: Compared) -> list[str]:
    """Those of a table, the same whichever changes there are."""
    fields = (name for name in done.coverage if name.partition(".")[0] not in done.coverage or "." not in name)
    return ["_change", "_key", *fields, "_why", "_old"]


def _digest(done: Compared, where: str) -> str:
    """Tells one comparison and place from another."""
    what = msgspec.json.encode([done.old, done.key, os.path.realpath(where)])
    return hashlib.blake2b(what, digest_size=8).hexdigest()


def _print(done: Compared, lines: IO[bytes]) -> None:
    """The result with all changes as one JSON object, streamed."""
    out = sys.stdout.buffer
    out.write(msgspec.json.encode(done)[:-1] + b',"changes":[')
    for number, line in enumerate(_all(lines)):
        out.write((b",\n" if number else b"\n") + line[:-1])
    out.write(b"]}\n")
    out.flush()


def _all(lines: IO[bytes]) -> Iterable[bytes]:
    lines.seek(0)
    return lines
