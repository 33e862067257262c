"""The heartbeats of a site fall into step, whenever its nodes were started, and none is silent or says too much."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlink.registry.pulse import APART_S, BEAT_S, Pulse

WAY_S = 0.001  # of a heartbeat from one node to another
FOR_S = 6.0


class _Instant(selectors.BaseSelector):
    """A selector that doesn't wait: it moves the time of its loop on."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now_s += timeout or 0.0
        return self._real.select(0)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


def simulated(starts_s: list[float]) -> list[list[float]]:
    """When each node beats, of nodes that start at these times and hear each other's beats after WAY_S."""
    selector = _Instant()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now_s  # type: ignore[method-assign]
    beats: list[list[float]] = [[] for _ in starts_s]
    pulses: list[Pulse] = []

    def beat(number: int) -> None:
        beats[number].append(loop.time())
        for other in pulses:
            if other is not pulses[number]:
                loop.call_later(WAY_S, other.heard)

    async def run() -> None:
        pulses.extend(Pulse(lambda number=number: beat(number)) for number in range(len(starts_s)))  # type: ignore[misc]
        for start_s, pulse in zip(starts_s, pulses, strict=True):
            loop.call_at(start_s, pulse.start)
        await asyncio.sleep(FOR_S)
        for pulse in pulses:
            pulse.stop()
            pulse.stop()
        told = sum(map(len, beats))
        for pulse in pulses:
            pulse.heard()
        await asyncio.sleep(3 * BEAT_S)
        assert sum(map(len, beats)) == told

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(run())
    return beats


@given(st.lists(st.floats(0.0, 2.0), min_size=2, max_size=12))
def test_nodes_beat_together_each_second_whenever_they_started(starts_s: list[float]) -> None:
    """Fifty wake-ups a second cost more than all else that an idle node does."""
    for number, times in enumerate(simulated(starts_s)):
        gaps = [after - before for before, after in zip([starts_s[number], *times], times, strict=False)]
        assert max(gaps) <= BEAT_S + 1e-6
        assert min(gaps) >= APART_S - 1e-6
    late = [time_s for times in simulated(starts_s) for time_s in times if max(starts_s) + 2 * BEAT_S < time_s]
    groups = 1 + sum(after - before > 10 * WAY_S for before, after in zip(sorted(late), sorted(late)[1:], strict=False))
    assert groups <= FOR_S - max(starts_s) - 2 * BEAT_S + 1
    assert len(late) >= len(starts_s) * (groups - 1)


def test_a_node_alone_beats_each_second() -> None:
    """Nobody else is needed."""
    assert simulated([0.0])[0] == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0, 6.0][: len(simulated([0.0])[0])])


async def test_a_pulse_that_was_not_started_is_silent() -> None:
    """An observer hears, and says nothing."""
    said: list[None] = []
    pulse = Pulse(lambda: said.append(None))
    pulse.heard()
    pulse.stop()
    assert said == []
