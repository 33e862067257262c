"""Two nodes with site files of their own, a tap on the wire between them, and a plain client beside them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from gridlink import (
    Module,
    Refused,
    Topic,
    request,
    subscribe,
)
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server, configuration
from gridlink.module.counters import Counters
from gridlink.module.sender import Sender
from gridlink.node import Node
from gridlink.proxies.site import read_site_file
from gridlink.testing import Site


@dataclass(frozen=True)
class Note:
    """A payload."""

    text: str


class Meter(Module[None]):
    """Publishes, and asks the storage."""

    roles = ("meter",)
    publishes = (Topic("measurement", note=Note),)

    @request("tell")
    async def tell(self, note: Note) -> None:
        """Publishes it."""
        await self.bus.publish("measurement", "note", note)

    @request("ask")
    async def ask(self, note: Note) -> str:
        """Asks the storage, and says what it answered."""
        reply: str = await self.bus.request("storage", "keep", note, reply=str, timeout_s=2)
        return reply


class Storage(Module[None]):
    """Keeps notes."""

    roles = ("storage",)

    def __init__(self) -> None:
        self.kept: list[str] = []
        kept_by[self.instance] = self.kept

    @request("keep")
    async def keep(self, note: Note) -> str:
        """Keeps it and says it again."""
        if "bad" in note.text:
            raise Refused(f"it is bad: {note.text}")
        if "broken" in note.text:
            raise ValueError(note.text)
        self.kept.append(note.text)
        return f"kept {note.text}"

    @subscribe("measurement", "note")
    async def on_note(self, note: Note) -> None:
        """Keeps it."""
        self.kept.append(note.text)


kept_by: dict[str, list[str]] = {}


class Tap:
    """A relay between nodes and nats-server that keeps every byte which passes, in both directions."""

    def __init__(self, port: int) -> None:
        self.bytes = bytearray()
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, other_writer]
        await asyncio.gather(self._copy(reader, other_writer), self._copy(other_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                self.bytes += data
                writer.write(data)
        except ConnectionError:
            return
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """The URL for nodes."""
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await server.wait_closed()


class Sites:
    """Two nodes of one site with their site files, a tap between them and the server, and a plain client."""

    def __init__(self, directory: Path, url: str, tap: Tap, plain: Client, stack: AsyncExitStack) -> None:
        self.directory, self.tap, self.plain = directory, tap, plain
        self._url, self._stack = url, stack
        self.key = self.new_key("site.key")

    def new_key(self, name: str) -> str:
        """A key file; returns its path."""
        path = self.directory / name
        path.write_text(secrets.token_hex(32))
        path.chmod(0o600)
        return str(path)

    async def node(self, name: str, *proxies: Any, **modules: type[Module[Any]]) -> Node:
        """A node with a site file of its own that hosts these modules."""
        file = self.directory / name / "site.json"
        file.parent.mkdir()
        file.write_text(json.dumps({"proxies": proxies}))
        bus = NatsBus("t", name)
        await bus.connect(self._url)
        node = await self._stack.enter_async_context(Node(bus, "m", site_file=read_site_file(file)))
        for module, cls in modules.items():
            await Site(node, file.parent).host(cls, name=module)
        return node

    def counters(self, node: Node, module: str) -> Counters:
        """What is counted of an instance."""
        return node.instances[f"{module}@{node.node}"].counters

    async def asks(self, node: Node, to: str, type: str, payload: Any) -> Any:
        """Asks from outside of all modules, as a plain client does."""
        return await Sender(node.bus, f"test@{node.node}").request(to, type, payload, timeout_s=5)


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[Sites]:
    """See Sites."""
    file = tmp_path / "nats-server.conf"
    file.write_text(configuration("t", -1, str(tmp_path)))
    kept_by.clear()
    async with AsyncExitStack() as stack:
        server = stack.enter_context(Server(str(file)))
        tap = Tap(int(server.url.rpartition(":")[2]))
        url = await stack.enter_async_context(tap.listening())
        plain = await nats.connect(server.url)
        stack.push_async_callback(plain.close)
        yield Sites(tmp_path, url, tap, plain, stack)


def encryption(key_file: str, **fields: Any) -> dict[str, Any]:
    """An entry of a site file."""
    return {"proxy": "encryption", "key_file": key_file, **fields}


async def in_order(client: Client) -> None:
    """Returns when the server has everything that the client sent."""
    await client.flush()
