"""Keeps the event loop to itself, in every way that was met. Each ends by itself after some seconds.

Runs with other builtins in a bundle of its own: it is a module like any author's.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sqlite3
import sys
import threading
import time
from dataclasses import dataclass

from gridlink import Module, request

LONG_S = 1.2


@dataclass(frozen=True)
class State:
    """What goes on after a move or a crash."""

    counted: int


class Hog(Module[None]):
    """Hangs when it is asked to."""

    roles = ("hog",)

    def __init__(self) -> None:
        self._counted = self._swallowed = 0

    async def snapshot(self) -> State:
        return State(self._counted)

    async def restore(self, state: State) -> None:
        self._counted = state.counted

    @request("count")
    async def count(self) -> int:
        self._counted += 1
        return self._counted

    @request("hang")
    async def hang(self, how: str) -> str:
        await getattr(self, f"_{how}")()
        return "ended by itself"

    async def _sleep(self) -> None:
        time.sleep(LONG_S)  # noqa: ASYNC251 - that is what it is for

    async def _receive(self) -> None:
        here, _there = socket.socketpair()
        with here, _there:
            here.settimeout(LONG_S)
            here.recv(1)

    async def _lock(self) -> None:
        lock = threading.Lock()
        lock.acquire()
        lock.acquire(timeout=LONG_S)

    async def _loop(self) -> None:
        end_s = time.thread_time() + LONG_S  # of its own: a processor that others have is no hang
        while time.thread_time() < end_s:
            pass

    async def _regex(self) -> None:
        re.match(r"(a+)+$", "a" * 27 + "b")

    async def _big_integer(self) -> None:
        _ = 3**25_000_000 % 7

    async def _json(self) -> None:
        json.dumps([list(range(100))] * 100_000, indent=1)

    async def _sort(self) -> None:
        sorted(range(400_000, 0, -1), key=lambda x: -sum(range(x % 1200)))

    async def _c_call(self) -> None:
        sum(range(60_000_000))

    async def _long_c_call(self) -> None:
        sum(range(sys.maxsize))

    async def _swallow(self) -> None:
        end_s = time.monotonic() + LONG_S
        while time.monotonic() < end_s:
            try:
                time.sleep(LONG_S)  # noqa: ASYNC251
            except:  # noqa: E722
                self._swallowed += 1

    async def _swallow_for_long(self) -> None:
        while True:
            try:
                sum(range(10_000))
            except:  # noqa: E722
                self._swallowed += 1

    async def _callback(self) -> None:
        asyncio.get_running_loop().call_soon(time.sleep, LONG_S)
        await asyncio.sleep(0)

    async def _callback_for_long(self) -> None:
        asyncio.get_running_loop().call_soon(time.sleep, 3600)
        await asyncio.sleep(0)

    async def _query(self) -> None:
        connection = sqlite3.connect(":memory:")
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000000) SELECT count(*) FROM n"
        ).fetchone()
