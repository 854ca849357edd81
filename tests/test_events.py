"""Events: frozen values, told to whoever listens, in order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from scraper import Response, Spider
from scraper.events import Committed, Events, HostRests, OutputFailed, PageEnded
from scraper.reasons import Reason
from scraper.testing.answers import Answer
from scraper.testing.site import Site

from .conftest import Crawl


class One(Spider):
    name = "one"
    start_urls = ["http://a.test/"]

    def parse(self, response: Response) -> Any:
        yield {"url": response.url}
        yield response.follow_all(css="a")


def test_nobody_listening_means_none_is_wanted() -> None:
    events = Events()
    assert not events.wanted
    events.tell(Committed(1, 2))
    events.listen(lambda event: None)
    assert events.wanted


def test_every_listener_hears_every_event_in_order() -> None:
    events, heard = Events(), []
    events.listen(lambda event: heard.append(("a", event.position)))
    events.listen(lambda event: heard.append(("b", event.position)))
    for position in (1, 2):
        events.tell(Committed(1, position))
    assert heard == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]


@pytest.mark.parametrize(
    "event",
    [
        PageEnded("http://a.test/", "done", Reason.OK),
        HostRests("a.test", 3.0, Reason.STATUS),
        Committed(3, 100),
        OutputFailed("x.csv", "full"),
    ],
)
def test_an_event_is_a_frozen_value_that_can_be_sent_as_data(event: Any) -> None:
    with pytest.raises(AttributeError):
        setattr(event, event.__struct_fields__[0], "other")
    assert msgspec.json.decode(msgspec.json.encode(event), type=type(event)) == event
    assert event == msgspec.structs.replace(event)


async def test_a_crawl_tells_every_end_and_every_commit(site: Site, go: Crawl) -> None:
    site.page("/", '<a href="/busy">x</a><a href="/gone">x</a>')
    site.page("/busy", times=[Answer(503, headers={"Retry-After": "0"}), Answer(body="x")])
    heard: list[Any] = []
    events = Events()
    events.listen(heard.append)
    result = await go(One(), options={"events": events})
    pages = [event for event in heard if isinstance(event, PageEnded)]
    assert sorted((event.url[14:], event.end, event.status, event.tries) for event in pages) == [
        ("", "done", 200, 0), ("busy", "done", 200, 1), ("busy", "retry", 503, 0), ("gone", "failed", 404, 0),
    ]  # fmt: skip
    assert sum(event.items for event in pages) == len(result.items) == 2
    commits = [event for event in heard if isinstance(event, Committed)]
    assert sum(event.outcomes for event in commits) == len(pages)
    assert commits[-1].position == result.report.position
    assert {event.host for event in heard if isinstance(event, HostRests)} == {"a.test"}
