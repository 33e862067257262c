"""A long query is interrupted however the module came by `connect`: in a node of its own, as an import is done once."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from gridlink.errors import GridlinkError
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running

LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
QUERIES = f"""
    @request("query")
    async def query(self) -> int:
        return connect(":memory:").execute("{LONG}").fetchone()[0]

    @request("late")
    async def late(self) -> int:
        from sqlite3.dbapi2 import connect
        return connect(":memory:").execute("{LONG}").fetchone()[0]

    @request("short")
    async def short(self) -> list:
        import sqlite3
        assert isinstance(connect(":memory:"), sqlite3.Connection)
        return list(connect(":memory:").execute("SELECT 6 * 7").fetchone())
"""


def interrupted(node: Running, times: int) -> bool:
    """Whether so many queries ended by it."""
    return node.output().count("sqlite3.OperationalError: interrupted") == times


@pytest.mark.parametrize("libraries", ["of Python's", "of its own"])
async def test_a_name_taken_at_import_is_interrupted_too(tmp_path: Path, libraries: str) -> None:
    """`from sqlite3 import connect` at the top of a module, and in a handler; also where libraries are isolated."""
    directory = tmp_path / "managed"
    made = bundle(directory, "asks", "from sqlite3 import connect\n" + good("asks") + QUERIES)
    bundle(directory, "later", good("later") + QUERIES)
    if libraries == "of its own":
        (made / "lib").mkdir()
        (made / "lib" / "own.py").write_text("import sqlite3\n")
        (made / "asks" / "__init__.py").write_text("import own\n" + (made / "asks" / "__init__.py").read_text())
    async with running(directory) as node:
        await node.all_running("asks", "later", "appmanager")
        pid = node.file["pids"]["node"]
        assert await node.sender.request("asks", "short") == [42]
        for number, (role, how) in enumerate((("asks", "query"), ("later", "late")), 1):
            with pytest.raises(GridlinkError):  # on a busy machine the answer is lost: its server hears nothing for 2 s
                await node.sender.request(role, how, timeout_s=1)
            await eventually(partial(interrupted, node, number), timeout_s=20)
        assert node.file["pids"]["node"] == pid
        assert node.stop() == 0
