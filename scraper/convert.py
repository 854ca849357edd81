"""Values as declared types: what a command line, the environment and TOML give, and words for what was wanted."""

from __future__ import annotations

import difflib
import enum
import math
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

WORDS = {"yes": True, "on": True, "no": False, "off": False}  # beside true, false, 1 and 0
MOST = 40  # names that an error lists
LISTS = (list, tuple, set, frozenset)
NOUNS: dict[Any, tuple[str, str]] = {
    bool: ("true or false", "true or false"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("text", "text"),
    Path: ("a path", "paths"),
}


class Unfit(ValueError):
    """A value that is not of its type; `path` is where in the value: `[2]`, `."cdn.test".delay`, "" for all of it.

    The text goes on after the value's name: "must be a whole number, not 'many'".
    """

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(text)
        self.path = path


def fit(value: Any, kind: Any) -> Any:
    """The value as `kind`; text is read as a person types it, anything else must be right. Raises Unfit.

    A list is JSON or separated by commas, a table is JSON; yes, no, on and off are booleans.
    """
    text = isinstance(value, str)
    given = _read(value, kind) if text else value
    try:
        made = _made(given, kind, strict=not text)
    except (msgspec.ValidationError, TypeError, OverflowError) as error:
        raise _blame(value if _is_plain(given) else given, kind, strict=not text) from error
    if isinstance(made, float) and not math.isfinite(made):
        raise Unfit(f"must be {wants(kind)}, not {value!r}")
    return made


def near(word: str, known: Iterable[str]) -> str:
    """The tail of an error message that suggests a name, "" when none is near."""
    close = closest(word, known)
    return f"; did you mean {close!r}?" if close else ""


def among(word: str, known: Iterable[str]) -> str:
    """The tail of an error message about a name there is none of: the one that is near, or else all there are."""
    names = [*known]
    rest = f" and {len(names) - MOST:,} more" if len(names) > MOST else ""
    return near(word, names) or f"; there are {', '.join(names[:MOST]) or 'none'}{rest}"


def closest(word: str, known: Iterable[str]) -> str:
    """The name that was probably meant, or ""."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), "")


def wants(kind: Any) -> str:
    """A type in words: `a whole number of at least 1`, `one of site, host, any`."""
    plain, metas = _plain(kind), [m for m in getattr(kind, "__metadata__", ()) if isinstance(m, Meta)]
    origin, inner = get_origin(plain) or plain, get_args(plain)
    if origin in (Union, types.UnionType):
        return " or ".join(wants(each) for each in inner if each is not types.NoneType)
    if choices := _choices(plain):
        return f"one of {', '.join(map(str, choices))}"
    if origin in LISTS:
        return f"a list of {NOUNS[inner[0]][1]}" if inner and inner[0] in NOUNS else "a list"
    if origin is dict or (isinstance(origin, type) and issubclass(origin, msgspec.Struct)):
        return "a table"
    least = next((m.ge for m in metas if m.ge is not None), None)
    most = next((m.le for m in metas if m.le is not None), None)
    unit = next((m.extra["unit"] for m in metas if m.extra and "unit" in m.extra), "")
    noun = NOUNS[origin][0] if origin in NOUNS else f"a {getattr(origin, '__name__', origin)}"
    if least is not None and most is not None:
        noun += f" from {least:g} to {most:g}"
    elif least is not None:
        noun += f" of at least {least:g}"
    return f"{noun} ({unit})" if unit else noun


def _plain(kind: Any) -> Any:
    return kind.__origin__ if hasattr(kind, "__metadata__") else kind


def _choices(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return tuple(member.value for member in kind)
    return ()


def _members(kind: Any) -> list[Any]:
    """The types of a union, without what annotates them."""
    plain = _plain(kind)
    if get_origin(plain) in (Union, types.UnionType):
        return [each for part in get_args(plain) for each in _members(part)]
    return [plain]


def _is_plain(value: Any) -> bool:
    return not isinstance(value, list | dict)


def _made(value: Any, kind: Any, *, strict: bool) -> Any:
    return msgspec.convert(value, kind, strict=strict, dec_hook=_hook)


def _hook(kind: type[Any], value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    if isinstance(value, kind):
        return value
    raise TypeError(f"expected {kind.__name__}")


def _read(text: str, kind: Any) -> Any:
    """Text as a person types it, as what the type can be made of."""
    members = _members(kind)
    if str in members or Any in members:
        return text
    word = text.strip()
    if types.NoneType in members and word.lower() in ("", "none", "null"):
        return None
    if bool in members and word.lower() in WORDS:
        return WORDS[word.lower()]
    for member in members:
        origin = get_origin(member) or member
        for choice in _choices(member):
            if str(choice).lower() == word.lower():
                return choice
        if origin in LISTS or origin is dict:
            return _read_many(word, member, origin)
    return word


def _read_many(word: str, kind: Any, origin: Any) -> Any:
    if word.startswith(("[", "{")):
        try:
            return msgspec.json.decode(word)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Unfit(f"must be {wants(kind)}; it is no JSON: {error}") from error
    if origin is dict:
        raise Unfit('must be a table as JSON, such as {"name": "value"}')
    inner = get_args(kind)[:1] or (Any,)
    return [_read(part.strip(), inner[0]) for part in word.split(",") if part.strip()]


def _blame(value: Any, kind: Any, *, strict: bool, path: str = "") -> Unfit:
    """The innermost part of a value that is not what it should be."""
    for member in _members(kind):
        for name, part, inner in _parts(value, member):
            if inner is None:
                known = get_type_hints(member)
                return Unfit(f"is not known{among(name.strip('.'), known)}", path + name)
            try:
                _made(part, inner, strict=strict)
            except (msgspec.ValidationError, TypeError, OverflowError):
                return _blame(part, inner, strict=strict, path=path + name)
    meant = ""
    if isinstance(value, str):
        meant = closest(value, [str(choice) for member in _members(kind) for choice in _choices(member)])
    return Unfit(f"must be {wants(kind)}, not {value!r}" + (f" (did you mean {meant!r}?)" if meant else ""), path)


def _parts(value: Any, kind: Any) -> Iterable[tuple[str, Any, Any]]:
    """What a list, a table or a struct is made of: its place, its value and its type, None for a wrong name."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin in LISTS and inner and isinstance(value, LISTS):
        return [(f"[{number}]", part, inner[0]) for number, part in enumerate(value)]
    if not isinstance(value, Mapping):
        return ()
    if origin is dict and inner:
        return [(f'."{key}"', part, inner[1]) for key, part in value.items()]
    if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        hints = get_type_hints(origin, include_extras=True)
        return [(f".{key}", part, hints.get(key)) for key, part in value.items()]
    return ()
