"""The demo spider: every book of the demo shop (`python -m scraper.testing.demo`), or of one shelf."""

from dataclasses import dataclass
from urllib.parse import urljoin

from scraper import Response, Spider, arg


@dataclass
class Book:
    title: str
    price: float
    rating: int
    shelf: str
    url: str


class Books(Spider):
    name = "books"
    url: str = arg(help="address of the shop")
    shelf: str = arg("", help="shelf to read, all of them when empty")

    async def start(self):
        yield urljoin(self.url, f"/{self.shelf}/") if self.shelf else self.url

    async def parse(self, response: Response):
        if not self.shelf:
            yield response.follow_all(css="nav a")
        yield response.follow_all(css="h3 a", callback=self.book)
        yield response.follow_all(css="li.next a")

    def book(self, response: Response):
        yield Book(
            title=response.css("h1::text").one(),
            price=response.css(".price::text").one(float, strip="£"),
            rating=response.css(".rating::attr(data-stars)").one(int),
            shelf=response.css(".shelf a::text").one(),
            url=response.url,
        )
