"""docs/outside.md works as it is written: an MQTT client and a NATS client measure, and hear of the problem."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gridlink.node.leaf import free_port
from tests.acceptance.running import SEVEN, running
from tests.conftest import clean_environment, command
from tests.gridlink.conftest import require_nats_server

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(120)
async def test_the_example_works_as_it_is_written(tmp_path: Path) -> None:
    """Its files are saved, its commands typed; ports alone are other ones, where the usual are taken."""
    require_nats_server()
    managed, mqtt_port = tmp_path / "managed", free_port()
    text = (ROOT / "docs" / "outside.md").read_text().replace("1883", str(mqtt_port))
    commands = [line for language, body in BLOCK.findall(text) if language == "sh" for line in body.splitlines()]
    init, node_line, *programs, show = commands
    assert _run(tmp_path, *command(*init.split()[1:])) is not None
    (settings,) = [body for language, body in BLOCK.findall(text) if language == "json"]
    (managed / "site.json").write_text(settings)
    assert node_line == "gridlink-node --manage managed"
    async with running(managed) as node:
        await node.all_running(*SEVEN)
        for language, body in BLOCK.findall(text):
            if language == "python":
                name = body.splitlines()[0].removeprefix("# ")
                (tmp_path / name).write_text(body.replace("nats://127.0.0.1:4222", node.file["url"]))
        assert programs == ["python meter_mqtt.py", "python meter_nats.py"]
        for line, meter in zip(programs, ("mqtt_meter", "nats_meter"), strict=True):
            assert _run(tmp_path, sys.executable, line.split()[1]) == f"{meter} is over 1.1 pu\n"
        assert "errors 0" in _run(tmp_path, *command(*show.split()[1:]))


def _run(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        arguments, cwd=directory, capture_output=True, text=True, timeout=30, env=clean_environment(), check=False
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout
