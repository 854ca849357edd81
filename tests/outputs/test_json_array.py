from __future__ import annotations

from pathlib import Path

import pytest

from scraper.errors import OutputError

from .formats import output, written


async def test_one_item_a_line(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    await written(path, [[b'{"a":1}'], [], [b'{"a":2}', b'{"a":3}']])
    assert path.read_bytes() == b'[\n{"a":1},\n{"a":2},\n{"a":3}\n]\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"[]", b'[\n{"a":1}\n]\n'),
        (b" [ ]\n", b' [\n{"a":1}\n]\n'),
        (b"[1, 2]  \n", b'[1, 2,\n{"a":1}\n]\n'),
        (b"", b'[\n{"a":1}\n]\n'),
    ],
)
async def test_append_goes_on_within_the_array(tmp_path: Path, before: bytes, after: bytes) -> None:
    path = tmp_path / "out.json"
    path.write_bytes(before)
    await written(path, [[b'{"a":1}']], append=True)
    assert path.read_bytes() == after


@pytest.mark.parametrize(
    ("name", "content"), [("a.json", b'{"a": [1]'), ("a.xml", b"<rss></rss>"), ("a.json.gz", b"x")]
)
async def test_append_to_what_is_of_another_form_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    out = output(path, append=True)
    with pytest.raises(OutputError, match=name):
        await out.open(None, 0)
    await out.close(finished=False)
    assert path.read_bytes() == content
