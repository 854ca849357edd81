"""Worker processes: fetch, parse and callbacks on all cores; frontier, gate and commit stay with the crawl."""
