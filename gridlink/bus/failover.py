"""How the client of a bus leaves a server: at once, without sending anything late, and with no socket left open.

A dead one it leaves for another, or for the same one later: it never gives up before `end`.

A part of the NATS client (`gridlink.bus.client`) that changes what nats-py does there; it imports nothing of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

SETTLE_S = 0.2  # until a server that has come knows who listens where
SWALLOWED_S = 0.1  # a cancellation that hasn't arrived until then was swallowed
END_S = 2.0

log = logging.getLogger("gridlink.bus")

if TYPE_CHECKING:
    from typing import Any as Base  # nats-py's Client, which one file alone imports
else:
    Base = object


class Attempts:
    """Notes a client's last error, and ends its first connect after `within_s` where asyncio.timeout fails to.

    (nats-py swallows a cancellation that finds it in certain places, and would try for ever.)
    """

    def __init__(self, within_s: float) -> None:
        self.last: Exception | None = None
        self._until_s = time.monotonic() + within_s

    async def note(self, error: Exception) -> None:
        """The client's error callback."""
        self.last = error
        log.debug("nats: %r", error)
        if time.monotonic() > self._until_s:
            raise TimeoutError(str(error)) from error

    def succeeded(self) -> None:
        """The first connect is done: from now on it may try as long as it takes."""
        self._until_s = inf


class Failover(Base):  # type: ignore[misc]
    """Comes before nats-py's Client among the bases of a class."""

    on_denied: Callable[[str], None] | None = None  # told what the credentials don't allow, in the server's words
    on_topology: Callable[[], None] | None = None  # called when the servers of the cluster have changed
    server_name: str = ""  # the name of the one that it is connected to
    cluster_urls: frozenset[str] = frozenset()  # where clients reach those of its cluster, host:port, as it knew last
    _settling: asyncio.TimerHandle | None = None
    _attempt: asyncio.Task[None] | None = None  # the last one to reconnect
    _ended = False

    async def _connect_to_server(self, s: Any) -> None:
        await super()._connect_to_server(s)
        self._check_goes_on()

    async def _process_connect_init(self) -> None:
        try:
            await super()._process_connect_init()
        except (ValueError, TypeError, AttributeError) as error:  # nats-py would try no more
            raise ConnectionError(f"what answers is no nats-server ({error})") from error
        self._check_goes_on()

    async def _attempt_reconnect(self) -> None:
        former, self._attempt = self._attempt, asyncio.current_task()
        while former is not None and not former.done():  # two at once would lose one another's connections
            former.cancel()
            await asyncio.wait({former}, timeout=SWALLOWED_S)
        if not self._ended:
            await super()._attempt_reconnect()

    def end(self) -> None:
        """Ends the connection and whatever the client is in the middle of, for good. Doesn't wait for it."""
        self._ended, self._status = True, self.CLOSED
        if self._settling is not None:
            self._settling.cancel()
        for task in self._at_work():
            task.cancel()
        self._transport.close()

    async def ended(self) -> None:
        """Calls `end`, and waits until nothing of the client runs any more."""
        until_s = time.monotonic() + END_S
        while True:
            self.end()
            at_work = self._at_work()
            if not at_work or time.monotonic() > until_s:
                return
            await asyncio.wait(at_work, timeout=SWALLOWED_S)

    def _at_work(self) -> set[asyncio.Task[Any]]:
        tasks = (self._reconnection_task, self._reading_task, self._ping_interval_task, self._flusher_task)
        return {task for task in (*tasks, self._attempt) if task is not None and not task.done()}

    def _check_goes_on(self) -> None:
        """Cancels anew what was cancelled and didn't notice: before Python 3.12, `wait_for` may swallow it."""
        if self._ended:
            self.end()
            raise asyncio.CancelledError

    async def _process_err(self, err_msg: str) -> None:
        # nats-py closes for good at all errors but two. A node wants another server, and this one again later.
        if "permissions violation" in err_msg.lower():
            if self.on_denied is not None:
                self.on_denied(err_msg)
            await super()._process_err(err_msg)
            return
        error = ConnectionError(f"the nats-server says {err_msg.strip()}")
        await self._error_cb(error)
        await self._process_op_err(error)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        await super()._process_info(info, initial_connection)
        self.server_name, self.cluster_urls = str(info.get("server_name")), frozenset(info.get("connect_urls") or ())
        if initial_connection or self.on_topology is None:
            return
        if self._settling is not None:
            self._settling.cancel()
        self._settling = asyncio.get_running_loop().call_later(SETTLE_S, self.on_topology)
