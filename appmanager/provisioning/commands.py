"""Which commands are carried out, which wait, and which were there before. Pure: time and memory are passed in.

A command is known by its id, so that one who asks again after a lost link gets the same outcome and nothing is done
twice. One at a time a module, in the order in which they came; several modules at once. One that waits longer than its
sender wanted is not carried out any more. Time is the machine's monotonic clock: a wrong date doesn't matter.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import Enum

from msgspec import structs

from appmanager.provisioning.machine import End
from appmanager.provisioning.outcome import Outcome
from appmanager.provisioning.plan import Order
from gridlink.errors import Busy, Refused

REMEMBERED = 256
WAITING_MOST = 8


class Answer(Enum):
    """What is to be done about a command that comes in."""

    START = "start"  # carry it out now
    WAIT = "wait"  # another one of its module is being carried out: it comes after that
    KNOWN = "known"  # it came before, and has no outcome yet: give it the same answer when there is one
    ENDED = "ended"  # it came before, and this is its outcome


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to a command; `outcome` where it has ended."""

    answer: Answer
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    order: Order
    until_s: float


class Commands:
    """Of one managed directory."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._current: dict[str, Order] = {}  # by module
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._ended: OrderedDict[str, tuple[Order | None, Outcome]] = OrderedDict()

    def submit(self, order: Order, now_s: float, recalled: Outcome | None = None) -> Admission:
        """Takes a command in. `recalled`: its outcome that is on record, for one that isn't remembered here.

        Raises Busy: too many wait for that module; Refused: the id is another command's.
        """
        known = self._known(order.id)
        if known is not None:
            _same(known, order)
            return Admission(Answer.KNOWN)
        ended = self._ended.get(order.id)
        if ended is None and recalled is not None:
            ended = None, recalled
        if ended is not None:
            first, outcome = ended
            _same(first, order) if first is not None else _alike(outcome, order)
            return Admission(Answer.ENDED, outcome)
        if order.module not in self._current:
            self._current[order.module] = order
            return Admission(Answer.START)
        waiting = self._waiting.setdefault(order.module, deque())
        if len(waiting) >= WAITING_MOST:
            raise Busy(f"{order.module}: {len(waiting)} commands wait already: ask again when some are done")
        waiting.append(_Waiting(order, now_s + order.expires_s))
        return Admission(Answer.WAIT)

    def refused(self, order: Order, outcome: Outcome) -> None:
        """A command that `submit` did not take in has ended all the same: who sends it again gets that."""
        self._remember(order, outcome)

    def ended(self, outcome: Outcome, now_s: float) -> tuple[list[Outcome], Order | None]:
        """A command has ended: those that expired while they waited (they end too), and the next one to carry out."""
        order = self._current.pop(outcome.module)
        if order.id != outcome.id:
            self._current[outcome.module] = order
            raise ValueError(f"{outcome.module}: {order.id} is being carried out, and {outcome.id} has ended")
        self._remember(order, outcome)
        waiting = self._waiting.get(outcome.module, deque())
        expired = []
        while waiting:
            first = waiting.popleft()
            if now_s < first.until_s:
                self._current[outcome.module] = structs.replace(first.order, expires_s=first.until_s - now_s)
                break
            expired.append(self._expire(first.order))
        if not waiting:
            self._waiting.pop(outcome.module, None)
        return expired, self._current.get(outcome.module)

    def expire(self, now_s: float) -> list[Outcome]:
        """The commands that wait and have expired; they have ended."""
        expired = []
        for module, waiting in list(self._waiting.items()):
            expired += [self._expire(one.order) for one in waiting if now_s >= one.until_s]
            self._waiting[module] = deque(one for one in waiting if now_s < one.until_s)
            if not self._waiting[module]:
                del self._waiting[module]
        return expired

    def current(self) -> list[Order]:
        """Those that are being carried out."""
        return list(self._current.values())

    def knows(self, id: str) -> bool:
        """Whether a command came before, and is remembered here."""
        return id in self._ended or self._known(id) is not None

    def _known(self, id: str) -> Order | None:
        here = [*self._current.values(), *(one.order for queue in self._waiting.values() for one in queue)]
        return next((order for order in here if order.id == id), None)

    def _expire(self, order: Order) -> Outcome:
        reason = f"it expired after waiting {order.expires_s:g} s for the command before it: ask again"
        outcome = Outcome(order.id, order.module, order.kind, End.REFUSED, reason)
        self._remember(order, outcome)
        return outcome

    def _remember(self, order: Order, outcome: Outcome) -> None:
        self._ended[order.id] = (order, outcome)
        while len(self._ended) > self._remembered:
            self._ended.popitem(last=False)


def _same(first: Order, again: Order) -> None:
    """Asked again, maybe by somebody else who has the bundle elsewhere, a command may have less time left.

    Nothing of what is to be done may differ.
    """
    if _what(first) != _what(again):
        raise Refused(f"the id {again.id} is that of another command ({first.kind} {first.module}): make a new one")


def _what(order: Order) -> Order:
    return structs.replace(order, source="", who="", signed="", expires_s=0.0, taken=None)


def _alike(outcome: Outcome, again: Order) -> None:
    if (outcome.module, outcome.kind) != (again.module, again.kind):
        raise Refused(f"the id {again.id} is that of another command ({outcome.kind} {outcome.module}): make a new one")
