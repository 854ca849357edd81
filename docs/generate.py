"""Writes docs/reference/settings.md and jobs.md from the code: `python docs/generate.py`.

jobs.md is docs/jobs.in with a table in the place of each `<!-- keys NAME -->`.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import typing
from pathlib import Path

import msgspec

from scraper.settings import HINTS, NAMES, HostSettings, Settings, describe

HERE = Path(__file__).parent
TARGET = HERE / "reference" / "settings.md"
JOBS, SOURCE = HERE / "reference" / "jobs.md", HERE / "jobs.in"
INTRO = """# Settings

<!-- Written by docs/generate.py from scraper/settings.py. -->

Where a setting comes from, weakest first:

1. the default below
2. `scraper.toml`, or `[tool.scraper]` in `pyproject.toml`, in the project's folder or the nearest one above
3. the spider's `settings`
4. an environment variable: `SCRAPER_DELAY=2`
5. the command line: `-s delay=2`

In a program only 1, 3 and the `settings` given there count. A key that is not known is an error that names the
nearest one. In text, lists are JSON or separated by commas, tables are JSON. 0 means no limit for the limits of the
crawl. `scraper settings --spider NAME` shows what a spider runs with, and who set it.
"""
HOSTS = """## `hosts`

A table from a pattern of host names (`*` stands for anything) to {names}. Where several patterns fit, a later
one is stronger.

```toml
[hosts."*.example.com"]
delay = 2.0
headers = {{ Accept-Language = "de" }}
```

`Authorization`, `Cookie` and `Proxy-Authorization` are refused in the general `headers`, which go to every host;
they belong here.
"""


def groups() -> dict[str, list[str]]:
    """The settings under the headings that the class has as comments."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in inspect.getsource(Settings).splitlines():
        if comment := re.fullmatch(r"    # (.+)", line):
            heading = comment[1]
        elif (field := re.match(r"    (\w+): ", line)) and field[1] in NAMES:
            found.setdefault(heading, []).append(field[1])
    return found


def row(name: str) -> str:
    """One line of the table."""
    meaning, unit = describe(name)
    kind = getattr(HINTS[name], "__origin__", None)
    if typing.get_origin(kind) is typing.Literal:
        meaning += " One of " + ", ".join(f"`{choice}`" for choice in typing.get_args(kind)) + "."
    default = msgspec.json.encode(getattr(Settings(), name)).decode()
    return f"| `{name}` | `{default}` | {unit} | {meaning} |".replace("|  |", "| |")


def page() -> str:
    """The whole page."""
    parts = [INTRO]
    for heading, names in groups().items():
        rows = "\n".join(map(row, names))
        parts.append(f"## {heading}\n\n| setting | default | unit | meaning |\n|---|---|---|---|\n{rows}\n")
    fields = HostSettings.__struct_fields__
    parts.append(HOSTS.format(names=", ".join(f"`{name}`" for name in fields[:-1]) + f" and `{fields[-1]}`"))
    return "\n".join(parts)


def jobs_page() -> str:
    """The whole page about jobs.toml."""
    spec = importlib.util.spec_from_file_location("keys", HERE / "keys.py")
    assert spec is not None
    assert spec.loader is not None
    keys = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(keys)
    text = SOURCE.read_text(encoding="utf-8")
    return re.sub(r"<!-- keys (\w+) -->", lambda found: keys.table(found[1]), text)


PAGES = {TARGET: page, JOBS: jobs_page}

if __name__ == "__main__":
    for target, made in PAGES.items():
        target.write_text(made(), encoding="utf-8")
