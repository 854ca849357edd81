// What a contender for node is told, what it tells, and how it reads a page; see lap.py.
import { createWriteStream } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";

export const packages = createRequire(process.env.BENCH_PACKAGES + "/package.json");
export const CONCURRENCY = 32;

export function told() {
  const options = { urls: {}, items: {}, core: {}, pages: {}, seconds: {}, "any-host": { type: "boolean" }, gaps: { type: "boolean" } };
  for (const option of Object.values(options)) option.type ??= "string";
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  return {
    start: positionals[0], items: values.items, anyHost: values["any-host"] ?? false,
    pages: Number(values.pages ?? 0), seconds: Number(values.seconds ?? 0),
  };
}

// Runs the crawl and prints its lap: seconds, bytes; cpu is of all threads, garbage collection included.
export async function lap(crawl) {
  const given = told();
  const out = createWriteStream(given.items);
  const began = performance.now(), before = process.cpuUsage();
  const answer = await crawl(given, (item) => out.write(JSON.stringify(item) + "\n"));
  await new Promise((done) => out.end(done));
  const spent = process.cpuUsage(before);
  console.log(JSON.stringify({
    ...answer, seconds: (performance.now() - began) / 1000, cpu: (spent.user + spent.system) / 1e6,
    peak: process.resourceUsage().maxRSS * 1024,
  }));
  process.exit(0);
}
