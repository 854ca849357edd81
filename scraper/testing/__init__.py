"""Servers, clocks and judges for tests: nothing here is needed to crawl."""
