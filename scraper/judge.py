"""What an answer or an error means: go on, follow, try again later, or fail. Tells the gate of a host's health."""

from __future__ import annotations

from collections.abc import Callable

from .clock import Clock
from .errors import FetchError, StatusError
from .events import Events, HostRests
from .fetch.origin import REDIRECTS, follow, location
from .frontier.gate import Gate
from .frontier.intake import Intake
from .frontier.retry import backoff, may_resend, retried, retry_after
from .outcome import End, Outcome, dropped, failed, retry
from .quarantine import MOST_KILLS
from .reasons import Reason
from .request import Request
from .response import Response
from .settings import Settings

OVERLOAD = frozenset({429, 503})
# Failures that say something about the host as a whole, not about one page.
CONNECTION = frozenset(
    {
        Reason.DNS, Reason.REFUSED, Reason.RESET, Reason.UNREACHABLE, Reason.CONNECT_TIMEOUT,
        Reason.HEADER_TIMEOUT, Reason.TLS, Reason.EMPTY_REPLY,
    }
)  # fmt: skip
# Failures of an answer that has begun: the host is well.
ANSWERED = frozenset({Reason.TOO_LARGE, Reason.PARTIAL, Reason.SLOW_BODY})


def accepted(request: Request, status: int, settings: Settings) -> bool:
    """Whether a status may reach the callback."""
    return 200 <= status < 300 or status in request.accept_status or status in settings.accept_status


def readable(request: Request, response: Response, settings: Settings) -> bool:
    """Whether a callback gets this response: not one that leads on, or has a status that nobody accepts."""
    if not accepted(request, response.status, settings):
        return False
    leads = response.status in REDIRECTS and response.status not in request.accept_status
    return not leads or location(response.headers.getall("location"), request.url) is None


class Judge:
    """Turns what came back into an outcome. `random` gives floats in [0, 1) for the jitter."""

    def __init__(
        self,
        settings: Settings,
        gate: Gate,
        intake: Intake,
        clock: Clock,
        events: Events,
        random: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._gate = gate
        self._intake = intake
        self._clock = clock
        self._events = events
        self._random = random
        self._stale: set[int] = set()  # requests that met a stale connection once already

    def health(self, request: Request, error: FetchError | None) -> None:
        """Tell the gate how a send to a host went; an overloaded host is sent to rest."""
        host = self._gate.host(request.host)
        if error is None:
            self._gate.healthy(host)
            return
        now = self._clock.monotonic()
        if isinstance(error, StatusError) and error.status in OVERLOAD:
            until = self._gate.overloaded(host, error.after, now)
            if self._events.wanted:
                self._events.tell(HostRests(request.host, until - now, error.reason))
        elif error.reason in CONNECTION:
            self._gate.unhealthy(host, now)
        elif isinstance(error, StatusError) or error.reason in ANSWERED:
            self._gate.healthy(host)

    def status(self, request: Request, response: Response) -> StatusError | None:
        """The error that a status is, or None when the request accepts it."""
        status = response.status
        if accepted(request, status, self._settings):
            return None
        wish = response.headers.get("retry-after", "")
        after = retry_after(wish, self._clock.wall(), self._settings.max_rest) if wish else None
        return StatusError(status, after=after)

    def redirect(self, request: Request, response: Response) -> Request | None:
        """Where a response sends us on, or None. Raises FetchError for a redirect that must not be followed."""
        if response.status not in REDIRECTS or response.status in request.accept_status:
            return None
        target = location(response.headers.getall("location"), request.url)
        if target is None:
            return None
        return follow(request, response.status, target, limit=self._settings.max_redirects)

    def redirected(self, request: Request, onward: Request, status: int) -> Outcome:
        """A page that leads elsewhere; the target goes to the head of its host."""
        target = self._intake.moved(request, onward)
        if target is None:
            return dropped(request, Reason.OUT_OF_SCOPE, f"redirected to {onward.url}", status=status)
        target = target.replace(tries=0, due=0.0, token=0, kills=0, started=False)
        return Outcome(request=request, end=End.REDIRECTED, target=target, status=status)

    def again(self, request: Request, error: FetchError) -> float | None:
        """The wall-clock second of the next try after an error, None when there is none."""
        most = self._settings.retries if request.retries is None else request.retries
        status = error.status if isinstance(error, StatusError) else 0
        if request.tries >= most or not retried(error.reason, status):
            return None
        if not may_resend(request.safe, error.reason):
            return None
        wait = backoff(request.tries + 1, self._settings.backoff, self._settings.max_backoff, self._random())
        rest = self._gate.resting(request.host, self._clock.monotonic())
        return self._clock.wall() + max(rest, wait if error.after is None else error.after)

    def failure(self, request: Request, error: FetchError) -> Outcome:
        """Another try later, or a failure for good."""
        status = error.status if isinstance(error, StatusError) else 0
        if error.reason is Reason.STALE and request.safe and request.fingerprint not in self._stale:
            if len(self._stale) > 10_000:
                self._stale.clear()
            self._stale.add(request.fingerprint)
            return Outcome(request=request, end=End.BACK, reason=Reason.STALE)
        at = self.again(request, error)
        if at is not None:
            return retry(request, at, error.reason, error.detail, status=status)
        return failed(request, error.reason, error.detail, status=status)

    def doomed(self, request: Request) -> FetchError | None:
        """Why a request that an earlier process has worked on is not sent again, None when it is."""
        if request.kills >= MOST_KILLS:
            return FetchError(Reason.POISON, f"{request.kills} processes died while they worked on this page")
        if request.started and not self._settings.resend_unsafe:
            what = f"a {request.method}" if not request.safe else "an unsafe request of its callback"
            text = f"{what} may have been sent by a process that died; it is not sent again"
            return FetchError(Reason.UNKNOWN, text)
        return None

    def read(self, outcome: Outcome, response: Response) -> Outcome:
        """What a callback made of a response, and what is to be counted of that."""
        if outcome.end is End.RETRY and outcome.reason is Reason.ASKED:
            outcome = self._asked(outcome)
        outcome.status = response.status
        outcome.took, outcome.wire = response.elapsed, response.wire_bytes
        outcome.size = outcome.size or len(response.body)
        return outcome

    def _asked(self, outcome: Outcome) -> Outcome:
        """A callback's `Retry`: at its time or after the usual back-off, until the tries are used up."""
        request = outcome.request
        most = self._settings.retries if request.retries is None else request.retries
        if request.tries >= most:
            return failed(
                request, Reason.ASKED, outcome.detail, links=outcome.links, sifted=outcome.sifted,
                status=outcome.status,
            )  # fmt: skip
        wait = outcome.at
        if wait < 0:
            wait = backoff(request.tries + 1, self._settings.backoff, self._settings.max_backoff, self._random())
        outcome.at = self._clock.wall() + wait
        return outcome
