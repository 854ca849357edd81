"""Values as declared types: text as people type it, and words for what was wanted."""

from __future__ import annotations

import enum
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from scraper.convert import Unfit, fit, wants


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Pair(msgspec.Struct, forbid_unknown_fields=True):
    left: int
    right: str = ""


READ: list[tuple[Any, Any, Any]] = [
    ("3", int, 3), (" 3 ", int, 3), ("-2.5", float, -2.5), ("3", float, 3.0), (" x ", str, " x "), ("3", str, "3"),
    *((word, bool, True) for word in ("yes", "true", "1", "on", "Yes", "TRUE")),
    *((word, bool, False) for word in ("no", "false", "0", "off", "No", "FALSE")),
    ("yes", str, "yes"), ("yes", bool | None, True),
    ("3", int | None, 3), ("", int | None, None), ("none", int | None, None), ("null", str | None, "null"),
    ("a, b", list[str], ["a", "b"]), ("a", list[str], ["a"]), ("5", list[str], ["5"]), ("", list[str], []),
    ("5", list[int], [5]), ("5,6", list[int], [5, 6]), ("[5, 6]", list[int], [5, 6]),
    ("yes,no", list[bool], [True, False]),
    ("a,b", tuple[str, ...], ("a", "b")), ("a,a", set[str], {"a"}), ("1,2", list[int] | None, [1, 2]),
    ("true", list[str], ["true"]), ('["a,b"]', list[str], ["a,b"]),
    ('{"a": 1}', dict[str, int], {"a": 1}), ("RED", Colour, Colour.RED), ("Art", Literal["art", "poetry"], "art"),
    ("2026-01-31", date, date(2026, 1, 31)), ("a/b", Path, Path("a/b")), ("a/b", Path | None, Path("a/b")),
    (Path("a"), Path, Path("a")), (3, float, 3.0), ([1], list[int], [1]),
    ("3", Annotated[int, msgspec.Meta(ge=1)], 3),
    ("anything", Any, "anything"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kind", "made"), READ, ids=lambda each: str(each)[:30])
def test_text_is_read_as_the_type_that_was_declared(value: Any, kind: Any, made: Any) -> None:
    got = fit(value, kind)
    assert got == made
    assert type(got) is type(made)


REFUSED: list[tuple[Any, Any, str]] = [
    ("many", int, "must be a whole number, not 'many'"),
    ("2.5", int, "must be a whole number, not '2.5'"),
    (True, int, "must be a whole number, not True"),
    ("maybe", bool, "must be true or false, not 'maybe'"),
    (1, bool, "must be true or false, not 1"),
    ("x", int | None, "must be a whole number, not 'x'"),
    ("inf", float, "must be a number, not 'inf'"),
    (float("nan"), float, "must be a number, not nan"),
    ("1e400", float, "must be a number, not '1e400'"),
    ("1,x", list[int], "[1] must be a whole number, not 'x'"),
    (["a", 3], list[str], "[1] must be text, not 3"),
    ("[1, 2", list[int], "must be a list of whole numbers; it is no JSON"),
    ("[" * 100_000, list[int], "must be a list of whole numbers; it is no JSON"),
    ("x", dict[str, int], 'must be a table as JSON, such as {"name": "value"}'),
    ('{"a": "x"}', dict[str, int], ".\"a\" must be a whole number, not 'x'"),
    ("reed", Colour, "must be one of red, blue, not 'reed' (did you mean 'red'?)"),
    ("sight", Literal["site", "host"], "must be one of site, host, not 'sight' (did you mean 'site'?)"),
    ({"left": 1, "rigth": ""}, Pair, ".rigth is not known; did you mean 'right'?"),
    ({"left": "x"}, Pair, ".left must be a whole number, not 'x'"),
    (3, Pair, "must be a table, not 3"),
    ("soon", date, "must be a date, not 'soon'"),
    (0, Annotated[int, msgspec.Meta(ge=1)], "must be a whole number of at least 1, not 0"),
    (2, Annotated[float, msgspec.Meta(ge=0, le=1)], "must be a number from 0 to 1, not 2"),
]


@pytest.mark.parametrize(("value", "kind", "said"), REFUSED, ids=lambda each: str(each)[:30])
def test_what_does_not_fit_is_told_in_words(value: Any, kind: Any, said: str) -> None:
    with pytest.raises(Unfit) as caught:
        fit(value, kind)
    assert f"{caught.value.path} {caught.value}".strip().startswith(said)


def test_units_are_part_of_the_words() -> None:
    seconds = Annotated[float, msgspec.Meta(ge=0, extra={"unit": "seconds"})]
    assert wants(seconds) == "a number of at least 0 (seconds)"
