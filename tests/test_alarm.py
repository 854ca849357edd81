"""The one timer that interrupts callbacks."""

from __future__ import annotations

import signal
import time

import pytest

from scraper import Request
from scraper.alarm import Alarm, CallbackHung, Watch


def test_the_alarm_goes_on_after_a_spider_has_used_the_systems_timer_itself() -> None:
    alarm = Alarm(0.2, lambda token: None)
    watch = Watch(alarm, Request("http://a.test/"))
    before = signal.getsignal(signal.SIGALRM)
    try:
        with watch:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            signal.setitimer(signal.ITIMER_REAL, 0)
        time.sleep(0.1)
        with pytest.raises(CallbackHung), watch:
            time.sleep(2)
    finally:
        alarm.close()
        signal.signal(signal.SIGALRM, before)
