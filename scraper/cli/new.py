"""`scraper new`: a project or a spider to begin with, which runs as it is."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import click

from ..discover import FOLDER, listed
from ..errors import UsageError
from ..spider import NAME
from .project import project as here
from .project import shown
from .single import typed

SETTINGS = """\
# Settings of every spider of this project; `scraper settings` lists them all.
# A spider's own `settings`, SCRAPER_* variables and -s are stronger.
delay = 0.5  # seconds between two requests to one host
contact = ""  # a page or address where site owners reach you, e.g. "https://example.org/bot"
"""
RESULTS = """\
# Results

One folder a run: `SPIDER/RUN/` with `items.jsonl`, `log.jsonl` and `stats.json`.
`SPIDER/latest` is the last finished run; `scraper runs` lists them, `scraper export` converts them.
"""
SPIDERS = """\
One file a spider. `scraper new spider NAME URL` writes one, `scraper crawl NAME` runs it.
"""
IGNORED = "/output/*\n!/output/README.md\n__pycache__/\n"
SPIDER = '''\
"""{title}."""

from scraper import Response, Spider


class {kind}(Spider):
    """Every page of {host}, with its title."""

    name = "{name}"
    start_urls = ["{url}"]
    settings = {{"max_pages": 100}}  # to begin with; take it out when the spider is right

    def parse(self, response: Response):
        yield {{"url": response.url, "title": response.css("title::text").get("")}}
        yield response.follow_all(css="a[href]")
'''


@click.group(name="new")
def command() -> None:
    """Write a new project or spider. Nothing that exists is overwritten."""


@command.command(name="project")
@click.argument("name")
def project(name: str) -> int:
    """A folder NAME with settings, a place for spiders and one for results."""
    root = Path(name)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(f"{root} exists already")
    files = {
        "scraper.toml": SETTINGS,
        f"{FOLDER}/README.md": SPIDERS,
        "output/README.md": RESULTS,
        ".gitignore": IGNORED,
    }
    for path, text in files.items():
        _write(root / path, text)
    click.echo(f"next: cd {root} && scraper new spider NAME URL", err=True)
    return 0


@command.command(name="spider")
@click.argument("name")
@click.argument("url")
def spider(name: str, url: str) -> int:
    """A spider NAME that starts at URL, in the project's spiders/."""
    if not NAME.fullmatch(name):
        raise UsageError(f"spider name {name!r} must be letters, digits, '_', '-' or '.', 64 at most")
    request = typed(url)
    folder = here() / FOLDER
    same = [each for each in listed(here()) if each.name == name]
    if same:
        raise UsageError(f"there is a spider {name!r} in {shown(same[0].path)}")
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    kind = "".join(word[:1].upper() + word[1:] for word in words) or "New"
    kind = f"Spider{kind}" if kind[0].isdigit() or kind in ("Spider", "Response") else kind
    path = folder / f"{re.sub(r'[^A-Za-z0-9_]+', '_', name)}.py"
    address = request.url.replace("\\", "%5C").replace('"', "%22")
    text = SPIDER.format(title=f"The pages of {request.host}", kind=kind, name=name, host=request.host, url=address)
    _write(path, dedent(text))
    click.echo(f"next: scraper crawl {name} -o {name}.csv", err=True)
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already") from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    click.echo(str(shown(path)), err=True)
