"""Every command that docs/look.md shows works, as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from gridlink.cli.top_live import BY_KEY
from gridlink.cli.top_model import SORTS
from tests.conftest import BIN, clean_environment

TEXT = (Path(__file__).parents[2] / "docs" / "look.md").read_text()


def test_every_command_works_in_the_directory_of_a_managed_one(running_site: Path) -> None:
    """Nothing but the programs in the PATH and `./managed`."""
    commands = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
    assert len(commands) >= 10
    environment = clean_environment() | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    for command in commands:
        done = subprocess.run(
            command, shell=True, cwd=running_site.parent, env=environment, capture_output=True, text=True, timeout=40
        )
        if command == "gridlink doctor":  # it may have found something on this machine
            assert "site site at nats://" in done.stdout
        else:
            assert (done.returncode, done.stderr) == (0, ""), command
            assert done.stdout, command


def test_the_keys_of_top_are_those_that_it_has() -> None:
    """A key that the text names and the program doesn't know would be a lie."""
    named = dict(re.findall(r"`(\w)` (\w+)", TEXT.partition("Keys:")[2].partition("On a narrow")[0]))
    named = {key: word.lower() for key, word in named.items() if word not in ("inverts", "ends")}
    assert named == {key: sort for key, sort in BY_KEY.items() if key.islower()}
    assert set(named.values()) == set(SORTS)
