// spider-rs (Rust, its binding for node): it fetches, finds links and decides what is new; node reads title and links
// of each page for the item. How many requests it has in flight cannot be set from node.
import { lap, packages } from "./lap.mjs";

const { Website } = packages("@spider-rs/spider-rs");
const { Parser } = packages("htmlparser2");

await lap(async (given, write) => {
  const website = new Website(given.start)
    .withRespectRobotsTxt(false).withDelay(0).withDepth(0).withRequestTimeout(60000);
  if (given.pages) website.withBudget({ "*": given.pages });
  website.build();
  let answered = 0, late = false;
  const timer = given.seconds && setTimeout(() => { late = true; website.stop(); }, given.seconds * 1000);
  await website.crawl((error, page) => {
    if (error) return;
    answered += 1;
    if (page.statusCode === 200) write(read(page));
  });
  clearTimeout(timer);
  return { answered, part: late };
});

function read(page) {
  let title, links = 0, within = false;
  const parser = new Parser({
    onopentag(name, attributes) {
      if (name === "a" && attributes.href !== undefined) links += 1;
      within = name === "title" && title === undefined;
      if (within) title = "";
    },
    ontext(text) { if (within) title += text; },
    onclosetag(name) { if (name === "title") within = false; },
  });
  parser.end(page.content);
  return { url: page.url, title: title ?? "", links };
}
