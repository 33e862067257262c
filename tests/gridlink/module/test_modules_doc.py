"""What docs/modules.md shows works as it stands there, and says what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from gridlink.module.hooks import ANSWER_WITHIN_S, CONFIGURE_WITHIN_S
from gridlink.module.instance import SNAPSHOT_WITHIN_S
from gridlink.module.module import HOOKS, Module
from gridlink.node.checkpoints.keeper import EVERY_S

TEXT = (Path(__file__).parents[3] / "docs" / "modules.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)\([^)]*\)` \|(.*)$", TEXT, re.MULTILINE))


def test_the_example_passes_its_test(tmp_path: Path) -> None:
    """In a directory of its own, with pytest as its author would."""
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        path = tmp_path / block.partition("\n")[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)
    options = (
        "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\npythonpath = .\nfilterwarnings = error\n"
    )
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{options}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_table_has_each_hook_and_its_time() -> None:
    """A hook that it leaves out would be found by nobody."""
    assert set(ROWS) == {"__init__", *HOOKS}
    assert f"| {CONFIGURE_WITHIN_S:g} s |" in ROWS["configure"]
    assert all(f"| {ANSWER_WITHIN_S:g} s |" in ROWS[hook] for hook in ("healthy", "busy"))
    assert f"every {EVERY_S:g} s" in ROWS["snapshot"]
    assert f"| {SNAPSHOT_WITHIN_S:g} s |" in ROWS["snapshot"]
    assert f"({Module.start_within_s:g} s)" in ROWS["restore"]
    assert f"({Module.stop_within_s:g} s)" in ROWS["stop"]
