"""Starts a contender written for node: `python -m benchmarks.contenders.node FILE.mjs FOLDER START ...`.

FOLDER is where its packages are. Pins and settles this process as the others do, and becomes node.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from .lap import parser, settle

if __name__ == "__main__":
    file, folder, *rest = sys.argv[1:]
    settle(parser().parse_args(rest).core)
    node = shutil.which("node")
    assert node is not None, "the runner has looked for it"
    os.environ["BENCH_PACKAGES"] = folder
    os.execv(node, [node, str(Path(__file__).with_name(file)), *rest])
