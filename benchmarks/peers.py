"""Other crawlers, in environments of their own under benchmarks/work (not in git).

`install` gets them: Scrapy, crawlee and parsel with pip, crawlee and spider-rs for node with npm. Where npm is not
there, those for node are left out.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / "benchmarks" / "work"
PEERS = WORK / "peers"  # a virtual environment
PYTHON = PEERS / "bin" / "python"
NODE = WORK / "node"  # a folder with node_modules
PACKAGES = ("scrapy==2.19.*", "crawlee[parsel]>=1.11", "uvloop")
# The package `crawlee` also brings its crawlers for browsers and for jsdom; this is the fastest alone. spider-rs is
# of the version that there is a binary for.
MODULES = (
    "@crawlee/cheerio@3", "htmlparser2@9",
    "@spider-rs/spider-rs@0.0.157", "@spider-rs/spider-rs-linux-x64-gnu@0.0.157",
)  # fmt: skip
HOW = "not installed; --peers installs it"


def install_python() -> None:
    """Make the environment of the peers in Python, if it is missing. Raises CalledProcessError when pip fails."""
    if not (PEERS / "installed").exists():
        venv.create(PEERS, with_pip=True, clear=True)
        subprocess.run([PYTHON, "-m", "pip", "install", "-qq", *PACKAGES], check=True)
        (PEERS / "installed").touch()


def install() -> list[str]:
    """Get what is missing; gives what could not be had, in words. Raises CalledProcessError when pip fails."""
    install_python()
    if not npm_fits():
        return ["no crawlers for node: that needs node and npm, and Linux on x86-64 with glibc for spider-rs"]
    if not (NODE / "installed").exists():
        NODE.mkdir(parents=True, exist_ok=True)
        (NODE / "package.json").write_text('{"private": true}\n', encoding="utf-8")
        quiet = ("--no-audit", "--no-fund", "--loglevel", "error")
        done = subprocess.run(["npm", "install", *quiet, *MODULES], cwd=NODE, check=False)
        if done.returncode:
            return ["no crawlers for node: npm failed"]
        (NODE / "installed").touch()
    return []


def npm_fits() -> bool:
    """Whether the crawlers for node could run on this machine."""
    there = shutil.which("npm") is not None and shutil.which("node") is not None
    return there and platform.system() == "Linux" and platform.machine() == "x86_64"


def python_missing() -> str:
    """Why the peers in Python cannot run, "" when they can."""
    return "" if (PEERS / "installed").exists() and os.access(PYTHON, os.X_OK) else HOW


def node_missing() -> str:
    """Why the peers for node cannot run, "" when they can."""
    if (NODE / "installed").exists() and shutil.which("node"):
        return ""
    return HOW if npm_fits() else "needs node and npm on Linux, x86-64"


def versions() -> dict[str, str]:
    """The versions of what is installed."""
    found = {}
    if not python_missing():
        say = "import importlib.metadata as m, json; print(json.dumps({n: m.version(n) for n in %r}))"
        names = ("scrapy", "crawlee", "parsel", "lxml", "twisted")
        told = subprocess.run([PYTHON, "-c", say % (names,)], check=True, stdout=subprocess.PIPE).stdout
        found |= json.loads(told)
    if not node_missing():
        for name in ("@crawlee/cheerio", "@spider-rs/spider-rs"):
            package = json.loads((NODE / "node_modules" / name / "package.json").read_text(encoding="utf-8"))
            found[name] = package["version"]
        found["node"] = subprocess.run(
            ["node", "--version"], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
    return found
