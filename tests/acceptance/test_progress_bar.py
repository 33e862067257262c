"""The bar of a command in a pseudo-terminal, as an operator sees it: which step it is in, and how far."""

from __future__ import annotations

import re
from pathlib import Path

from tests.acceptance.running import bundle, good, running
from tests.acceptance.test_provisioning import packed
from tests.cli.terminal import Terminal
from tests.conftest import command

BAR = re.compile(r"counter +(━*)([╸╺])(━*) +([a-z]+)")
"""`╸` ends what is done where that is half a letter, `╺` begins what is left."""


async def test_the_bar_of_an_install_moves_from_step_to_step(tmp_path: Path) -> None:
    """Over a thin link it takes minutes; that it goes on has to be seen."""
    managed = tmp_path / "managed"
    bundle(managed, "lamp", good("lamp"))
    file = await packed(tmp_path, "1.0.0")
    async with running(managed) as node:
        await node.all_running("lamp")
        seen = Terminal(command("-C", managed, "install", file))
        seen.shows(r"counter +━[━╸╺]+ +preflight", r"counter +━[━╸╺]+ +watch", "counter: install done 1.0.0")
        assert seen.ends() == 0
    done = [(len(match[0]), match[3]) for match in BAR.findall(seen.shown)]
    lengths = [length for length, _ in done]
    assert lengths == sorted(lengths), done
    assert max(length for length, step in done if step == "watch") >= 20, done  # of 40 letters
    assert len(set(lengths)) >= 2, done
