"""An operator whose link dies after each message: the command is carried out once, and they get its outcome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gridlink.tasks import Tasks
from tests.acceptance.running import LONG, bundle, good, running
from tests.acceptance.test_provisioning import counted, done, gridlink, packed

CUTS = 12


class Relay:
    """Between an operator and the site; the link dies after each `cut_after` pieces that the operator has sent."""

    def __init__(self, to: str) -> None:
        where = urlsplit(to)
        self._host, self._port = where.hostname or "127.0.0.1", where.port or 4222
        self._tasks = Tasks("relay")
        self.cuts, self.cut_after, self.cuts_most = 0, 0, 1

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its address."""
        server = await asyncio.start_server(self._link, "127.0.0.1", 0)
        try:
            yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            await self._tasks.aclose()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        back = self._tasks.spawn(self._pass(there_reader, writer, cuts=False), name="back")
        try:
            await self._pass(reader, there_writer, cuts=True)
        finally:
            back.cancel()
            for one in (writer, there_writer):
                one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, cuts: bool) -> None:
        pieces = 0
        try:
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
                pieces += 1
                if cuts and pieces >= self.cut_after and self.cuts < self.cuts_most:
                    self.cuts += 1
                    return
        except ConnectionError:
            return


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_link_that_dies_after_each_message_has_each_command_done_once(tmp_path: Path) -> None:
    """After the first, the second, … that the operator sends, up to thrice in one command."""
    managed = tmp_path / "managed"
    bundle(managed, "lamp", good("lamp"))
    first, second = await packed(tmp_path, "1.0.0"), await packed(tmp_path, "1.1.0")
    async with running(managed, *LONG) as node:
        await node.all_running("lamp")
        await done(managed, "install", first)
        count = cuts = 0
        async with asyncio.timeout(280):
            for number in range(1, CUTS + 1):
                relay = Relay(node.file["url"])
                relay.cut_after, relay.cuts_most = number, 1 + number % 3
                order = ("update", second) if number % 2 else ("rollback", "counter", "--keep-state")
                async with relay.listening() as url:
                    status, out, err = await gridlink(managed, "--nats", url, *order)
                print(f"cut {relay.cuts} times after {number} pieces: {out.strip()}{err.strip()}")
                cuts += relay.cuts
                if status:  # it never was connected
                    assert "under way" not in out + err
                    await done(managed, *order)
                count += 1
                assert await counted(node, "add") == ("1.1.0" if number % 2 else "1.0.0", count)
        assert cuts > CUTS / 2
        entries = [json.loads(line) for line in (await done(managed, "history", "--json")).splitlines()]
        kinds = [entry["kind"] for entry in entries if entry["outcome"] == "done"]
        assert kinds == ["install", *["update", "rollback"] * (CUTS // 2)]
        assert len({entry["id"] for entry in entries}) == len(entries)
