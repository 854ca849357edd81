// crawlee for node (CheerioCrawler) with its fastest fair settings: storage in memory, no robots, no sessions, no
// made-up browser headers, connections kept open, 32 tasks from the first moment, quiet.
import { Agent } from "node:http";
import { CONCURRENCY, lap, packages } from "./lap.mjs";

const { CheerioCrawler, Configuration, log } = packages("@crawlee/cheerio");

await lap(async (given, write) => {
  log.setLevel(log.LEVELS.OFF);
  const agent = { http: new Agent({ keepAlive: true, maxSockets: Infinity }) };
  const end = performance.now() + (given.seconds || 86400) * 1000;
  const host = new URL(given.start).host;
  let answered = 0, part = false;
  const crawler = new CheerioCrawler({
    minConcurrency: CONCURRENCY, maxConcurrency: CONCURRENCY,
    autoscaledPoolOptions: { desiredConcurrency: CONCURRENCY, loggingIntervalSecs: null },
    maxRequestRetries: 0, useSessionPool: false, retryOnBlocked: false, respectRobotsTxtFile: false,
    maxRequestsPerCrawl: given.pages || undefined, statusMessageLoggingInterval: 86400,
    preNavigationHooks: [(_, options) => { options.useHeaderGenerator = false; options.agent = agent; }],
    async requestHandler({ request, response, $, addRequests }) {
      answered += 1;
      if (response.statusCode !== 200) return;
      if (performance.now() > end && !part) {
        part = true;
        crawler.stop();
      }
      const here = request.loadedUrl ?? request.url;
      const hrefs = $("a[href]").map((_, link) => link.attribs.href).get();
      write({ url: here, title: $("title").first().text(), links: hrefs.length });
      await addRequests(links(here, hrefs, given.anyHost ? "" : host));
    },
    failedRequestHandler() { answered += 1; },
  }, new Configuration({ persistStorage: false, purgeOnStart: true, availableMemoryRatio: 0.9 }));
  await crawler.run([given.start]);
  return { answered, part };
});

function links(here, hrefs, host) {
  const found = new Set();
  for (const href of hrefs) {
    if (!URL.canParse(href, here)) continue;
    const link = new URL(href, here);
    if (link.protocol.startsWith("http") && (!host || link.host === host)) {
      link.hash = "";
      found.add(link.href);
    }
  }
  return [...found];
}
