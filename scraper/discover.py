"""Finds spiders: lists them by reading the files, imports only the one that is run."""

from __future__ import annotations

import ast
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from .errors import ScraperError, UsageError
from .settings import near
from .spider import Spider, check

FOLDER = "spiders"


class Found(msgspec.Struct, frozen=True):
    """A spider in a file, as the text of the file tells it."""

    name: str
    path: Path
    line: int
    summary: str = ""


class Class(msgspec.Struct, frozen=True):
    """A class in a file, as the text of the file tells it.

    `word` is its name in the file, `spider` that of the spider it is, "" for none; `secret` are the arguments that
    it declares so itself.
    """

    word: str
    spider: str
    bases: tuple[str, ...]
    secret: frozenset[str]


def listed(project: Path) -> list[Found]:
    """The spiders of a project's `spiders/` folder, by name. Files that do not parse are passed over."""
    found = [each for path in sorted((project / FOLDER).rglob("*.py")) for each in in_file(path)]
    return sorted(found, key=lambda each: (each.name, str(each.path)))


def unreadable(project: Path) -> list[str]:
    """What keeps the files of `spiders/` from being read, a line each: nobody knows which spiders they hold."""
    found = []
    for path in sorted((project / FOLDER).rglob("*.py")):
        try:
            _tree(path)
        except (SyntaxError, UnicodeDecodeError, ValueError, OSError) as error:
            place = f"{path.name}:{error.lineno}" if isinstance(error, SyntaxError) else path.name
            found.append(f"{place}: {getattr(error, 'msg', None) or error}")
    return found


def _tree(path: Path) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd escapes
        return ast.parse(path.read_text(encoding="utf-8"))


def in_file(path: Path) -> Iterator[Found]:
    """The spiders a file declares: classes with `name = "..."`. Nothing is imported."""
    try:
        tree = _tree(path)
    except (SyntaxError, UnicodeDecodeError, ValueError, OSError):
        return
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.bases:
            name = _name(node)
            if name:
                summary = (ast.get_docstring(node) or ast.get_docstring(tree) or "").strip().partition("\n")[0]
                yield Found(name, path, node.lineno, summary)


def classes(path: Path) -> list[Class] | None:
    """The classes of a file, None when it cannot be read. Nothing is imported."""
    try:
        tree = _tree(path)
    except (SyntaxError, UnicodeDecodeError, ValueError, OSError, RecursionError):
        return None
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            bases = tuple(word for base in node.bases if (word := _word(base)))
            secret = frozenset(name for name, value in _given(node) if _is_secret(value))
            found.append(Class(node.name, _name(node), bases, secret))
    return found


def _word(node: ast.expr) -> str:
    """The last part of a dotted name, also of one with brackets behind it."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_secret(value: ast.expr) -> bool:
    """Whether it is a call as `arg(secret=True)`, or one that may be that when it runs."""
    words = value.keywords if isinstance(value, ast.Call) else []
    return any(
        word.arg in ("secret", None) and not (isinstance(word.value, ast.Constant) and not word.value.value)
        for word in words
    )


def _given(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    """The names that a class gives a value, and these."""
    for statement in node.body:
        targets = (
            statement.targets
            if isinstance(statement, ast.Assign)
            else [statement.target]
            if isinstance(statement, ast.AnnAssign)
            else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and (value := getattr(statement, "value", None)) is not None:
                yield target.id, value


def _name(node: ast.ClassDef) -> str:
    for name, value in _given(node):
        if name == "name" and isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
    return ""


def find(word: str, project: Path) -> type[Spider]:
    """The spider class that a name or a `FILE.py` (or `FILE.py:NAME`) means, imported. Raises UsageError."""
    file, _, wanted = word.partition(":")
    if file.endswith(".py") or "/" in file:
        return _from_file(Path(file), wanted)
    known = listed(project)
    matching = [each for each in known if each.name == word]
    if len(matching) > 1:
        places = " and ".join(f"{each.path}:{each.line}" for each in matching)
        raise UsageError(f"two spiders are named {word!r}: {places}; give the file instead")
    if not matching:
        where = project / FOLDER
        if wrong := unreadable(project):
            raise UsageError(f"no spider {word!r} in {where}, but it may be in a file with an error: {wrong[0]}")
        if not known:
            raise UsageError(f"no spider {word!r}: there are none in {where}; give a file, or `scraper new spider`")
        names = ", ".join(dict.fromkeys(each.name for each in known))
        raise UsageError(
            f"no spider {word!r} in {where}{near(word, [e.name for e in known]) or f'; there are {names}'}"
        )
    return _from_file(matching[0].path, word)


def _from_file(path: Path, wanted: str = "") -> type[Spider]:
    if not path.is_file():
        raise UsageError(f"no file {path}")
    module = load(path)
    classes = dict.fromkeys(  # a class may have two names in its file
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Spider) and value.__module__ == module.__name__
    )
    named = [kind for kind in classes if kind.name]
    if wanted:
        named = [kind for kind in named if kind.name == wanted]
    if not named:
        what = f"spider {wanted!r}" if wanted else "subclass of Spider with a name"
        raise UsageError(f"{path} has no {what}")
    if len(named) > 1:
        if len({kind.name for kind in named}) < len(named):
            raise UsageError(f"{path}: two spiders are named {named[0].name!r}")
        choices = ", ".join(f"{path}:{kind.name}" for kind in named)
        raise UsageError(f"{path} has {len(named)} spiders; choose one: {choices}")
    check(named[0])
    return named[0]


def load(path: Path) -> Any:
    """Import a file under a name of its own, so that it may be called anything. Raises UsageError."""
    path = path.resolve()
    name = f"scraper_spider_{abs(hash(str(path))):x}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.append(str(path.parent))  # at the end: a spider called json.py must not stand in for json
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if isinstance(error, UsageError):
            raise
        line = "" if isinstance(error, ScraperError) else f"{_line(error, path)}: {type(error).__name__}"
        raise UsageError(f"{path}{line}: {error}") from error
    finally:
        with suppress(ValueError):  # the file may have taken it away itself
            sys.path.remove(str(path.parent))
    return module


def _line(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.lineno:
        return f":{error.lineno}"
    trace, line = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = f":{trace.tb_lineno}"
        trace = trace.tb_next
    return line
