"""Tracing: one trace from the first cause to the last effect, in W3C's form, whatever a foreign program sends."""

from __future__ import annotations

from contextvars import copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gridlink.message import Message, current, is_traceparent
from gridlink.proxies.tracing import Tracing, begin_trace
from tests.gridlink.proxies.place import Heard, asked

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


async def sent(trace: str | None = None) -> str:
    """The trace of a message that is sent, while one with `trace` is handled."""
    heard = Heard()
    if trace is not None:
        current.set(replace(asked(), trace=trace))
    await Tracing().outgoing(heard)(asked())
    return heard.messages[0].trace


async def test_a_message_without_a_cause_begins_a_trace() -> None:
    """Two of them have nothing in common."""
    tracing, heard = Tracing(), Heard()
    for _ in range(2):
        await tracing.outgoing(heard)(asked())
    one, other = (message.trace for message in heard.messages)
    assert is_traceparent(one)
    assert is_traceparent(other)
    assert one[3:35] != other[3:35]


async def test_what_a_handler_sends_continues_its_trace_with_a_span_of_its_own() -> None:
    """Also its flags: whether it is sampled was decided at its start."""
    trace = await sent(TRACE)
    assert trace[:35] == TRACE[:35]
    assert trace[53:] == "00"
    assert trace[36:52] != TRACE[36:52]
    assert is_traceparent(trace)


@pytest.mark.parametrize(
    "trace",
    [
        "",
        "x",
        TRACE.upper(),
        TRACE[:-1],
        TRACE + "0",
        "ff" + TRACE[2:],
        TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        TRACE.replace("00f067aa0ba902b7", "0" * 16),
        TRACE[:20] + ";mallory@c;9;" + TRACE[33:],
        "é" * 55,
    ],
)
async def test_a_trace_that_is_none_is_not_continued(trace: str) -> None:
    """A foreign header must not get into our own, where `;` would end a field."""
    found = await sent(trace)
    assert is_traceparent(found)
    assert found[3:35] != trace[3:35]


@given(st.text(max_size=60))
def test_text_is_hardly_ever_a_trace_and_never_raises(text: str) -> None:
    """Headers are anybody's."""
    assert is_traceparent(text) is False


async def test_a_message_that_arrives_without_a_trace_is_given_one() -> None:
    """All that it causes shares it."""
    traces = []
    tracing = Tracing()

    async def handler(message: Message) -> bytes:
        traces.append(message.trace)
        outside = Heard()
        for _ in range(2):
            await tracing.outgoing(outside)(asked())
        traces.extend(one.trace for one in outside.messages)
        return b""

    await tracing.incoming(handler)(asked())
    assert len({trace[3:35] for trace in traces}) == 1
    assert len({trace[36:52] for trace in traces}) == 3


async def test_a_message_that_arrives_with_a_trace_keeps_it() -> None:
    """It was somebody else's to choose."""
    heard = Heard()
    await Tracing().incoming(heard)(replace(asked(), trace=TRACE))
    assert heard.messages[0].trace == TRACE


async def test_a_retry_is_a_span_of_its_own_and_a_given_trace_is_kept() -> None:
    """Who sets a trace knows why."""
    heard = Heard()
    await Tracing().outgoing(heard)(replace(asked(), trace=TRACE))
    assert heard.messages[0].trace == TRACE


async def test_a_run_of_a_timer_is_one_trace_and_the_next_another() -> None:
    """A handled message, where there is one, comes first."""

    async def run() -> set[str]:
        begin_trace()
        return {(await sent())[3:35], (await sent())[3:35]}

    one, other = await run(), await run()
    assert len(one) == len(other) == 1
    assert one != other
    assert (await sent(TRACE))[:35] == TRACE[:35]


def test_a_trace_of_a_run_stays_in_its_context() -> None:
    """Another module's timer must not share it."""
    context = copy_context()
    trace = context.run(begin_trace)
    assert is_traceparent(trace)
    other = copy_context().run(begin_trace)
    assert other[3:35] != trace[3:35]
