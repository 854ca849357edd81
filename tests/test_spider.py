"""Spiders: how arguments are declared and given, which names are the framework's, what cannot be run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from scraper import crawl
from scraper.errors import SpiderError, UsageError
from scraper.spider import Spider, arg, arguments, check


class Shop(Spider):
    """Every kind of argument."""

    name = "shop"
    start_urls = ["http://a.test/"]
    shelf: str = arg("poetry", help="shelf to read", choices=["poetry", "art"])
    pages: int = 3
    strict: bool = False
    most: float | None = None
    tags: list[str] = arg([])
    years: list[int] = arg(choices=[2024, 2025], default=[2025])
    sort: Literal["price", "title"] = "title"
    file: Path = Path("urls.txt")
    version: ClassVar[int] = 1
    _seen: int = 0


class Needs(Spider):
    name = "needs"
    shelf: str
    key: str = arg(secret=True, default="")
    pin: int = arg(secret=True, default=0)


def refused(make: Any, **given: Any) -> str:
    with pytest.raises(UsageError) as caught:
        make(**given)
    return str(caught.value)


def test_annotated_public_attributes_are_the_arguments() -> None:
    assert list(arguments(Shop)) == ["shelf", "pages", "strict", "most", "tags", "years", "sort", "file"]
    assert arguments(Shop)["shelf"][1].help == "shelf to read"


def test_without_values_the_defaults_hold() -> None:
    shop = Shop()
    assert (shop.shelf, shop.pages, shop.strict, shop.most, shop.tags, shop.years) == (
        "poetry", 3, False, None, [], [2025],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("shelf", "art", "art"),
        ("pages", "12", 12),
        ("strict", "yes", True),
        ("strict", "true", True),
        ("strict", "1", True),
        ("strict", "no", False),
        ("strict", "false", False),
        ("strict", "0", False),
        ("most", "2.5", 2.5),
        ("most", "", None),
        ("tags", "a, b", ["a", "b"]),
        ("tags", "7", ["7"]),
        ("tags", '["a,b"]', ["a,b"]),
        ("years", "2024", [2024]),
        ("years", "2024,2025", [2024, 2025]),
        ("sort", "price", "price"),
        ("file", "a/b.txt", Path("a/b.txt")),
    ],
)
def test_text_of_a_command_line_becomes_the_declared_type(name: str, text: str, value: Any) -> None:
    given: dict[str, Any] = {name: text}
    assert getattr(Shop(**given), name) == value


def test_values_of_a_program_are_checked_too() -> None:
    assert Shop(pages=5, tags=["x"], most=2).most == 2
    assert "argument 'pages' must be a whole number, not 2.5" in refused(Shop, pages=2.5)
    assert "argument 'tags[1]' must be text, not 3" in refused(Shop, tags=["a", 3])


def test_a_wrong_value_is_told_with_what_was_wanted() -> None:
    assert refused(Shop, pages="many") == "spider 'shop': argument 'pages' must be a whole number, not 'many'"
    assert refused(Shop, strict="maybe") == "spider 'shop': argument 'strict' must be true or false, not 'maybe'"
    assert refused(Shop, shelf="arts").endswith(
        "must be one of poetry, art, not 'arts'; did you mean 'art'?"
    )  # fmt: skip
    assert "must be one of 2024, 2025, not 2023" in refused(Shop, years="2024,2023")
    assert "(did you mean 'price'?)" in refused(Shop, sort="prize")


def test_an_unknown_argument_is_refused_with_what_is_near() -> None:
    assert refused(Shop, shelv="art") == "spider 'shop' has no argument 'shelv'; did you mean 'shelf'?"
    assert "has no argument 'version'" in refused(Shop, version=2)
    assert "has no argument '_seen'" in refused(Shop, _seen=2)


def test_an_argument_without_default_is_required() -> None:
    assert refused(Needs) == "spider 'needs' needs the argument 'shelf' (-a shelf=...)"
    assert Needs(shelf="art").shelf == "art"


def test_an_error_does_not_show_a_secret() -> None:
    assert "s3cret" not in refused(Needs, shelf="x", pin="s3cret")


def test_a_mutable_default_belongs_to_each_spider_alone() -> None:
    one, other = Shop(), Shop()
    one.tags.append("x")
    one.years.append(1)
    assert (other.tags, other.years) == ([], [2025])
    assert Shop().tags == []


def test_a_plain_list_as_default_is_not_shared_either() -> None:
    class Plain(Spider):
        name = "plain"
        tags: list[str] = []

    Plain().tags.append("x")
    assert Plain().tags == []
    assert Plain.tags == []


def test_arguments_are_inherited_and_a_subclass_may_change_them() -> None:
    class Art(Shop):
        name = "art"
        shelf = "art"
        pages: int = arg(9, help="more")
        colour: str = "red"

    assert (Art().shelf, Art().pages, Art().colour, Art().strict) == ("art", 9, "red", False)
    assert arguments(Art)["shelf"][1].help == "shelf to read"
    assert "must be one of poetry, art" in refused(Art, shelf="x")
    assert list(arguments(Art))[-1] == "colour"
    assert Shop().shelf == "poetry"


def test_a_subclass_may_give_a_required_argument_its_value() -> None:
    class Given(Needs):
        name = "given"
        shelf = "art"

    given: Any = Given  # a type checker wants it to be annotated again
    assert given().shelf == "art"


def test_an_annotation_that_is_not_known_is_a_usage_error() -> None:
    class Odd(Spider):
        name = "odd"
        shelf: Nowhere = "x"  # type: ignore[name-defined]  # noqa: F821

    assert "spider 'odd': an annotation is not known" in refused(Odd)


@pytest.mark.parametrize("name", ["fetch", "logger", "_line", "_logger"])
def test_what_the_framework_provides_cannot_be_overridden(name: str) -> None:
    with pytest.raises(SpiderError, match=rf"Bad\.{name} overrides a name of the framework"):
        type("Bad", (Spider,), {name: lambda self: None})
    with pytest.raises(SpiderError, match=name):
        type("Bad", (Spider,), {"__annotations__": {name: str}})


@pytest.mark.parametrize("name", ["start", "parse", "login", "opened", "closed", "prepare", "on_error"])
def test_a_hook_is_a_method_and_never_an_argument(name: str) -> None:
    for value in ("me", arg("me"), None, 3):
        with pytest.raises(SpiderError, match=rf"Bad\.{name} overrides"):
            type("Bad", (Spider,), {name: value, "__annotations__": {name: str}})
    with pytest.raises(SpiderError, match=rf"Bad\.{name} overrides"):
        type("Bad", (Spider,), {"__annotations__": {name: str}})
    assert type("Good", (Spider,), {name: lambda self: None})


@pytest.mark.parametrize("name", ["name", "start_urls", "allowed_domains", "settings"])
def test_what_a_spider_says_of_itself_is_no_argument(name: str) -> None:
    with pytest.raises(SpiderError, match=rf"Bad\.{name} overrides"):
        type("Bad", (Spider,), {name: arg("x"), "__annotations__": {name: str}})


def test_annotating_what_a_spider_says_of_itself_is_allowed() -> None:
    class Typed(Spider):
        name: ClassVar[str] = "typed"
        start_urls: list[str] = ["http://a.test/"]  # type: ignore[misc]

    check(Typed)
    assert arguments(Typed) == {}


@pytest.mark.parametrize("name", ["shop", "Shop_2", "a.b-c", "0", "x" * 64])
def test_a_name_that_can_be_a_folder_is_good(name: str) -> None:
    check(type("Good", (Spider,), {"name": name}))


@pytest.mark.parametrize("name", ["", ".", "..", "-x", ".x", "a b", "a/b", "a\\b", "ü", "x" * 65, "a\n", None, 3])
def test_a_name_that_can_be_no_folder_is_refused(name: Any) -> None:
    with pytest.raises(UsageError, match=r"Bad\.name is"):
        check(type("Bad", (Spider,), {"name": name}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("start_urls", "http://a.test/"),
        ("start_urls", None),
        ("allowed_domains", "a.test"),
        ("allowed_domains", 3),
        ("settings", ["delay"]),
        ("settings", None),
    ],
)
def test_text_in_place_of_a_list_is_refused(field: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"spider 'bad': {field} must be a"):
        check(type("Bad", (Spider,), {"name": "bad", field: value}))


@pytest.mark.parametrize("thing", [None, 3, int, Shop()])
def test_only_a_subclass_of_spider_can_be_run(thing: Any) -> None:
    with pytest.raises(UsageError, match="is no subclass of Spider"):
        check(thing)


async def test_outside_a_crawl_a_spider_fetches_nothing_and_may_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SpiderError, match="while a crawl runs"):
        await Shop().fetch("http://a.test/")
    with caplog.at_level(logging.INFO, "scraper"):
        Shop().logger.info("hello")
    assert caplog.records[0].name == "scraper.spider.shop"


async def test_a_spider_without_parse_says_so() -> None:
    with pytest.raises(SpiderError, match=r"spider 'shop' has no parse\(\)"):
        Shop().parse(None)  # type: ignore[arg-type]


async def test_by_default_a_spider_starts_with_its_urls() -> None:
    assert [seed async for seed in Shop().start()] == ["http://a.test/"]


async def test_a_spider_whose_own_init_leaves_ours_out_is_told_what_to_do() -> None:
    class Kept(Spider):
        name = "kept"

        def __init__(self) -> None:
            self.seen: set[str] = set()

    class Later(Kept):
        start_urls = ("https://a.test/",)

    with pytest.raises(UsageError) as caught:
        await crawl(Later())
    assert str(caught.value).startswith(f"spider 'kept': Kept.__init__ ({__file__}:")
    assert "does not call super().__init__(): begin it with super().__init__(**given)" in str(caught.value)
