"""A permit as a transport sees it: where the gate and the wire meet."""

from __future__ import annotations

from contextvars import ContextVar

from .clock import Clock
from .errors import NotNow
from .frontier.gate import Gate
from .frontier.host import Permit


class Ticket:
    """Tells the gate when a send departs. Raises NotNow where the gate calls it off."""

    __slots__ = ("_clock", "_gate", "begun", "permit")

    def __init__(self, gate: Gate, permit: Permit, clock: Clock) -> None:
        self._gate = gate
        self.permit = permit
        self._clock = clock
        self.begun = 0  # the token of the page for which something that is not safe was durably begun

    def depart(self, *, reused: bool = False) -> None:
        """The connection is ready, the headers are about to be written."""
        if not self._gate.depart(self.permit, self._clock.monotonic(), reused=reused):
            raise NotNow("the host is left alone for now")

    def sent(self) -> None:
        """The headers have been written."""
        self._gate.sent(self.permit, self._clock.monotonic())


PREPARING: ContextVar[Permit | None] = ContextVar("preparing", default=None)  # whose request `prepare` works on
