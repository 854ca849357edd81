"""The site that is crawled and the server that serves it, on a core of its own.

The usual site is Debian's `rust-doc`, the server nginx; where one is missing, `install` gets it with apt-get, else
a generated site and the project's own static server stand in, and `what` says so.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from scraper.testing.walk import Expected, walk

from .made import Made, hosts_possible

RUST_DOC = Path("/usr/share/doc/rust-doc/html")
PAGES = 5_000  # of the generated site
LINKS = 90  # of each of its pages
SIZE = 20_000  # bytes of each
STARTING = 60.0  # seconds a server may take to begin
NGINX = """
{user} daemon off; pid {work}/nginx.pid; worker_processes 1; error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  types {{ text/html html htm; text/css css; application/javascript js; image/svg+xml svg; font/woff2 woff2; }}
  log_format line '$request_method $request_uri $status';
  access_log {log}; log_not_found off; sendfile on; tcp_nopush on; etag off;
  keepalive_timeout 75s; keepalive_requests 100000000;
  client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
  server {{ listen 127.0.0.1:{port} backlog=1024; root {root}; index index.html; }}
}}
"""


class Cores(NamedTuple):
    """The core of the contenders and the one of the server; None where there is only one to share."""

    contender: int | None
    server: int | None

    @classmethod
    def pick(cls) -> Cores:
        """The last and the first core this process may use."""
        allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        return cls(allowed[-1], allowed[0]) if len(allowed) > 1 else cls(None, None)


class Site(msgspec.Struct):
    """A folder, or a site made from numbers, that is served: `start` is the URL of its first page."""

    root: Path | Made
    start: str
    what: str
    log: Path | None = None  # one line a request, where the server keeps one

    @property
    def many_hosts(self) -> bool:
        """Whether its links lead to other hosts."""
        return isinstance(self.root, Made) and self.root.hosts > 1

    def expected(self) -> dict[str, Expected]:
        """Every URL a correct crawl asks for, with its answer."""
        if isinstance(self.root, Made):
            return self.root.expected(urlsplit(self.start).port or 80)
        base = self.start[: self.start.rindex("/") + 1]
        return walk(self.root, self.start.removeprefix(base), base)

    def requests(self) -> list[tuple[str, str, int]]:
        """What the server has logged since it began: method, target, status."""
        assert self.log is not None, "served with log=True by nginx"
        lines = (line.split(" ") for line in self.log.read_text(encoding="utf-8").splitlines())
        return [(method, target, int(status)) for method, target, status in lines]


def missing() -> list[str]:
    """The Debian packages of site and server that are not there."""
    there = {"rust-doc": RUST_DOC.is_dir(), "nginx-light": _nginx() is not None}
    return [name for name, present in there.items() if not present]


def install() -> None:
    """Get what is missing with apt-get. Raises CalledProcessError, PermissionError when not root."""
    packages = missing()
    if not packages:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise PermissionError(f"installing {', '.join(packages)} needs apt-get and root")
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *packages], check=True, env=quiet)


@contextmanager
def serve(
    work: Path, cores: Cores, *, generated: int = 0, static: bool = False, log: bool = False
) -> Iterator[Site]:
    """Serve the site from a process of its own. `work` is an empty folder for what that needs.

    `generated` (pages of that) and `static` take the stand-ins even where site or server are there; `log` keeps
    the requests (nginx only).
    """
    work.mkdir(parents=True, exist_ok=True)
    if RUST_DOC.is_dir() and not generated:
        root, what = RUST_DOC, "rust-doc"
    else:
        root, what = generate(work / "site", generated or PAGES), "generated"
    with serve_folder(root, work, cores, static=static, log=log) as site:
        site.what = f"{what} on {site.what}"
        yield site


@contextmanager
def serve_folder(
    root: Path, work: Path, cores: Cores, *, static: bool = False, log: bool = False
) -> Iterator[Site]:
    """Serve a folder with nginx, or with the project's own static server; `what` names it."""
    nginx = None if static else _nginx()
    port = free_port()
    if nginx is not None:
        record = work / "access.log" if log else None
        command, what = _nginx_command(nginx, work, root, port, record), "nginx"
    else:
        record = None
        command = [sys.executable, "-m", "scraper.testing.static", str(root), "--port", str(port)]
        what = "scraper.testing.static"
    with process(command, cores.server) as child:
        wait_until_open(port, child)
        yield Site(root, f"http://127.0.0.1:{port}/index.html", what, record)


@contextmanager
def serve_made(shape: str, pages: int, hosts: int, cores: Cores) -> Iterator[Site]:
    """Serve a site made from numbers, of fewer hosts where the machine does not let us have so many."""
    made = Made(shape, pages, hosts_possible(hosts) if hosts > 1 else 1)
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.made", shape, str(made.pages), str(made.hosts), str(port)]
    of = f" on {made.hosts:,} hosts" if hosts > 1 else ""
    with process(command, cores.server) as child:
        wait_until_open(port, child)
        yield Site(made, made.url(0, port), f"{made.pages:,} pages{of} from memory (benchmarks.made)")


def warm(root: Path) -> int:
    """Read every file once, so that no round pays for the disk; gives their bytes."""
    return sum(len(path.read_bytes()) for path in root.rglob("*") if path.is_file())


def generate(root: Path, pages: int = PAGES) -> Path:
    """A connected site of so many pages in folders of 100, each with LINKS relative links and SIZE bytes."""
    filler = "<p>" + "plain <em>text</em> with <code>code</code> and more of it. " * 3 + "</p>\n"
    for number in range(pages):
        path = root / _place(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        near = [number - number % 100 + step for step in range(60)]  # as a menu: the same on the pages of a folder
        far = [(number * 31 + step * 97 + 1) % pages for step in range(LINKS - len(near))]
        targets = [min(target, pages - 1) for target in (*near, *far)]
        links = "".join(f'<li><a class="link" href="{_href(number, to)}">Page {to}</a></li>\n' for to in targets)
        text = f"<!DOCTYPE html><html><head><title>Page {number}</title></head><body><ul>{links}</ul>\n"
        text += filler * max(0, (SIZE - len(text)) // len(filler))
        path.write_text(text + "</body></html>", encoding="utf-8")
    return root


def _place(number: int) -> str:
    return f"part-{number // 100}/page-{number}.html" if number else "index.html"


def _href(page: int, target: int) -> str:
    if page and target and page // 100 == target // 100:
        return f"page-{target}.html"
    return ("../" if page else "") + _place(target)


def _nginx() -> str | None:
    return shutil.which("nginx", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")


def _nginx_command(nginx: str, work: Path, root: Path, port: int, log: Path | None) -> list[str]:
    user = "user root;" if os.geteuid() == 0 else ""  # the files of a temporary folder are for one user only
    access = f"{log} line" if log else "off"
    config = work / "nginx.conf"
    config.write_text(NGINX.format(user=user, work=work, root=root, port=port, log=access), encoding="utf-8")
    return [nginx, "-p", str(work), "-c", str(config), "-e", "stderr"]


@contextmanager
def pinned(core: int | None, *, first: bool = False) -> Iterator[None]:
    """This process, and whatever it starts meanwhile, on one core; None pins nothing.

    `first`: ahead of all other processes (Linux, root), so that a server on a busy machine stamps in time.
    """
    before = os.sched_getaffinity(0) if core is not None else set()
    if core is not None:
        os.sched_setaffinity(0, {core})
    ahead = first and _go_first()
    try:
        yield
    finally:
        if ahead:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        if before:
            os.sched_setaffinity(0, before)


def _go_first() -> bool:
    if not hasattr(os, "sched_setscheduler"):
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    return True


@contextmanager
def process(command: list[str], core: int | None) -> Iterator[subprocess.Popen[bytes]]:
    with pinned(core, first=True):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[1])
    try:
        yield child
    finally:
        child.terminate()
        child.wait()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_until_open(port: int, child: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTING
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            if child.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return
