"""What the crawl and its worker processes say to each other; plain data, never pickled.

`job` numbers an exchange (one permit, one send), `errand` a fetch of a callback's own. Times are seconds of the
monotonic clock, which the processes of a machine share; sizes are bytes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..frontier.sieve import Sifted
from ..outcome import End
from ..reasons import Reason
from ..request import Request

Fields = list[tuple[bytes, bytes]]  # as they were on the wire: not all are UTF-8


class Message(msgspec.Struct, array_like=True, tag_field="tag"):
    """Base of all messages."""


# -- from the crawl ---------------------------------------------------------------------------------


class Begin(Message, tag=0):
    """Who the worker is: its number, its spider (by module and file), and the settings of the crawl."""

    number: int
    module: str
    file: str
    name: str
    arguments: dict[str, Any]
    settings: dict[str, Any]
    folder: str
    resolves: bool  # names are looked up by the crawl
    script: bool = False  # the file is the program that began the crawl
    state: dict[str, Any] = {}  # attributes that the program has set on the spider
    left: dict[str, Any] | None = {}  # those that `login` has; None: they are no data, the worker runs its own


class Seed(Message, tag=1):
    """The spider itself named this origin: it may be private, and gets the credentials."""

    origin: str
    host: str


class Job(Message, tag=2):
    """Send this. `go`: it may depart when its connection is ready, while the board's count is that."""

    job: int
    request: Request
    cookie: str = ""
    go: int = -1
    read: bool = True  # and run the callback on the answer
    hold: bool = False  # but wait for a word before that
    errand: int = 0  # or keep the answer for this errand


class Answer(Message, tag=3):
    """The answer to an `Ask`."""

    number: int
    yes: bool = True
    text: str = ""


class Fetched(Message, tag=4):
    """An errand is through: its last answer is what was asked for."""

    errand: int


class Refused(Message, tag=5):
    """An errand came to nothing: the error to raise; with `rests`, the host rests too long for a callback."""

    errand: int
    reason: Reason
    detail: str = ""
    status: int = 0
    after: float | None = None
    rests: bool = False


class Close(Message, tag=6):
    """Nothing more will come."""

    why: str


# -- from a worker ----------------------------------------------------------------------------------


class Ready(Message, tag=10):
    """`opened` and `login` are through."""


class Broken(Message, tag=11):
    """What ends the crawl: of the `spider`'s own hooks, of the `usage` of it, or of an `output`'s place."""

    text: str
    kind: str = "spider"


class Ask(Message, tag=12):
    """A question about a job, answered by its number: whether it may depart, and the like."""

    number: int
    job: int
    what: str  # depart, begin, permit, cookie, resolve
    text: str = ""
    flag: bool = False


class Sent(Message, tag=13):
    """The headers of a job that had asked went out."""

    job: int


class Head(Message, tag=15):
    """The answer to a job has come, whole; its body stays with the worker."""

    job: int
    status: int
    headers: Fields
    wire: int
    size: int
    elapsed: float
    departed: float  # when, where it had not asked
    reads: bool  # the callback runs now: `Done` follows
    flags: list[str] = []


class Fault(Message, tag=16):
    """A job got no answer; `called_off`: nothing was sent, nobody is at fault."""

    job: int
    reason: Reason = Reason.OK
    detail: str = ""
    wire: int = 0
    called_off: bool = False
    departed: float = 0.0


class Items(Message, tag=17):
    """Some of the items of a page that has many."""

    job: int
    lines: list[bytes]


class Done(Message, tag=18):
    """What became of a page: an outcome, as data; `head` when it was not told before."""

    job: int
    end: End
    head: Head | None = None
    reason: Reason = Reason.OK
    detail: str = ""
    links: Sifted | None = None
    items: list[bytes] = []
    rejected: list[bytes] = []
    at: float = 0.0
    where: str = ""
    trace: str = ""
    stop: str = ""
    fetches: int = 0


class Fetch(Message, tag=19):
    """A fetch of the spider's own: within a page (`open`) or not, as in `opened` and `login`.

    `job` is the exchange it comes from, 0 for none; `boarding`: from the `prepare` before that departs.
    """

    errand: int
    job: int
    request: Request
    open: bool = False
    boarding: bool = False


class Drop(Message, tag=20):
    """An errand is not waited for any more."""

    errand: int


class Log(Message, tag=21):
    """A line for the log of the run."""

    level: int
    name: str
    text: str
    url: str = ""
    trace: str = ""


class Print(Message, tag=22):
    """What the spider printed."""

    text: str


Told = Begin | Seed | Job | Answer | Fetched | Refused | Close
Heard = Ready | Broken | Ask | Sent | Head | Fault | Items | Done | Fetch | Drop | Log | Print
