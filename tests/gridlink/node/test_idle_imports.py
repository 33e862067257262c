"""What a node that runs the whole use case may have loaded: the held list is `idle_imports.txt`.

A new name fails the test: each costs memory on every board. Where it is worth it, run
`UPDATE_IDLE_IMPORTS=1 pytest tests/gridlink/node/test_idle_imports.py`, look at the difference, and commit it.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tests.acceptance.running import BUNDLES, SEVEN, running
from tests.gridlink.conftest import require_nats_server

HELD = Path(__file__).with_name("idle_imports.txt")
NEVER = ("jsonschema", "click", "rich", "matplotlib", "aiohttp", "ssl", "_ssl", "email", "uvicorn", "starlette")


def packages(imports: list[str]) -> set[str]:
    """The top-level packages that cost something: not built in, not ours, not the bundles' own."""
    ours = {"gridlink", "appmanager", "nodemanager", *(path.name for path in BUNDLES.iterdir())}
    found = {name.partition(".")[0] for name in imports}
    built_in = set(sys.builtin_module_names)
    return {name for name in found - ours - built_in if "@" not in name and not name.startswith("__")}


async def test_an_idle_node_has_loaded_what_the_held_list_names_and_no_more(tmp_path: Path) -> None:
    """The memory that the paper is about is lost one import at a time."""
    require_nats_server()
    managed = tmp_path / "managed"
    shutil.copytree(BUNDLES, managed, ignore=shutil.ignore_patterns("__pycache__"))
    async with running(managed) as node:
        await node.all_running(*SEVEN)
        imports: list[str] = await node.sender.request(f"_node@{node.file['node']}", "imports")
    found = packages(imports)
    assert [name for name in NEVER if name in found] == []
    if os.environ.get("UPDATE_IDLE_IMPORTS"):
        HELD.write_text("\n".join(sorted(found)) + "\n")
    held = set(HELD.read_text().split())
    assert sorted(found - held) == [], "new imports: see this file's first lines"
    assert "msgspec" in found
