from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scraper.errors import UsageError
from scraper.outputs.registry import check_writable, expand, open_output

VARIABLES = {"date": "2026-01-02", "run": "r1", "spider": "shop"}


def test_variables_expand() -> None:
    assert expand("out/{spider}/{date}-{run}.csv", VARIABLES) == "out/shop/2026-01-02-r1.csv"
    assert expand("plain {not a variable}.csv", VARIABLES) == "plain {not a variable}.csv"


def test_an_unknown_variable_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no \{spidr\} \(did you mean spider\?\); there are \{date\}, \{run\}"):
        open_output("{spidr}.csv", variables=VARIABLES)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("out.jsno", r"the ending \.jsno names no format \(did you mean \.json\?\)"),
        ("out.parquet.gz", r"\.parquet names no format; there are \.jsonl .* each also \.gz"),
        ("out", "a path without ending"),
        ("out.gz", "a path without ending"),
    ],
)
def test_an_unknown_ending_is_an_error_that_lists_what_exists(path: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_output(path, variables=VARIABLES)


async def test_endings_may_be_in_capitals(tmp_path: Path) -> None:
    out = open_output(str(tmp_path / "OUT.JSON.GZ"), variables={})
    await out.open(None, 0)
    await out.close(finished=True)
    assert (tmp_path / "OUT.JSON.GZ").read_bytes()[:2] == b"\x1f\x8b"


def test_what_can_be_written_is_said_before_anything_is(tmp_path: Path) -> None:
    check_writable("-")
    check_writable(str(tmp_path / "new/folder/out.csv"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is not a folder"):
        check_writable(str(tmp_path / "file/sub/out.csv"))
    with pytest.raises(UsageError, match="is a folder"):
        check_writable(str(tmp_path))
    with pytest.raises(UsageError, match=r"cannot be written: /proc: "):
        check_writable("/proc/out.csv")


def test_formats_are_imported_when_they_are_used() -> None:
    code = (
        "import sys; from scraper.outputs.registry import open_output; open_output('a.jsonl', variables={}); "
        "assert not {'scraper.outputs.csv_table', 'scraper.outputs.xml_items'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.jsonl"
    link.symlink_to("there/real.jsonl")
    out = open_output(str(link), variables={})
    await out.open(None, 0)
    await out.write([b"{}"])
    await out.close(finished=True)
    assert link.is_symlink()
    assert (tmp_path / "there/real.jsonl").read_bytes() == b"{}\n"
