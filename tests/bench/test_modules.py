"""`gridlink bench modules`: many trivial modules in one node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gridlink.bench.modules import OPTIONS, Crowd, OneMore, report
from gridlink.bench.run import looking, node
from gridlink.bench.trivial import trivial_bundles
from gridlink.cli.bench import command
from gridlink.lifecycle import State
from gridlink.module.inbox import MAX_IN_FLIGHT
from tests.gridlink.conftest import require_nats_server

MIB = 1024 * 1024


async def test_a_node_starts_more_modules_than_its_manager_takes_requests_at_once(tmp_path: Path) -> None:
    """All of them are RUNNING, answer, and are stopped in order; those past the limit were once refused as Busy."""
    require_nats_server()
    names = trivial_bundles(tmp_path / "managed", MAX_IN_FLIGHT + 16)
    async with node(tmp_path / "managed", OPTIONS["node"], names) as run, looking(run.url) as (registry, sender):
        assert [await sender.request(entry.instance, "ask", reply=int) for entry in run.entries] == [1] * len(names)
        await registry.joined()
        assert {entry.state for entry in registry.instances()} == {State.RUNNING}
        assert len({entry.pid for entry in run.entries}) == 1
    assert " ERROR " not in (tmp_path / "managed.output").read_text()


def test_the_report_says_what_one_more_costs_and_what_is_over_its_limit() -> None:
    """The difference of a node with many and one with few; medians; a figure without a limit is told alone."""
    one_more = {
        "node": OneMore([1.0, 2.0, 30.0]),
        "fork": OneMore([20.0, 24.0, 90.0], [4 * MIB, 6 * MIB, 7 * MIB]),
        "process": OneMore([120.0], [14 * MIB]),
    }
    many = Crowd(110, 40 * MIB, 1.5, [0.01] * 99 + [5.0], [0.4] * 100)
    found = report(many, Crowd(10, 30 * MIB, 0.5), one_more)
    rows = {(row["part"], row["what"]): row for row in found["figures"]}
    assert rows["one more", "mode node, PSS"]["measured"] == pytest.approx(102.4)
    private = rows["one more", "mode fork, private"]
    assert (private["measured"], private["unit"], private["limit"], private["held"]) == (6.0, "MiB", 5.0, False)
    assert rows["one more RUNNING after", "mode fork, median of 20"]["held"] is True
    assert rows["one more", "mode process, private"]["held"] is None
    assert rows["110 in one node", "request from their node, p99"]["held"] is False
    assert rows["110 in one node", "request over NATS, p99"]["held"] is True
    assert found["held"] is False


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_thousand_modules_run_in_one_node() -> None:
    """The real command; limits of milliseconds are generous here, as the machine may be busy."""
    require_nats_server()
    result = CliRunner().invoke(command, ["modules", "--json", "--count", "1000"])
    assert result.exit_code == 0, result.output
    rows: dict[str, Any] = {f"{row['part']}: {row['what']}": row for row in json.loads(result.stdout)["figures"]}
    for what, row in rows.items():
        print(what, row["measured"], row["unit"], row["limit"])
    held = ("PSS of all Python processes", "all RUNNING after", "request from their node, p99")
    for what in (*(f"1000 in one node: {name}" for name in held), "one more: mode node, PSS"):
        assert rows[what]["held"], rows[what]
    assert rows["one more RUNNING after: mode node, median of 20"]["measured"] < 30
    for mode in ("fork", "process"):
        assert 1 < rows[f"one more: mode {mode}, private"]["measured"] < 20
