"""An operator edits a `config.json` under a running node: the module takes it, or says why not, and starts anyway."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, running

CODE = '''
from dataclasses import dataclass

from gridlink import Module, Refused, request


@dataclass(frozen=True)
class Config:
    """What it can be told."""

    upper_pu: float = 1.1


class Probe(Module[Config]):
    """Has a limit, which it writes down where it needs it."""

    roles = ("limit",)

    async def start(self) -> None:
        self.upper_pu = self.config.upper_pu

    async def configure(self, old: Config, new: Config) -> None:
        if new.upper_pu > 1.2:
            raise Refused(f"upper_pu: expected at most 1.2, came {new.upper_pu}")
        self.upper_pu = new.upper_pu

    async def healthy(self) -> bool | str:
        return self.upper_pu != 1.15 or "1.15 is a limit that nobody wants"

    @request("upper")
    async def upper(self) -> float:
        return self.upper_pu
'''


async def limit(node: Running, upper_pu: float) -> None:
    """Waits until the module answers with that limit."""

    async def answers() -> bool:
        return bool(await node.sender.request("limit", "upper") == upper_pu)

    await eventually(answers, timeout_s=10)


def gridlink(node: Running, *arguments: str) -> str:
    """What a command prints."""
    command = [str(Path(sys.executable).with_name("gridlink")), "-C", str(node.managed), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


@pytest.mark.parametrize(
    "mode", ["node", pytest.param("fork", marks=pytest.mark.slow), pytest.param("process", marks=pytest.mark.slow)]
)
async def test_an_edited_file_is_taken_or_refused_and_a_refused_one_stops_no_start(tmp_path: Path, mode: str) -> None:
    """As an operator does it: with an editor, with a mistake in it, and with the power going before it is mended."""
    managed = tmp_path / "managed"
    file = bundle(managed, "guard", CODE) / "config.json"
    file.write_text('{"upper_pu": 1.1}')
    async with running(managed, "--mode", mode) as node:
        await node.all_running("guard")
        beside = file.with_name("config.json.swp")
        beside.write_text('{"upper_pu": 1.15}')
        beside.replace(file)
        await limit(node, 1.15)
        assert "unhealthy: 1.15 is a limit that nobody wants" in gridlink(node, "show", "guard")
        file.write_text('{"upper_pu": 1.3}')
        await eventually(lambda: "expected at most 1.2, came 1.3" in node.state("guard")[1], timeout_s=10)
        file.write_text('{"upper_pu": ')
        await eventually(lambda: "expected JSON" in node.state("guard")[1], timeout_s=10)
        shown = gridlink(node, "show", "guard")
        assert "config.json is refused, the old values stay" in shown
        assert "configured 1  refused_configurations 2" in shown
        await limit(node, 1.15)
    assert json.loads((managed / ".gridlink" / "accepted" / "guard.json").read_text()) == {"upper_pu": 1.15}
    async with running(managed, "--mode", mode) as node:
        await node.all_running("guard")
        await limit(node, 1.15)
        assert "it has what it took last" in node.state("guard")[1]
        file.write_text('{"upper_pu": 1.08}')
        await limit(node, 1.08)
        await eventually(lambda: node.state("guard") == ("RUNNING", ""), timeout_s=10)
