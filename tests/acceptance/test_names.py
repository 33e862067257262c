"""Two nodes of one name at a site, as an operator makes them by mistake."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from gridlink.testing import eventually
from tests.acceptance.running import bundle, good, running, start


async def test_a_second_node_of_the_name_does_not_start_and_a_killed_one_starts_again_at_once(tmp_path: Path) -> None:
    """The first is not disturbed; the message says who has the name and what to do."""
    first, second = tmp_path / "first", tmp_path / "second"
    bundle(first, "one", good("one"))
    bundle(second, "two", good("two"))
    async with running(first, "--node", "board") as node:
        await node.all_running("one")
        output = tmp_path / "second.out"
        newcomer = start(second, output, "--node", "board", "--nats", node.file["url"])
        assert newcomer.wait(timeout=20) == 1
        who = rf"a node called board runs at this site, on machine \S+, process {node.file['pids']['node']}, for \d+ s"
        assert re.search(rf"{who}: give this one another name with --node NAME, or end that one", output.read_text())
        assert await node.sender.request("one", "ping") == "pong"
        assert "called board too" not in node.output()

        other = start(second, output, "--node", "other", "--nats", node.file["url"])
        try:
            await node.all_running("one", "two")
            killed = node.file["pids"]["node"]
            os.kill(killed, signal.SIGKILL)
            await eventually(lambda: [e.pid != killed for e in node.registry.find(name="one")] == [True], timeout_s=10)
            assert "runs at this site" not in node.output()
        finally:
            other.terminate()
            assert other.wait(timeout=20) == 0
