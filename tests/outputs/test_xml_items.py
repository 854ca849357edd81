from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scraper.outputs.xml_items import ILLEGAL, XmlItems

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def document(*items: dict[str, Any]) -> ET.Element:
    form = XmlItems()
    data = form.render([json.dumps(item).encode() for item in items]) + form.tail()
    return ET.fromstring(data)


def test_lists_are_values_and_objects_are_nested() -> None:
    root = document({"title": "a<b", "tags": ["x", ["y", None]], "size": {"w": 1.5, "ok": True}})
    assert ET.tostring(root, "unicode").replace("\n", "") == (
        "<items><item><title>a&lt;b</title>"
        "<tags><value>x</value><value><value>y</value><value /></value></tags><size><w>1.5</w><ok>true</ok></size></item></items>"  # noqa: E501
    )


def test_a_key_that_is_no_name_is_kept_beside_the_name_it_got() -> None:
    root = document({"a b": 1, "1st": 2, "xmlns": 3, "": 4, 'q"\n<': 5, "größe": 6, "価格": 7, "a:b": 8})
    found = [(child.tag, child.get("name")) for child in root[0]]
    assert found == [
        ("a_b", "a b"),
        ("_1st", "1st"),
        ("_xmlns", "xmlns"),
        ("_", ""),
        ("q___", 'q"\n<'),
        ("größe", None),
        ("価格", None),
        ("a_b", "a:b"),
    ]


def test_control_characters_are_replaced_and_line_ends_stay() -> None:
    root = document({"a": "\x00\x0b\ufffe\r\n\t\x85\u2028]]>"})
    assert root[0][0].text == "\ufffd\ufffd\ufffd\r\n\t\x85\u2028]]>"


@given(st.lists(st.dictionaries(TEXT, VALUES, max_size=4), max_size=3))
def test_every_item_makes_well_formed_xml_with_all_of_its_text(items: list[dict[str, Any]]) -> None:
    root = document(*items)
    assert len(root) == len(items)
    for element, item in zip(root, items, strict=True):
        same(element, item)


def same(element: ET.Element, value: Any) -> None:
    children = list(element)
    if isinstance(value, dict):
        assert [child.get("name", child.tag) for child in children] == [clean(key) for key in value]
        for child, part in zip(children, value.values(), strict=True):
            same(child, part)
    elif isinstance(value, list):
        assert all(child.tag == "value" for child in children)
        for child, part in zip(children, value, strict=True):
            same(child, part)
    elif isinstance(value, str):
        assert (element.text or "") == clean(value)
    else:
        assert element.text == (None if value is None else json.dumps(value))


def clean(text: str) -> str:
    return ILLEGAL.sub("\ufffd", text)
