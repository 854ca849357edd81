"""Who may import whom, which library is used where, and what no file may do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

import scraper
from scraper.reasons import Reason

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "scraper"
FILES = sorted(PACKAGE.rglob("*.py"))
REFERENCE = sorted((ROOT / "docs" / "reference").glob("*.md"))

# Top to bottom: a room imports from lower rows only, never from a sibling in its own row. A name is a file
# of scraper/ or a folder (a room); `testing.tour` ties the command to the demo, `__main__` starts the command.
ROWS = (
    ("__main__", "testing.tour"),
    ("cli", "testing"),
    ("dashboard",),
    ("jobs",),
    ("program",),
    ("run",),
    ("workers",),
    ("explain",),
    ("story",),
    ("logs", "discover", "followers", "changes", "live"),
    ("crawl",),
    ("errand", "seeds", "handover", "send", "reading", "resume"),
    ("judge", "page", "commit", "ticket", "identity"),
    ("spider", "stats", "folder", "alarm"),
    ("frontier", "fetch", "parse", "outputs"),
    ("item", "outcome"),
    ("response",),
    ("request",),
    ("settings", "events", "domains", "blackbox", "spool", "crew"),
    ("url", "blame", "database"),
    ("errors", "convert"),
    ("reasons", "clock", "quarantine", "lock", "runner", "words"),
)
LEVEL = {room: level for level, row in enumerate(ROWS) for room in row}

# Which file or room may use a library; all others go through that room.
HOMES = {
    "IPython": {"cli"},
    "aiofiles": {"outputs"},
    "aiohttp": {"fetch", "run", "workers", "testing", "jobs", "dashboard"},
    "backports": {"fetch"},
    "brotli": {"fetch"},
    "click": {"cli"},
    "cronsim": {"jobs"},
    "jinja2": {"dashboard"},
    "prometheus_client": {"dashboard"},
    "publicsuffixlist": {"domains"},
    "selectolax": {"parse", "cli", "testing"},
    "url": {"url", "frontier", "fetch", "parse", "testing"},
    "uvloop": {"runner", "testing"},
}
PUBLIC = {*scraper.__all__, "__version__"}
OPTIONAL = {
    "IPython", "attr", "attrs", "backports", "brotli", "compression", "cronsim", "jinja2", "prometheus_client",
    "pydantic", "uvloop",
}  # fmt: skip
# Rooms that nothing loads but what an extra is for: there its libraries are imported as any other.
EXTRAS = {"dashboard": "server"}

# Files that may be longer than 400 lines, and why.
LONGER: dict[str, int] = {}
# A log that cannot be written cannot say so in the log.
PRINTS = {"logs.py"}


def room(path: Path) -> str:
    """The room a file belongs to, as ROWS names it."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    name = ".".join(parts)
    return name if name in LEVEL else parts[0]


def imported(path: Path, tree: ast.AST) -> Iterator[str]:
    """The project's modules that a tree imports, as dotted names below `scraper`."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            start = list(package[: len(package) - node.level + 1]) if node.level else []
            whole = [*start, *(node.module or "").split(".")] if node.module else start
            if whole[:1] == ["scraper"]:
                for alias in node.names:
                    yield ".".join([*whole, alias.name][1:])
        elif isinstance(node, ast.Import):
            yield from (a.name.partition(".")[2] for a in node.names if a.name.split(".")[0] == "scraper")


def target(module: str) -> str:
    """The room of a dotted name below `scraper`, "" for the package itself."""
    return next((name for name in (module, module.rpartition(".")[0]) if name in LEVEL), module.split(".")[0])


def libraries(tree: ast.AST, *, inside: bool) -> Iterator[str]:
    """The top names a tree imports absolutely; with `inside` false only what runs at import time."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]
        elif inside or not _later(node):
            yield from libraries(node, inside=inside)


def _later(node: ast.AST) -> bool:
    """Whether a part of a module does not run when the module is imported."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.dump(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def every_file(check: Callable[[Path], None]) -> Callable[[], None]:
    """One test of all files, which tells what is wrong with each."""

    def test() -> None:
        wrong = []
        for path in FILES:
            try:
                check(path)
            except AssertionError as error:
                wrong.append(f"{path.relative_to(PACKAGE)}: {error}")
        assert not wrong, "\n".join(wrong)

    return test


@every_file
def test_a_file_imports_only_from_below(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        return  # the public names; `import scraper` loads nothing, see below
    own = room(path)
    assert own in LEVEL, f"{path.name} has no place in ROWS"
    for module in imported(path, tree_of(path)):
        other = target(module)
        if other in PUBLIC and other not in LEVEL:
            assert own in ("cli", "testing"), f"{own} imports {module} from the package's face"
        elif other and other != own:
            assert other in LEVEL, f"{module} has no place in ROWS"
            assert LEVEL[other] > LEVEL[own], f"{own} imports {module}, which is not below it"


@every_file
def test_a_library_is_used_in_its_own_room_and_an_optional_one_only_when_needed(path: Path) -> None:
    tree = tree_of(path)
    for name in libraries(tree, inside=True):
        assert room(path) in HOMES.get(name, {room(path)}), f"{name} belongs to {sorted(HOMES[name])}"
    if room(path) not in EXTRAS:
        assert OPTIONAL.isdisjoint(libraries(tree, inside=False))


@every_file
def test_a_file_is_short_and_named_for_what_it_is(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGER.get(path.relative_to(PACKAGE).as_posix(), 400)
    assert not {"utils", "util", "helpers", "helper", "common", "misc"}.intersection(path.with_suffix("").parts)


@every_file
def test_nothing_is_unpickled_evaluated_or_given_to_a_shell(path: Path) -> None:
    tree = tree_of(path)
    assert {"pickle", "marshal", "shelve", "dill"}.isdisjoint(libraries(tree, inside=True))
    for call in calls(tree):
        if isinstance(call.func, ast.Name):
            assert call.func.id not in ("eval", "exec"), f"line {call.lineno}"
        for keyword in call.keywords:
            assert keyword.arg != "shell", f"line {call.lineno}"


@every_file
def test_only_commands_and_test_servers_print(path: Path) -> None:
    if room(path).split(".")[0] in ("cli", "testing") or path.name in PRINTS:
        return
    assert not [
        call.lineno for call in calls(tree_of(path)) if isinstance(call.func, ast.Name) and call.func.id == "print"
    ]


def test_every_library_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = names_of(project["dependencies"])
    declared |= {"url"} if "url_py" in declared else set()
    declared |= {"yarl", "multidict"}  # part of aiohttp's own interface
    for path in FILES:
        extra = EXTRAS.get(room(path), "")
        more = names_of(project["optional-dependencies"][extra]) if extra else set()
        used = set(libraries(tree_of(path), inside=False)) - sys.stdlib_module_names - {"scraper", "__future__"}
        assert {name.lower() for name in used} <= declared | more, path


def names_of(lines: list[str]) -> set[str]:
    """The libraries of some requirements, as they are imported."""
    return {re.split(r"[\[<>=;, ]", line)[0].replace("-", "_").lower() for line in lines}


def test_a_room_of_an_extra_is_loaded_only_by_the_command_that_needs_it() -> None:
    for path in FILES:
        if room(path) in EXTRAS:
            continue
        for node in _at_import(tree_of(path)):
            assert target(node) not in EXTRAS, f"{path.name} loads {node}"


def _at_import(tree: ast.AST) -> Iterator[str]:
    """The project's modules that are imported below `scraper` when a file is, as dotted names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield from [node.module] if node.module else [alias.name for alias in node.names]
        elif not _later(node):
            yield from _at_import(node)


def test_every_dependency_is_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[\[<>=;, ]", line)[0] for line in project["dependencies"]}
    names = {"url" if name == "url-py" else name for name in declared}
    used = {name for path in FILES for name in libraries(tree_of(path), inside=True)}
    assert names - {"click"} <= used  # click is the command's


def test_importing_the_package_loads_no_other_library() -> None:
    code = "import scraper, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"aiohttp", "selectolax", "msgspec", "click", "asyncio", "aiofiles"} & set(done.stdout.split())


@pytest.mark.parametrize("name", scraper.__all__)
def test_a_public_name_exists_and_is_in_the_reference(name: str) -> None:
    assert getattr(scraper, name).__doc__
    assert re.search(rf"`{name}\b", "\n".join(page.read_text(encoding="utf-8") for page in REFERENCE))


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_in_the_reference(reason: Reason) -> None:
    assert f"| `{reason.value}` |" in (ROOT / "docs" / "reference" / "reasons.md").read_text(encoding="utf-8")
