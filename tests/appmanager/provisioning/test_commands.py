"""Commands that are repeated, reordered, late: each is done once, and none is lost."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from appmanager.provisioning.commands import WAITING_MOST, Admission, Answer, Commands
from appmanager.provisioning.machine import End, Kind
from appmanager.provisioning.outcome import Outcome
from appmanager.provisioning.plan import Order, timed
from appmanager.provisioning.time_left import moment
from gridlink.errors import Busy, Refused

MODULES = ("lamp", "meter")


def order(id: str, module: str = "lamp", expires_s: float = 60.0) -> Order:
    """A command."""
    return Order(id, Kind.UPDATE, module, digest="d", expires_s=expires_s)


def done(one: Order) -> Outcome:
    """It went well."""
    return Outcome(one.id, one.module, one.kind, End.DONE)


def test_the_same_id_with_other_content_is_refused() -> None:
    """Two programs that number their commands from 1 must not take each other's outcome for theirs."""
    commands = Commands()
    assert commands.submit(order("1"), 0.0).answer is Answer.START
    with pytest.raises(Refused, match="another command"):
        commands.submit(order("1", "meter"), 0.0)
    assert commands.submit(order("1", expires_s=5.0), 1.0).answer is Answer.KNOWN
    assert commands.submit(timed(order("1"), moment()), 1.0).answer is Answer.KNOWN


def test_two_desks_may_ask_for_the_same() -> None:
    """Both apply one file to a site at once: who comes second hears of the command that is under way."""
    commands, first = (
        Commands(),
        structs.replace(order("1"), who="maria@desk1", signed="UM", source="/media/stick/lamp.glb"),
    )
    assert commands.submit(first, 0.0).answer is Answer.START
    second = structs.replace(first, who="jan@desk2", signed="UJ", source="store")
    assert commands.submit(second, 1.0).answer is Answer.KNOWN
    with pytest.raises(Refused, match="another command"):
        commands.submit(structs.replace(second, digest="e"), 1.0)


def test_a_queue_is_bounded() -> None:
    """A program that goes wild must not fill the memory of a board."""
    commands = Commands()
    for number in range(WAITING_MOST + 1):
        commands.submit(order(str(number)), 0.0)
    with pytest.raises(Busy):
        commands.submit(order("more"), 0.0)


def test_what_was_forgotten_is_looked_up_on_record() -> None:
    """Months later the link comes back, and so does the message."""
    outcome = done(order("old"))
    commands = Commands()
    assert commands.submit(order("old"), 0.0, outcome) == Admission(Answer.ENDED, outcome)
    with pytest.raises(Refused, match="another command"):
        commands.submit(order("old", "meter"), 0.0, outcome)


class Asked(RuleBasedStateMachine):
    """Operators who ask, ask again and wait, against a model: what was carried out, and what was answered."""

    def __init__(self) -> None:
        super().__init__()
        self.record: dict[str, Outcome] = {}
        self.commands = Commands(remembered=2)
        self.now_s, self.count = 0.0, 0
        self.asked: dict[str, tuple[Order, float]] = {}
        self.started: list[str] = []
        self.running: dict[str, Order] = {}
        self.queue: dict[str, list[str]] = {module: [] for module in MODULES}

    def _start(self, one: Order) -> None:
        assert one.id not in self.started, "done twice"
        assert one.module not in self.running, "two at a time"
        self.started.append(one.id)
        self.running[one.module] = one

    def _end(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            assert outcome.id not in self.record
            assert self.asked[outcome.id][1] <= self.now_s, "expired too early"
            self.record[outcome.id] = outcome
            self.queue[outcome.module].remove(outcome.id)

    @rule(module=st.sampled_from(MODULES), expires_s=st.sampled_from((1.0, 5.0, 50.0)))
    def ask(self, module: str, expires_s: float) -> None:
        self.count += 1
        one = order(str(self.count), module, expires_s)
        try:
            answer = self.commands.submit(one, self.now_s, self.record.get(one.id)).answer
        except Busy:
            assert len(self.queue[module]) >= WAITING_MOST
            return
        self.asked[one.id] = (one, self.now_s + expires_s)
        if module in self.running:
            assert answer is Answer.WAIT
            self.queue[module].append(one.id)
        else:
            assert answer is Answer.START
            self._start(one)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        one, _ = self.asked[data.draw(st.sampled_from(sorted(self.asked)))]
        found = self.commands.submit(one, self.now_s, self.record.get(one.id))
        if one.id in self.record:
            assert found == Admission(Answer.ENDED, self.record[one.id])
        else:
            assert found.answer is Answer.KNOWN

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        one = self.running.pop(data.draw(st.sampled_from(sorted(self.running))))
        self.record[one.id] = done(one)
        expired, following = self.commands.ended(done(one), self.now_s)
        self._end(expired)
        if following is not None:
            assert self.queue[one.module][0] == following.id, "out of order"
            assert following.expires_s == pytest.approx(self.asked[following.id][1] - self.now_s)
            self.queue[one.module].pop(0)
            self._start(following)
        else:
            assert not self.queue[one.module], "lost"

    @rule(passes_s=st.sampled_from((0.5, 3.0, 60.0)), looks=st.booleans())
    def time_passes(self, passes_s: float, looks: bool) -> None:
        self.now_s += passes_s
        if looks:
            self._end(self.commands.expire(self.now_s))

    @invariant()
    def none_is_lost(self) -> None:
        waiting = {one for queued in self.queue.values() for one in queued}
        running = {one.id for one in self.running.values()}
        assert set(self.asked) == waiting | running | set(self.record)
        assert {one.id for one in self.commands.current()} == running


Asked.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAsked = Asked.TestCase
