"""The AppManager's end of the pipes to the guardian: asks for processes, and hears when they end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from appmanager.offences import Offence
from gridlink.codec import encode
from gridlink.errors import Closed
from gridlink.node.settings import NodeSettings

_KINDS: dict[str, Literal["hung", "crashed", "ended"]] = {"hung": "hung", "crashed": "crashed", "ended": "ended"}


class Exited(Struct, frozen=True):
    """How a child ended: exit status (negative: a signal), in words, and its own reason where it gave one."""

    name: str
    status: int
    how: str
    reason: str


class GuardianLink:
    """The pipes `fds` (read, write). `on_exit` hears of every child that ends, `on_offence` before that of the module
    that ended it. Orders are small: writing one blocks only while the guardian has 64 KiB of them waiting."""

    def __init__(
        self, fds: Sequence[int], on_exit: Callable[[Exited], None], on_offence: Callable[[Offence], None]
    ) -> None:
        self._read_fd, self._write_fd = fds
        self._on_exit, self._on_offence = on_exit, on_offence
        self._transport: asyncio.ReadTransport | None = None
        self._reader = asyncio.StreamReader()
        self._children: asyncio.Future[dict[str, str]] | None = None
        self._store_listens = asyncio.Event()

    async def open(self) -> None:
        """Takes the pipes over."""
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(self._read_fd, "rb", buffering=0)
        self._transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self._reader), pipe)

    async def listen(self) -> None:
        """Hears the guardian until its end closes."""
        while line := await self._reader.readline():
            event, *fields = line.decode().rstrip("\n").split("\t")
            if event == "exited":
                name, status, how, reason = fields
                self._on_exit(Exited(name, int(status), how, reason))
            elif event == "offence":
                self._on_offence(_offence(*fields))
            elif event == "children" and self._children is not None and not self._children.done():
                self._children.set_result(dict(field.split("=", 1) for field in fields if field))
            elif event == "store":
                self._store_listens.set()

    async def children(self) -> dict[str, str]:
        """The children that the guardian has, apart from the node, and their modes. `listen` must be running."""
        self._children = asyncio.get_running_loop().create_future()
        self._order("children", "-")
        async with asyncio.timeout(5):
            return await self._children

    def spawn(self, name: str, mode: str, limits: str, settings: NodeSettings, keys: str) -> None:
        """Asks for a process that runs a node, in mode fork or process; not where a child of that name lives.

        `limits`: see appmanager.guardian.limits; `keys`: gridlink.module.warrants.
        """
        self._order("spawn", name, mode, limits, encode(settings).decode(), keys)

    def stop(self, name: str, grace_s: float) -> None:
        """Asks a child to end, and has it killed after `grace_s`."""
        self._order("stop", name, str(grace_s))

    def forgive(self, module: str) -> None:
        """What the module did to processes is of no account any more: see appmanager.guardian.offenders."""
        self._order("forgive", module)

    def start_store(self, *, anew: bool = False) -> None:
        """Asks for the site's JetStream server, whose configuration is written; `anew`: with another one than it has.

        Else it may run already.
        """
        self._store_listens.clear()
        self._order("store", "anew" if anew else "-")

    async def store_listens(self) -> None:
        """Returns when the server that was asked for listens; `listen` must be running."""
        await self._store_listens.wait()

    def status(self, text: str) -> None:
        """Says how the bundles fare, for systemd to show. No news once the link is closed."""
        if self._transport is not None:
            self._order("status", "-", text)

    def _order(self, *fields: str) -> None:
        if self._transport is None:
            raise Closed("the link to the guardian isn't open")
        try:
            os.write(self._write_fd, ("\t".join(fields) + "\n").encode())
        except BrokenPipeError as error:
            raise Closed("the guardian is gone") from error

    def close(self) -> None:
        """Closes the pipes; may be called twice."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
            os.close(self._write_fd)


def _offence(host: str, module: str, directory: str, kind: str, why: str, numbers: str, stack: str) -> Offence:
    held_s, limit_s, moves = map(float, numbers.split())
    frames = tuple(stack.split(" < ")) if stack else ()
    return Offence(host, module, directory, _KINDS[kind], why, bool(moves), held_s, limit_s, frames)
