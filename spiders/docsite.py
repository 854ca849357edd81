"""Every page of a documentation site, with its title and the number of its links."""

from scraper import Request, Response, Spider, arg


class Docsite(Spider):
    name = "docsite"
    url: str = arg(help="page to start from")

    async def start(self):
        yield Request(self.url)

    def parse(self, response: Response):
        yield {
            "url": response.url,
            "title": response.css("title::text").get(""),
            "depth": response.request.depth,
            "links": len(response.css("a[href]").getall()),
        }
        yield response.follow_all(css="a[href]")
