"""Which ending names which format. A format is imported when it is first used."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from ..errors import UsageError
from . import Output
from .form import Form

STDOUT = "-"
ENDINGS = (".jsonl", ".ndjson", ".jl", ".json", ".csv", ".tsv", ".xml")
DATABASES = (".sqlite", ".sqlite3", ".db")  # never compressed
IN_MEMORY = "memory"  # the run id of a crawl without a folder: it cannot be gone on with
VARIABLE = re.compile(r"\{(\w*)\}")


def open_output(
    path: str,
    *,
    append: bool = False,
    variables: Mapping[str, str],
    columns: Sequence[str] = (),
    csv_safe: bool = False,
) -> Output:
    """The output that a path names: by its ending, most with or without `.gz`; `-` is standard output.

    `{date}`, `{run}`, `{spider}` are taken from `variables`; `columns` are the declared fields of the items,
    `csv_safe` guards spreadsheets against formulas. The `run` of `variables` is what a database keeps its position
    under, and names lines on standard output. Nothing is touched yet. Raises UsageError.
    """
    run = variables.get("run", "")
    run = "" if run == IN_MEMORY else run
    if path == STDOUT:
        from .stdout import Stdout

        return Stdout(run=run)
    full = Path(expand(path, variables))
    if full.suffix.lower() in DATABASES:
        from .sqlite import SqliteFile

        return SqliteFile(full, run=run, append=append, columns=columns)
    from .file import FileOutput

    return FileOutput(full, _form(_ending(full), columns, csv_safe), append=append)


def expand(path: str, variables: Mapping[str, str]) -> str:
    """A path with its `{variables}` filled in; raises UsageError for one that is not known."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in variables:
            known = ", ".join(f"{{{each}}}" for each in sorted(variables))
            raise UsageError(f"{path}: there is no {{{name}}}{_near(name, variables)}; there are {known}")
        return variables[name]

    return VARIABLE.sub(value, path)


def check_writable(path: str) -> None:
    """Raise UsageError when the folder of an expanded path cannot be made or written; leaves no trace."""
    if path == STDOUT:
        return
    file = Path(os.path.realpath(path))
    if file.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file in it")
    folder = file.parent
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise UsageError(f"{path} cannot be written: {folder} is not a folder")
    part = file.with_name(file.name + ".part")
    if part.exists() and not os.access(part, os.W_OK):
        raise UsageError(f"{path} cannot be written: no permission to write {part}")
    try:  # permissions alone do not tell: the disk may be full, or no disk at all
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"1")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {folder}: {error.strerror}") from error


def _ending(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    ending = Path(name).suffix
    if ending not in ENDINGS:
        known, whole = " ".join(ENDINGS), " ".join(DATABASES)
        what = f"the ending {ending}" if ending else "a path without ending"
        if ending in DATABASES:
            raise UsageError(f"{path}: a database is not compressed; leave .gz out")
        raise UsageError(
            f"{path}: {what} names no format{_near(ending, (*ENDINGS, *DATABASES))}; "
            f"there are {known}, each also .gz, and {whole}"
        )
    return ending


def _near(name: str, known: Mapping[str, str] | Sequence[str]) -> str:
    found = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {found[0]}?)" if found else ""


def _form(ending: str, columns: Sequence[str], safe: bool) -> Callable[[bytes | None], Form]:
    match ending:
        case ".json":
            from .json_array import JsonArray

            return JsonArray
        case ".csv" | ".tsv":
            from .csv_table import CsvTable

            return partial(CsvTable, columns=columns, delimiter="\t" if ending == ".tsv" else ",", safe=safe)
        case ".xml":
            from .xml_items import XmlItems

            return XmlItems
        case _:
            from .jsonl import Jsonl

            return Jsonl
