"""What a page of the documentation shows as the output of a command, compared with what the command says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.ports import free_port

HOME = "/srv/bookshop"  # where the pages keep their project
RUN = re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{4}\b")
NUMBER = re.compile(r"\d[\d,.:-]*(?<![,.:-])")
PAGE = re.compile(r"(https?://[^/\s]+/)[\w/.-]*")  # which one comes first is a matter of milliseconds
COUNT = re.compile(r"\d+( \S+\.\w+)?")  # what `wc -l` says, which has to be true
SPAN = re.compile(r"# (?:s|min) ago")
PACE = "0.01"  # seconds between the requests of a crawl that is waited for; one to be killed keeps its own
# An example that waits is long enough: here `sleep` lasts until the crawl beside it has recorded more items;
# `sleep 2` is for a server that has to begin first, and lasts until it has answered.
SHIM = """#!/bin/sh
[ "$1" = serve ] && {{ shift; set -- serve --port {port} "$@"; }}
exec "{python}" -m scraper "$@"
"""
PRELUDE = """
answers() {{
  exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 &&
    read -r -t 60 <&3
}}
count() {{ cat output/*/2*/items.jsonl 2>/dev/null | wc -l; }}
sleep() {{
  local before=$(count) tries=0
  while [ $tries -lt 600 ]; do
    if [ "$1" = 2 ]; then (answers) 2>/dev/null && return; else [ $(count) -lt $((before + 5)) ] || return; fi
    command sleep 0.05; tries=$((tries + 1))
  done
}}
"""


def told(block: str, folder: Path) -> str:
    """Run a whole block with bash there, `scraper` being this project's command; gives all that it printed."""
    programs = folder.parent / "bin"
    programs.mkdir(exist_ok=True)
    command, port = programs / "scraper", free_port()
    command.write_text(SHIM.format(python=sys.executable, port=port), encoding="utf-8")
    command.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCRAPER_")}
    root = str(Path(__file__).parents[1])
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = kept | {"PATH": path, "PYTHONPATH": root, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        ["bash", "-c", f"{PRELUDE.format(port=port)}{_hurried(block)}\nwait"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return done.stdout.replace(str(folder), HOME)


def _hurried(block: str) -> str:
    """The block with PACE for every crawl that it waits for, those of a server among them."""
    lines = []
    for line in block.splitlines():
        if line.startswith("scraper serve") or (line.startswith("scraper ") and not line.rstrip().endswith("&")):
            line = f"SCRAPER_DELAY={PACE} " + line.replace("delay=0.05", f"delay={PACE}")
        lines.append(line)
    return "\n".join(lines)


def missing(shown: str, said: str) -> list[str]:
    """The shown lines that were not said, in that order; any two numbers, times, runs or pages are the same."""
    lines = iter([_plain(line) for line in said.splitlines()])
    return [line for line in shown.splitlines() if line.strip() not in ("", "...") and _plain(line) not in lines]


def _plain(line: str) -> str:
    if COUNT.fullmatch(line.strip()):
        return line.strip()
    line = NUMBER.sub("#", RUN.sub("RUN", PAGE.sub(r"\1PAGE", line)))
    return " ".join(SPAN.sub("# s ago", line).split())
