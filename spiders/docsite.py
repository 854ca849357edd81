"""Every page of a documentation site, with its title and the number of its links."""

from scraper import Request, Response, Spider, arg


class Docsite(Spider):
    name = "docsite"
    url: str = arg(help="page to start from")

    async def start(self):
        yield Request(self.url)

    def parse(self, response: Response):
        hrefs = response.css("a[href]::attr(href)").getall()
        yield {
            "url": response.url,
            "title": response.css("title::text").get(""),
            "depth": response.request.depth,
            "links": len(hrefs),
        }
        yield response.follow_all(hrefs)
