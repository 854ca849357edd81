"""A model of a disk that loses power: what a crawler wrote and did not sync is lost, all of it or some.

The shim (shim.c) records every operation on the files of a folder. `Disk` replays the record, and knows of each
file what is safe (written before its last sync) and what is not; a new name is safe once the file was synced,
a rename or removal once its folder was. `lose` makes the folder what such a disk has after the power is back.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512  # bytes that are written whole or not at all


@dataclass
class File:
    """What is safe, and the writes (offset, bytes) and cuts (size, None) after that, oldest first."""

    safe: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    link: str = ""  # a symbolic link is its target

    def apply(self, operations: list[tuple[int, bytes | None]]) -> bytes:
        """The content after some operations."""
        content = bytearray(self.safe)
        for at, data in operations:
            size = at if data is None else max(len(content), at + len(data))
            content = content[:size].ljust(size, b"\0")
            if data is not None:
                content[at : at + len(data)] = data
        return bytes(content)


@dataclass(frozen=True)
class Operation:
    """One record: what (a letter), its number, inode, offset or size, path, data."""

    what: str
    number: int
    inode: int
    at: int
    path: str
    data: bytes


def operations(log: Path, start: int = 0) -> Iterator[tuple[Operation, int]]:
    """The whole records of the shim's log, each with the byte behind it."""
    content = log.read_bytes() if log.exists() else b""
    while (end := content.find(b"\n", start)) >= 0:
        what, number, inode, at, length, path = content[start:end].decode().split(" ", 5)
        after = end + 1 + int(length)
        if content[after : after + 1] != b"\n":  # the kill came while it was recorded
            return
        data, start = content[end + 1 : after], after + 1
        yield Operation(what, int(number), int(inode), int(at), path, data), start


class Disk:
    """The disk below `folder`, whose operations the shim records in `log`."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder = folder
        self.log = log
        self.lost = 0  # operations that did not survive, over all losses
        self._read = 0
        self._load()

    def _load(self) -> None:
        """Whatever is there is safe."""
        self.files: dict[int, File] = {}
        self.names: dict[str, int] = {}
        self._renames: list[tuple[str, str, int]] = []  # (old name, new name, inode), "" for none: not safe yet
        for path in self.folder.rglob("*"):
            inode = path.lstat().st_ino
            if path.is_symlink():
                self.files[inode] = File(link=str(path.readlink()))
            elif path.is_file():
                self.files[inode] = File(path.read_bytes())
            else:
                continue
            self.names[str(path)] = inode

    def replay(self) -> None:
        """Take in what was recorded since the last time."""
        moved_from = ""
        for each, after in operations(self.log, self._read):
            self._read = after
            match each.what:
                case "C":
                    self.files[each.inode] = File()
                    self._renames.append(("", each.path, each.inode))
                case "L":
                    self.files[each.inode] = File(link=each.data.decode())
                    self._renames.append(("", each.path, each.inode))
                case "W" | "T":
                    file = self.files.setdefault(each.inode, File())
                    file.pending.append((each.at, each.data if each.what == "W" else None))
                case "R":
                    moved_from = each.path
                case "N":
                    self._renames.append((moved_from, each.path, each.inode))
                case "U":
                    self._renames.append((each.path, "", each.inode))
                case "S":
                    self._sync(each)
                case "?":
                    raise AssertionError(f"an operation on {each.path} that the model does not know")

    def _sync(self, each: Operation) -> None:
        if each.inode in self.files:
            file = self.files[each.inode]
            file.safe, file.pending = file.apply(file.pending), []
            safe = [entry for entry in self._renames if not entry[0] and entry[2] == each.inode]
        else:
            safe = [e for e in self._renames if each.path in {str(Path(name).parent) for name in e[:2] if name}]
        self._keep(safe)
        self._renames = [entry for entry in self._renames if entry not in safe]

    def _keep(self, entries: list[tuple[str, str, int]]) -> None:
        for old, new, inode in entries:
            if old and self.names.get(old) == inode:
                del self.names[old]
            if new:
                self.names[new] = inode

    def lose(self, chance: random.Random, *, everything: bool) -> None:
        """Cut the power: `everything` that is not safe is lost, or any part of it."""
        self.replay()
        kept = 0 if everything else chance.randint(0, len(self._renames))  # they are made in order
        self.lost += len(self._renames) - kept
        self._keep(self._renames[:kept])
        left = {name: self._after(self.files[inode], chance, everything) for name, inode in self.names.items()}
        for path in self.folder.rglob("*"):
            if path.is_symlink() or path.is_file():
                path.unlink()
        for name, content in left.items():
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.symlink_to(content)
            else:
                path.write_bytes(content)
        self._load()

    def _after(self, file: File, chance: random.Random, everything: bool) -> bytes | str:
        if file.link:
            return file.link
        survive: list[tuple[int, bytes | None]] = []
        for at, data in [] if everything else file.pending:
            if chance.random() < 0.5:
                continue
            if data is not None and chance.random() < 0.3:
                data = data[: chance.randrange(len(data) // SECTOR + 1) * SECTOR]
            survive.append((at, data))
        self.lost += len(file.pending) - len(survive)
        return file.apply(survive)


def compiler() -> str | None:
    """A C compiler, if there is one."""
    named = (sysconfig.get_config_var("CC") or "").split()
    return next((path for name in ("cc", "gcc", "clang", *named[:1]) if (path := shutil.which(name))), None)


def compiled(folder: Path) -> Path:
    """The shim, made in `folder`. Raises CalledProcessError."""
    made = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run(
        [compiler() or "cc", "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl", "-lpthread"], check=True
    )
    return made
