"""The loop goes on: whatever a module raises in it, wherever, and also where it stops it. On a real loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from gridlink.errors import Refused
from gridlink.module.owner import owner
from gridlink.node.loop import run_loop
from gridlink.testing import eventually

LEAVES: dict[str, Callable[[], BaseException]] = {"exit": lambda: SystemExit(4), "interrupt": KeyboardInterrupt}
Way = Callable[[Callable[[], None]], Awaitable[None] | None]


def call_soon(raises: Callable[[], None]) -> None:
    """A callback of the loop's."""
    asyncio.get_running_loop().call_soon(raises)


def call_later(raises: Callable[[], None]) -> None:
    """A timer."""
    asyncio.get_running_loop().call_later(0.01, raises)


def from_a_thread(raises: Callable[[], None]) -> None:
    """Handed over by a thread."""
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    threading.Thread(target=lambda: loop.call_soon_threadsafe(raises, context=context)).start()


def reader(raises: Callable[[], None]) -> None:
    """A file that can be read."""
    read, write = os.pipe()
    loop = asyncio.get_running_loop()

    def readable() -> None:
        loop.remove_reader(read)
        os.close(read)
        raises()

    loop.add_reader(read, readable)
    os.write(write, b".")
    os.close(write)


def done_callback(raises: Callable[[], None]) -> None:
    """A future that is done."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda _: raises())
    future.set_result(None)


def bare_task(raises: Callable[[], None]) -> None:
    """A task that nobody owns."""

    async def one() -> None:
        await asyncio.sleep(0)
        raises()

    _kept.append(asyncio.create_task(one()))  # noqa: TID251 - what a module may do


async def gather(raises: Callable[[], None]) -> None:
    """One of several; the others go on."""

    async def one() -> None:
        await asyncio.sleep(0)
        raises()

    with pytest.raises((SystemExit, KeyboardInterrupt)):
        await asyncio.gather(one(), asyncio.sleep(0.01))


async def task_group(raises: Callable[[], None]) -> None:
    """One of a group's."""

    async def one() -> None:
        await asyncio.sleep(0)
        raises()

    with pytest.raises((SystemExit, KeyboardInterrupt)):
        async with asyncio.TaskGroup() as group:
            group.create_task(one())


class Protocol(asyncio.Protocol):
    """Raises as something comes in."""

    def __init__(self, raises: Callable[[], None]) -> None:
        self._raises = raises

    def data_received(self, data: bytes) -> None:
        self._raises()


async def protocol(raises: Callable[[], None]) -> None:
    """In a transport's own code."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: Protocol(raises), pipe)
        os.write(write, b".")
        await asyncio.sleep(0.02)
        transport.close()
        os.close(write)
        await asyncio.sleep(0.02)


WAYS: list[Way] = [
    call_soon, call_later, from_a_thread, reader, done_callback, bare_task, gather, task_group, protocol,
]  # fmt: skip
_kept: list[asyncio.Task[None]] = []


@pytest.fixture(autouse=True)
def handled() -> Iterator[None]:
    """As in a node, which handles SIGINT itself: whoever raises KeyboardInterrupt isn't the one at the keyboard."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


def _is_uvloop() -> bool:
    return find_spec("uvloop") is not None


class Unspeakable:
    """What a module may give sys.exit."""

    def __repr__(self) -> str:
        raise ValueError("it can't be said")


class Gone(logging.Handler):
    """A module's own, whose log server is away."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ConnectionError("the log server is away")


def _unspeakable(loop: asyncio.AbstractEventLoop) -> None:
    said: Any = Unspeakable()
    loop.call_soon(sys.exit, said)


def _cancelled(loop: asyncio.AbstractEventLoop) -> None:
    class Leaving(asyncio.Future[None]):
        def leave(self) -> None:
            raise SystemExit(4)

    future = Leaving()
    future.cancel()
    loop.call_soon(future.leave)


def _unheard(loop: asyncio.AbstractEventLoop) -> None:
    logging.getLogger("gridlink.node").addHandler(Gone())
    loop.call_soon(sys.exit, 4)
    type(loop).stop(loop)


@pytest.mark.parametrize("leave", [_unspeakable, _cancelled, _unheard])
def test_the_loop_goes_on_where_that_can_not_be_said(leave: Callable[[asyncio.AbstractEventLoop], None]) -> None:
    """Saying so runs code of the module's: it is no way to end the node either."""
    if leave is _unheard and _is_uvloop():
        pytest.skip("uvloop's own stop can't be called like that")

    async def main() -> int:
        leave(asyncio.get_running_loop())
        await asyncio.sleep(0.02)
        return 7

    log = logging.getLogger("gridlink.node")
    handlers = list(log.handlers)
    try:
        assert run_loop(main()) == 7
    finally:
        log.handlers[:] = handlers


def test_a_copy_that_leaves_the_loop_ends_with_its_own_status(caplog: pytest.LogCaptureFixture) -> None:
    """`os.fork` in a handler, and `sys.exit` in the copy: nobody is to be blamed, and the copy isn't the node."""

    async def main() -> int:
        if (child := os.fork()) == 0:
            raise SystemExit(5)
        return os.waitstatus_to_exitcode((await asyncio.to_thread(os.waitpid, child, 0))[1])

    assert run_loop(main()) == 5
    assert caplog.text == ""


@pytest.mark.parametrize("leaves", LEAVES)
@pytest.mark.parametrize("way", WAYS)
def test_the_loop_goes_on_and_the_offender_is_named(way: Way, leaves: str, caplog: pytest.LogCaptureFixture) -> None:
    """All that was due before, with and after it gets its turn, once."""
    if way is protocol and _is_uvloop():
        pytest.skip("uvloop's transports take it for a fatal error of the connection")
    turns: list[int] = []

    def raises() -> None:
        raise LEAVES[leaves]()

    async def main() -> int:
        loop = asyncio.get_running_loop()
        other = asyncio.create_task(asyncio.sleep(0.05, "other"))  # noqa: TID251
        owner.set("hog@test")
        loop.call_soon(turns.append, 1)
        started = way(raises)
        if started is not None:
            await started
        loop.call_soon(turns.append, 2)
        owner.set("")
        await eventually(lambda: "which ends no node" in caplog.text)
        assert await other == "other"
        assert asyncio.current_task() is not None
        return 7

    with caplog.at_level(logging.ERROR):
        assert run_loop(main()) == 7
    _kept.clear()
    assert turns == [1, 2]
    who = "something" if _is_uvloop() else "hog@test"  # no bundle's code is there to name it by
    what = "called sys.exit(4)" if leaves == "exit" else "raised KeyboardInterrupt"
    assert f"{who} {what}, which ends no node: " in caplog.text


def test_again_and_again_it_only_costs_the_one_who_does_it(caplog: pytest.LogCaptureFixture) -> None:
    """A callback that puts itself back before it leaves, thousands of times, while others count."""
    left = 3000

    def again() -> None:
        nonlocal left
        left -= 1
        if left:
            asyncio.get_running_loop().call_soon(again)
        sys.exit(1)

    async def main() -> int:
        asyncio.get_running_loop().call_soon(again)
        turns = 0
        while left:
            turns += 1
            await asyncio.sleep(0)
        return turns

    caplog.set_level(logging.CRITICAL)
    assert run_loop(main()) >= 2000


def test_whoever_stops_the_loop_is_refused_and_named(caplog: pytest.LogCaptureFixture) -> None:
    """As a call, as a callback, and past the refusal."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        owner.set("hog@test")
        with pytest.raises(Refused, match=r"hog@test called loop\.stop\(\), and the loop is the whole node's: return"):
            loop.stop()
        caplog.clear()
        loop.call_soon(loop.stop)
        await eventually(lambda: "hog@test called loop.stop()" in caplog.text)
        type(loop).stop(loop)
        await eventually(lambda: "something stopped the loop" in caplog.text)
        return 3

    assert run_loop(main()) == 3


def test_what_main_itself_raises_is_raised() -> None:
    """That is the node's own end."""

    async def main() -> int:
        sys.exit(5)

    with pytest.raises(SystemExit, match="5"):
        run_loop(main())


def test_whoever_leaves_in_the_last_turn_is_named_too(caplog: pytest.LogCaptureFixture) -> None:
    """And the end goes its way."""

    async def main() -> int:
        asyncio.get_running_loop().call_soon(sys.exit, 4)
        return 6

    assert run_loop(main()) == 6
    assert "something called sys.exit(4), which ends no node: return, or raise" in caplog.text
    assert _is_uvloop() or len(caplog.records) == 1  # uvloop's `stop` is carried out late


def test_an_interrupt_from_the_keyboard_ends_it_where_nobody_handles_it(caplog: pytest.LogCaptureFixture) -> None:
    """A real SIGINT, where Python makes it a KeyboardInterrupt; a finally is run."""
    ended: list[str] = []

    async def main() -> int:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
            await asyncio.sleep(60)
        finally:
            ended.append("in order")
        return 0

    with pytest.raises(KeyboardInterrupt):
        run_loop(main())
    assert ended == ["in order"]
    assert caplog.text == ""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # uvloop's: its loop is closed
def test_a_task_that_swallows_its_cancellation_keeps_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Nor does a thread of the loop's own; both are named, and what ends in order does."""
    over = threading.Event()
    ended: list[str] = []

    async def deaf() -> None:
        while not over.is_set():
            with contextlib.suppress(BaseException):  # what a module may do
                await asyncio.sleep(60)

    async def orderly() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            ended.append("in order")

    async def main() -> int:
        owner.set("hog@test")
        _kept.append(asyncio.create_task(deaf(), name="deaf"))  # noqa: TID251
        _kept.append(asyncio.create_task(orderly(), name="orderly"))  # noqa: TID251
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, over.wait)
        await asyncio.sleep(0.01)
        return 0

    began_s = time.monotonic()
    assert run_loop(main()) == 0
    took_s = time.monotonic() - began_s
    over.set()
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        thread.join(5)
    _kept.clear()
    assert ended == ["in order"]
    assert took_s < 5
    assert "hog@test: the task deaf has not ended: the process ends without it" in caplog.text
    assert "the node: the task threads of asyncio.to_thread has not ended" in caplog.text
    assert "orderly" not in caplog.text
