"""docs/operator.md: each task of an operator is typed as it is written there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance.test_readme import ROOT, Reader, reading

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NODE = "gridlink-node "
BUNDLES = 7  # of the use case: with the AppManager


def commands() -> list[str]:
    """All of them, in the order in which they are read."""
    text = (ROOT / "docs" / "operator.md").read_text()
    return [line for block in BLOCK.findall(text) for line in block.strip().splitlines()]


def typed(reader: Reader, command: str) -> None:
    """A line that begins with `!` shows what is refused: its exit status is to be 1."""
    if command.startswith(NODE):
        reader.start(command, BUNDLES)
        return
    expected = 1 if command.startswith("! ") else 0
    done = reader.run(command.removeprefix("! "))
    assert done.returncode == expected, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_task_of_an_operator_works_as_it_is_written(tmp_path: Path) -> None:
    """An operator copies from it at three in the morning."""
    with reading(tmp_path) as reader:
        for command in commands():
            typed(reader, command)
        assert not (tmp_path / "managed" / "line_watch").exists()
