from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import subprocess
import sys
import uuid
from collections import OrderedDict, deque
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.errors import ItemError
from scraper.item import encode, fields, is_item, rejected

NAN, INF = float("nan"), float("inf")


@dataclasses.dataclass
class Data:
    title: str
    price: float = 1.5
    tags: Any = ()


class Struct(msgspec.Struct):
    title: str
    price: float = 1.5
    tags: Any = ()


class Tagged(msgspec.Struct, tag="book", rename="camel"):
    page_count: int = 1


@attrs.define
class Attrs:
    title: str
    price: float = 1.5
    tags: Any = ()


class Model(pydantic.BaseModel):
    title: str
    price: float = 1.5
    tags: Any = ()


class Typed(TypedDict):
    title: str
    price: float


KINDS: list[Any] = [Data, Struct, Attrs, Model, dict]


class Text(str):
    __slots__ = ()


class Shelf(enum.Enum):
    POETRY = "poetry"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_item_becomes_the_same_json(kind: Any) -> None:
    item = kind(title="Ünder", price=2.5, tags=["a"])
    assert encode(item) == '{"title":"Ünder","price":2.5,"tags":["a"]}'.encode()
    assert is_item(item)


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_declared_fields_are_known_in_order(kind: Any) -> None:
    assert fields(kind) == ["title", "price", "tags"]


def test_fields_are_named_as_they_are_written() -> None:
    assert fields(Tagged) == list(json.loads(encode(Tagged()))) == ["type", "pageCount"]
    assert fields(Typed) == ["title", "price"]
    assert fields(dict) == []


@pytest.mark.parametrize("value", ["text", b"x", 1, None, [1], ("a",), Data, object(), KINDS])
def test_anything_else_is_no_item(value: object) -> None:
    assert not is_item(value)


def test_values_that_json_has_no_form_for_are_written_as_text() -> None:
    when = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    item = {
        "decimal": Decimal("1.10"),
        "when": when,
        "id": uuid.UUID(int=1),
        "path": Path("/a/b"),
        "bytes": b"\xff",
        "set": {1},
        "enum": Shelf.POETRY,
        "text": Text("t"),
        "deque": deque([1]),
    }
    assert json.loads(encode(item)) == {
        "decimal": "1.10",
        "when": "2026-01-02T03:04:05Z",
        "id": "00000000-0000-0000-0000-000000000001",
        "path": "/a/b",
        "bytes": "/w==",
        "set": [1],
        "enum": "poetry",
        "text": "t",
        "deque": [1],
    }
    assert encode(OrderedDict(z=1, a=2)) == b'{"z":1,"a":2}'


def test_pydantic_writes_its_own_types() -> None:
    class Page(pydantic.BaseModel):
        link: pydantic.HttpUrl
        secret: pydantic.SecretStr

    page = Page(link=pydantic.HttpUrl("https://a.example/x"), secret=pydantic.SecretStr("s"))
    assert encode(page) == b'{"link":"https://a.example/x","secret":"**********"}'
    assert encode({"page": page}) == b'{"page":' + encode(page) + b"}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("value", "field"),
    [
        (NAN, "tags"),
        ([1.0, INF], "tags[1]"),
        ([{"name": 1}, {"name": -INF}], "tags[1].name"),
        ({1: "a"}, "tags"),
        ({"a": {None: 1}}, "tags.a"),
        ([1, {"name": object()}], "tags[1].name"),
        ("half \ud800", "tags"),
        ([complex(1)], "tags[0]"),
        (Data("x", tags=Data("y", NAN)), "tags.tags.price"),
    ],
)
def test_a_value_at_fault_is_named_by_its_path(kind: Any, value: Any, field: str) -> None:
    with pytest.raises(ItemError) as caught:
        encode(kind(title="t", tags=value))
    assert caught.value.field == field
    assert str(caught.value).startswith(field)


def test_an_item_within_itself_is_an_item_error() -> None:
    item: dict[str, Any] = {}
    item["me"] = [item]
    with pytest.raises(ItemError, match="within itself"):
        encode(item)


def test_what_is_no_json_object_is_an_item_error() -> None:
    class Row(msgspec.Struct, array_like=True):
        a: int = 1

    class Numbers(pydantic.RootModel[list[int]]):
        pass

    for item in (Row(), Numbers([1]), [1], "text", 5, msgspec.Raw(b"{}")):
        with pytest.raises(ItemError):
            encode(item)


def test_raw_json_cannot_bring_a_newline_into_the_journal() -> None:
    with pytest.raises(ItemError) as caught:
        encode({"raw": msgspec.Raw(b"{\n}")})
    assert caught.value.field == "raw"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_an_item_is_one_line_that_reads_back_as_itself(item: dict[str, Any]) -> None:
    line = encode(item)
    assert b"\n" not in line
    assert json.loads(line) == item


def test_a_rejected_item_is_one_bounded_line() -> None:
    class Loud:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    for item in ({"a": "x" * 10**6, "b": Loud()}, Data("y" * 10**6), {"\ud800": "\ud800"}, Loud()):
        line = json.loads(rejected(item, ItemError("a: bad \ud800", "a"), "https://a.example/"))
        assert line["url"] == "https://a.example/"
        assert line["field"] == "a"
        assert len(line["item"]) <= 2000
    assert json.loads(rejected({}, ValueError(), "u"))["error"] == "ValueError"


def test_attrs_and_pydantic_are_not_imported_for_a_dict() -> None:
    code = (
        "import sys, scraper.item as i; i.encode({'a': 1.5}); "
        "assert not {'attr', 'attrs', 'pydantic'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
