"""The tour's shop: open while it is needed, closed afterwards."""

import urllib.error
import urllib.request

import pytest

from scraper.testing.tour import shop


def test_the_shop_is_open_within_and_closed_afterwards():
    with shop() as url, urllib.request.urlopen(url, timeout=5) as answer:
        assert b"The Corner Shelf" in answer.read()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)
