"""Items: what a spider yields, and how each becomes one line of JSON.

An item is a dict, a dataclass, a msgspec.Struct, an attrs or a pydantic object. It is checked and encoded
once, when it is yielded; from there on every part of the crawl carries the bytes. attrs and pydantic are
recognised by what their classes carry, and never imported here.
"""

from __future__ import annotations

import dataclasses
import inspect
import reprlib
from collections import deque
from collections.abc import Iterator
from math import isfinite
from pathlib import PurePath
from typing import Any

import msgspec

from .errors import ItemError

DEEPEST = 100  # levels; a decoder of any language must be able to read the line back
REPR = 2_000  # characters of a rejected item that are kept
PLAIN = frozenset({str, int, bool, type(None), bytes})
SEQUENCES = (list, tuple, set, frozenset, deque)
MODEL = True  # a pydantic object (2.x): it makes data of itself
UNENCODABLE = (TypeError, ValueError, OverflowError, RecursionError)


def is_item(obj: object) -> bool:
    """Whether an object is an item, by its type; a Request is a Struct too, so ask for requests first."""
    return isinstance(obj, dict) or _plan(type(obj)) is not False


def encode(item: Any) -> bytes:
    """One JSON object, without a newline.

    Decimal and timedelta become strings, dates RFC 3339, bytes base64, sets arrays, enums their values.
    Raises ItemError whose `field` is the path of what is at fault ("sizes[2].name"): NaN and infinities,
    keys that are not strings, values JSON has no form for. O(values): one look at each, then the encoder.
    """
    if type(item) is dict:
        _check_dict(item, None, 0)
    else:
        plan = _plan(type(item))
        if plan is MODEL:
            item = _dump(item, None)
        elif type(plan) is tuple and hasattr(item, "__attrs_attrs__"):
            item = {name: getattr(item, name, None) for name in plan}  # msgspec sorts attrs' slots by name
        _check(item, None, 0)
    try:
        line = _encoder.encode(item)
    except UNENCODABLE as error:
        path, reason = _culprit(item, None, error)
        raise _bad(path, reason) from None
    if line[:1] != b"{":
        raise ItemError(f"an item is a JSON object, which a {type(item).__name__} does not become")
    return line


def fields(item_type: type) -> list[str]:
    """The names an item type declares, in order, as they are written; [] for a plain dict."""
    if dataclasses.is_dataclass(item_type):
        return [field.name for field in dataclasses.fields(item_type)]
    if issubclass(item_type, msgspec.Struct):
        tag = item_type.__struct_config__.tag_field
        return [*([tag] if tag else []), *item_type.__struct_encode_fields__]
    if _plan(item_type) is MODEL:
        return [*getattr(item_type, "model_fields", ()), *getattr(item_type, "model_computed_fields", ())]
    if hasattr(item_type, "__total__"):  # a TypedDict
        return list(inspect.get_annotations(item_type))
    plan = _plan(item_type)
    return list(plan) if isinstance(plan, tuple) else []


def rejected(item: object, error: Exception, page_url: str) -> bytes:
    """The line of rejected.jsonl for an item that could not be kept; its repr is cut at 2,000 characters."""
    line = {
        "url": page_url,
        "field": getattr(error, "field", ""),
        "error": _clean(str(error) or type(error).__name__)[:REPR],
        "item": _clean(_short.repr(item))[:REPR],
    }
    return _encoder.encode(line)


def _check(value: Any, path: Any, depth: int) -> None:
    """Find what the encoder would let pass as something else: NaN (null), 1 (as the key "1"), raw JSON."""
    if depth > DEEPEST:
        raise _bad(path, f"nested more than {DEEPEST} levels deep, or within itself")
    plan = _plan(type(value))
    if type(plan) is tuple:
        for name in plan:
            part: Any = getattr(value, name, None)
            if (kind := type(part)) not in PLAIN and not (kind is float and isfinite(part)):
                _check(part, (path, name), depth + 1)
    elif isinstance(value, dict):
        _check_dict(value, path, depth)
    elif isinstance(value, SEQUENCES):
        for index, part in enumerate(value):
            if (kind := type(part)) not in PLAIN and not (kind is float and isfinite(part)):
                _check(part, (path, index), depth + 1)
    elif plan is MODEL:
        _check(_dump(value, path), path, depth + 1)
    elif isinstance(value, float) and not isfinite(value):
        raise _bad(path, f"{value} has no form in JSON; leave the field out or give None")
    elif isinstance(value, msgspec.Raw):
        raise _bad(path, "raw JSON is not taken; decode it first")


def _check_dict(value: dict[Any, Any], path: Any, depth: int) -> None:
    for key, part in value.items():
        if not isinstance(key, str):
            raise _bad(path, f"the key {key!r:.100} is not a string")
        if (kind := type(part)) not in PLAIN and not (kind is float and isfinite(part)):
            _check(part, (path, key), depth + 1)


def _plan(kind: type) -> tuple[str, ...] | bool:
    """How an item of this type is taken apart: its attributes' names, MODEL, or False for other values."""
    plan = _plans.get(kind)
    if plan is None:
        if len(_plans) >= 1024:  # types made on the fly must not pile up
            _plans.clear()
        plan = _plans[kind] = _look(kind)
    return plan


def _look(kind: type) -> tuple[str, ...] | bool:
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    attributes = getattr(kind, "__attrs_attrs__", None)
    if attributes is not None:
        return tuple(each.name for each in attributes if not each.name.startswith("_"))
    return MODEL if hasattr(kind, "model_dump") and hasattr(kind, "model_fields") else False


def _dump(model: Any, path: Any) -> Any:
    """A pydantic object as data; not in its JSON mode, which makes null of NaN and text of any key."""
    try:
        return model.model_dump()
    except UNENCODABLE as error:
        raise _bad(path, str(error)) from None


def _hook(value: Any) -> Any:
    """What msgspec itself does not write; the order matters little, it is the rare case."""
    if _plan(type(value)) is MODEL:
        return value.model_dump()
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, PurePath) or any(each.__module__.startswith("pydantic") for each in type(value).mro()):
        return str(value)  # of pydantic: HttpUrl, and SecretStr, which shows stars
    if isinstance(value, deque):
        return list(value)
    raise TypeError(f"a value of type {type(value).__qualname__} has no form in JSON; give its text or its data")


def _culprit(value: Any, path: Any, error: Exception) -> tuple[Any, str]:
    """The deepest part that cannot be encoded alone, and why; only walked after a failure."""
    for name, part in _children(value):
        try:
            _encoder.encode(part)
        except UNENCODABLE as inner:
            return _culprit(part, (path, name), inner)
    if isinstance(error, UnicodeEncodeError):
        return path, "text with half a surrogate pair, which UTF-8 cannot hold"
    return path, str(error)


def _children(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, SEQUENCES):
        yield from enumerate(value)
    elif type(plan := _plan(type(value))) is tuple:
        for name in plan:
            yield name, getattr(value, name, None)


def _bad(path: Any, reason: str) -> ItemError:
    field = _text(path)
    return ItemError(f"{field}: {reason}" if field else reason, field)


def _text(path: Any) -> str:
    """`(((None, "sizes"), 2), "name")` as `sizes[2].name`."""
    if path is None:
        return ""
    parent, name = path
    before = _text(parent)
    if isinstance(name, int):
        return f"{before}[{name}]"
    return _clean(f"{before}.{name}" if before else name)


def _clean(text: str) -> str:
    """Text that UTF-8 can hold."""
    return text.encode("utf-8", "backslashreplace").decode()


_plans: dict[type, tuple[str, ...] | bool] = {}
_encoder = msgspec.json.Encoder(enc_hook=_hook)
_short = reprlib.Repr()  # bounded before the text is made, and safe against a `__repr__` that raises
_short.maxstring = _short.maxother = _short.maxlong = REPR
_short.maxdict = _short.maxlist = _short.maxtuple = _short.maxset = _short.maxfrozenset = 100
