"""docs/operator.md: each task of an operator is typed as it is written there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from gridlink.bus.server import find_program
from gridlink.cli.trust import make_uplink
from gridlink.node.leaf import free_port
from tests.acceptance.test_readme import ROOT, Reader, reading
from tests.gridlink.conftest import require_nats_server

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NODE = "gridlink-node "
BUNDLES = 7  # of the use case: with the AppManager
REFUSED = {"gridlink restart storage": "isn't signed", "otto.nk": "isn't one: add it to `operators`"}
SEVERAL = re.compile(r"^## Several sites$.*?^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CENTRE = "tls://centre.example:4222"
SITES = ("west1", "west2")


def commands() -> list[str]:
    """All of them, in the order in which they are read."""
    text = (ROOT / "docs" / "operator.md").read_text()
    return [line for block in BLOCK.findall(text) for line in block.strip().splitlines()]


def typed(reader: Reader, command: str) -> None:
    """A line that begins with `!` shows what is refused: its exit status is to be 1."""
    if command.startswith(NODE):
        for process in reader.background:  # it is started again
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=30)
        reader.background.clear()
        reader.start(command, BUNDLES)
        return
    expected = 1 if command.startswith("! ") else 0
    done = reader.run(command.removeprefix("! "))
    assert done.returncode == expected, f"{command}\n{done.stdout}\n{done.stderr}"
    for words, why in REFUSED.items():
        if expected and words in command:
            assert why in done.stderr, f"{command}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_task_of_an_operator_works_as_it_is_written(tmp_path: Path) -> None:
    """An operator copies from it at three in the morning."""
    with reading(tmp_path) as reader:
        for command in commands():
            typed(reader, command)
        assert not (tmp_path / "managed" / "line_watch").exists()


def several(reader: Reader, directory: Path) -> str:
    """A control centre and sites behind it, as the section finds them; its address. They end with the reader."""
    leaf_port, port = free_port(), free_port()
    for site in SITES:
        make_uplink(directory, f"tls://127.0.0.1:{leaf_port}", site)
    file = directory / "hub" / "hub.conf"
    file.write_text(file.read_text().replace('"0.0.0.0:4222"', f'"127.0.0.1:{port}"'))
    packs = (
        "gridlink new line_watch && gridlink pack line_watch",
        *(f"mkdir {site} && cp -r line_watch {site}/" for site in SITES),
        """sed -i 's/"version": "0.1.0"/"version": "0.2.0"/' line_watch/module.json && gridlink pack line_watch""",
        """printf '[modules.line_watch]\nversion = "0.2.0"\nsettings.greeting = "hello"\n' > site.toml""",
    )
    for command in packs:
        typed(reader, command)
    hub = f"{find_program()} -c hub.conf"
    nodes = (f"gridlink-node --manage {site} --no-view --trust site-{site} --site {site}" for site in SITES)
    for words, where in ((hub, directory / "hub"), *((node, directory) for node in nodes)):
        with (directory / f"{len(reader.background)}.log").open("w") as log:
            process = subprocess.Popen(
                words, shell=True, cwd=where, env=reader.environment, stdout=log, stderr=log, text=True,
                start_new_session=True,
            )  # fmt: skip
        reader.background.append(process)
    return f"tls://127.0.0.1:{port}"


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_several_sites_are_changed_from_a_control_centre_as_it_is_written(tmp_path: Path) -> None:
    """The keys lie where the section says, the sites are behind uplinks of their own."""
    require_nats_server()
    (block,) = SEVERAL.findall((ROOT / "docs" / "operator.md").read_text())
    exports, *lines = block.strip().splitlines()
    assert (CENTRE in exports, len(lines)) == (True, 4)
    with reading(tmp_path) as reader:
        exports = exports.replace(CENTRE, several(reader, tmp_path))
        deadline_s = time.monotonic() + 60
        for site in SITES:
            look = f"{exports}; gridlink --site {site} show line_watch --json"
            while '"RUNNING"' not in (seen := reader.run(look)).stdout:
                assert time.monotonic() < deadline_s, seen.stdout + seen.stderr
        outs = []
        for line in lines:
            done = reader.run(f"{exports}; {line}")
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            outs.append([" ".join(said.split()) for said in done.stdout.splitlines()])
        for site in SITES:
            assert any(said.startswith(f"{site} update line_watch 0.1.0 -> 0.2.0 would take") for said in outs[0])
            assert f"{site} line_watch: update done 0.1.0 -> 0.2.0" in outs[1]
            assert f"{site} as declared: 1 commands done" in outs[2]
            assert '"hello"' in (tmp_path / site / "line_watch" / "config.json").read_text()
        assert sum("update" in said for said in outs[3]) == len(SITES)
