"""A module under test in three lines: a real node on an in-process bus, with the module's own files in a directory.

async with testing.running(VoltageGuard, config={"upper_pu": 1.05}) as site:
    await site.publish("measurement", "voltage", {"meter": "bus_3", "value_pu": 1.07, "timestamp_s": 0.0})
    problem = await site.event("voltage_problem", "overVoltage")
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gridlink import address
from gridlink.bus.local import LocalBus
from gridlink.bus.protocol import Answer
from gridlink.codec import codec
from gridlink.errors import GridlinkError, NoSuchRole
from gridlink.manifest import Manifest
from gridlink.message import Message
from gridlink.module import Module
from gridlink.module.counters import Counters
from gridlink.module.module import HostSpec, Loaded
from gridlink.module.sender import Sender
from gridlink.node import Node

Handler = Callable[[Any], Any]


class Site:
    """The world around a module under test: sends to it, hears what it publishes, and stands in for roles it asks."""

    def __init__(self, node: Node, directory: Path) -> None:
        self.node, self.directory = node, directory
        self.clock = node.clock
        self._sender = Sender(node.bus, f"test@{node.node}")
        self._recorders: dict[tuple[str, str], _Recorder] = {}

    async def request(self, to: str, type: str, payload: Any = None, *, timeout_s: float = 5.0) -> Any:
        """Asks a role, or an instance `name@test`; returns the reply as plain JSON types."""
        return await self._sender.request(to, type, payload, timeout_s=timeout_s)

    async def publish(self, topic: str, type: str, payload: Any = None) -> None:
        """Publishes an event that the module may subscribe to."""
        await self._sender.publish(topic, type, payload)

    async def listen(self, topic: str, type: str) -> None:
        """Begins to record events, for `event`; call it before what causes the first."""
        if (topic, type) not in self._recorders:
            recorder = self._recorders[topic, type] = _Recorder()
            await self.node.bus.subscribe(address.topic(topic), type, recorder)

    async def event(self, topic: str, type: str, *, timeout_s: float = 5.0) -> Any:
        """The next recorded event, as plain JSON types. Raises TimeoutError when none comes."""
        await self.listen(topic, type)
        async with asyncio.timeout(timeout_s):
            return await self._recorders[topic, type].queue.get()

    async def serve(self, role: str, **handlers: Handler) -> None:
        """Stands in for a role that the module asks: `serve("oltc", getTapPosition=lambda payload: {...})`."""
        await self.node.bus.serve(address.role(role), _Role(handlers))

    def counters(self, name: str) -> Counters:
        """What has been counted of a module here: handled events, errors and so on."""
        return self.node.instances[f"{name}@{self.node.node}"].counters

    async def configure(self, name: str, config: Mapping[str, Any]) -> None:
        """Has a module here take other values, without a restart. Raises ConfigInvalid with the reason it refuses."""
        await self.node.configure(f"{name}@{self.node.node}", dict(config))

    async def host(self, target: type[Module[Any]], config: Mapping[str, Any] | None = None, name: str = "") -> str:
        """Starts one more module beside the first; returns its instance."""
        name = name or target.__module__.partition(".")[0].lower()
        manifest = Manifest(name=name, version="1.0.0", entry=f"{target.__module__}:{target.__name__}")
        data = self.directory / name
        entry = await self.node.host(
            HostSpec(manifest, lambda: Loaded(target), self.directory, data, "node", dict(config or {}))
        )
        return entry.instance


@asynccontextmanager
async def running(
    target: type[Module[Any]], config: Mapping[str, Any] | None = None, *, directory: Path | None = None
) -> AsyncIterator[Site]:
    """A node that runs the module, with `directory` (or a temporary one) for its files. Ends in order."""
    async with site(directory) as around:
        await around.host(target, config)
        yield around


@asynccontextmanager
async def site(directory: Path | None = None) -> AsyncIterator[Site]:
    """A node without modules yet: for those that ask something of others when they start."""
    with tempfile.TemporaryDirectory(prefix="gridlink-test-") as temporary:
        async with Node(LocalBus("test", "test"), "test") as node:
            yield Site(node, directory or Path(temporary))


async def eventually(condition: Callable[[], Any], *, timeout_s: float = 5.0) -> Any:
    """What `condition` returns (or its awaitable gives) as soon as it is true. Raises TimeoutError."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not so within {timeout_s:g} s: {condition}")
        await asyncio.sleep(0.005)


class _Recorder:
    """Keeps the events of a topic."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    def take_event(self, message: Message) -> None:
        self.queue.put_nowait(codec(Any).decode(message.payload))

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        return NoSuchRole(f"a recorder answers nothing, {message.type} came")


class _Role:
    """Answers requests with plain functions."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._answering: set[asyncio.Task[None]] = set()

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        handler = self._handlers.get(message.type)
        if handler is None:
            return NoSuchRole(f"the test serves {', '.join(self._handlers)}, {message.type} came")
        task = asyncio.get_running_loop().create_task(self._answer(handler, message, answer))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        return None

    async def _answer(self, handler: Handler, message: Message, answer: Answer) -> None:
        try:
            result = handler(codec(Any).decode(message.payload))
            if asyncio.iscoroutine(result):
                result = await result
            reply: bytes | GridlinkError = codec(Any).encode(result)
        except GridlinkError as error:
            reply = error
        answer(reply)

    def take_event(self, message: Message) -> None:
        """A role hears no events."""
