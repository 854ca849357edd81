"""When to crawl: jobs, their planned runs, and what is told about them."""
