"""Requests of which each takes a process: many at once must not fill a board with processes."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from msgspec import structs

from appmanager.operators.signed import Target
from appmanager.operators.signing import sign
from appmanager.orders import Ended, Logs, RunOrder
from appmanager.turns import AT_ONCE, WAITING
from gridlink.errors import Busy, PayloadInvalid
from gridlink.tasks import Tasks
from tests.acceptance.running import Running, bundle, good, running
from tests.acceptance.test_signed_commands import lists
from tests.appmanager.operators.keys import person

MANY = 50  # an AppManager takes 64 requests at once


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A managed directory with one module."""
    directory = tmp_path / "managed"
    bundle(directory, "lamp", good("lamp"))
    return directory


class Watched:
    """The most processes of one kind that were there at once, of what a node started."""

    def __init__(self, node: Running, kind: str) -> None:
        self._node, self._kind, self.most = psutil.Process(node.process.pid), kind, 0

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            self.most = max(self.most, await asyncio.to_thread(self._count))

    def _count(self) -> int:
        found = 0
        for process in self._node.children(recursive=True):
            try:
                found += self._kind in " ".join(process.cmdline())
            except psutil.NoSuchProcess:
                continue
        return found


async def test_logs_are_read_for_a_few_at_once(managed: Path) -> None:
    """The others wait, and who comes too many is told to come again; a name that nobody can have is bad input."""
    async with running(managed) as node:
        await node.all_running("lamp")
        manager = f"appmanager@{node.file['node']}"

        async def logs(**order: str) -> str:
            try:
                found = await node.sender.request(manager, "logs", order, reply=Logs, timeout_s=40)
            except Busy as error:
                assert "logs are read for others" in str(error)
                return "busy"
            assert found.records
            return "done"

        watched, tasks = Watched(node, "appmanager.log_reading"), Tasks("test")
        tasks.spawn(watched.watch(), name="watch")
        ends = Counter(await asyncio.gather(*(logs() for _ in range(MANY))))
        await tasks.aclose()
        assert 1 <= watched.most <= AT_ONCE
        assert ends["done"] >= AT_ONCE + WAITING
        assert ends["busy"] == MANY - ends["done"] > 0
        assert await logs() == "done"
        for order in ({"name": "la\0mp"}, {"since": "2026\0"}, {"name": "x" * 300}):
            with pytest.raises(PayloadInvalid, match=next(iter(order))):
                await logs(**order)
        assert node.state("lamp")[0] == "RUNNING"


async def test_signatures_are_checked_for_a_few_at_once(managed: Path, tmp_path: Path) -> None:
    """Each of these commands is refused or done for what it is; those that were too many can be sent again."""
    maria = person(tmp_path, "maria")
    lists(managed, maria)
    async with running(managed) as node:
        await node.all_running("lamp")
        (entry,) = node.registry.find(role="appmanager")
        target = Target("site", entry.machine, entry.instance)

        async def restart(number: int) -> str:
            order = RunOrder(f"n{number}", "lamp")
            signed = structs.replace(order, signature=sign("restart", order, target, maria.seed_file, time.time()))
            try:
                ended: Ended = await node.sender.request(entry.instance, "restart", signed, reply=Ended, timeout_s=40)
            except Busy as error:
                return "too many" if "signatures are checked" in str(error) else "busy"
            return ended.end

        watched, tasks = Watched(node, "crypto_sign_open"), Tasks("test")
        tasks.spawn(watched.watch(), name="watch")
        ends = Counter(await asyncio.gather(*(restart(number) for number in range(MANY))))
        await tasks.aclose()
        assert 1 <= watched.most <= AT_ONCE
        assert ends["done"] >= 1
        assert ends["too many"] > 0
        assert sum(ends.values()) == MANY
        record = [json.loads(line) for line in (managed / ".gridlink" / "record").read_text().splitlines()]
        assert len(record) == MANY - ends["too many"]
