"""Faults of the machine: what kills, failing disks and losses of power do to a crawl of the trial.

The trial is a site of about 1,000 pages (scraper/testing/trial.py) that knows by its declaration what a crawl must
bring home; spider.py crawls it, readers.py reads every output with none of this project's code, harness.py kills,
starts again and compares. shim.c stands before the C library's file calls, disk.py makes of its record what a disk
has after a loss of power.

    pytest tests/kill                       what the suite does: 40 kills in the main test, a sample of operations
    pytest tests/kill -s --kills 500        500 kills, with the figures of each crawl
    pytest tests/kill --every               every single write, sync, truncation and rename fails once
    pytest tests/kill --seed 1234           the instants of an earlier run, which a failing test shows
"""
