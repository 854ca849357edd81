"""The web face of `scraper serve`: pages, a JSON API, what happens as it happens, and who may see it."""
