"""`gridlink bench watchdog`: the cost where nothing hangs, and whom it blames in error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from gridlink.bench.watchdog import Alarms, Pair, report
from gridlink.cli.bench import command
from tests.gridlink.conftest import require_nats_server


def rows(found: dict[str, Any]) -> dict[str, Any]:
    """The figures by what they are."""
    return {f"{row['part']}: {row['what']}": row for row in found["figures"]}


def test_the_cost_is_the_mean_of_the_pairs_differences_with_its_spread() -> None:
    """Slices of one pair aren't independent: the error is that of the pairs."""
    pairs = [Pair((0.1, 0.2), [(20.0, 20.1), (20.2, 20.4)]), Pair((0.1, 0.12), [(19.0, 19.5), (19.0, 19.6)])]
    found = report(pairs, None)
    figures = rows(found)
    (busy,) = {part.partition(": its cost")[0] for part in figures if part.startswith("busy") and ": its cost" in part}
    cost = figures[f"{busy}: its cost, mean of 2 pairs"]
    assert (cost["measured"], cost["limit"], cost["held"]) == (pytest.approx(0.35), 0.3, False)
    assert figures[f"{busy}: of the pairs, the least"]["measured"] == pytest.approx(0.15)
    assert figures[f"{busy}: of the pairs, the most"]["measured"] == pytest.approx(0.55)
    assert figures[f"{busy}: standard error of the mean"]["measured"] == pytest.approx(0.2)
    assert figures["a node at rest: its cost, mean of 2 pairs"]["measured"] == pytest.approx(0.06)
    assert found["held"] is False


def test_a_module_that_is_blamed_in_error_is_over_the_limit_and_shown() -> None:
    """None is what is promised."""
    heard = Alarms(10.0, long_steps=900, burners=2, named=[{"module": "busy_03"}])
    found = report([], heard)
    held = {row["what"]: row["held"] for row in found["figures"]}
    assert held == {
        "steps that held the loop for 100 ms": None,
        "modules named, so blamed in error": False,
        "nodes replaced": True,
    }
    assert found["blamed"] == [{"module": "busy_03"}]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_busy_minute_blames_nobody_and_a_real_hang_is_named_after_it() -> None:
    """The real command, short; the cost is measured on a machine that does nothing else."""
    require_nats_server()
    result = CliRunner().invoke(command, ["watchdog", "--json", "--pairs", "1", "--minutes", "1"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    figures = {row["what"]: row for row in found["figures"]}
    assert figures["steps that held the loop for 100 ms"]["measured"] > 20
    assert found["blamed"] == []
    assert figures["nodes replaced"]["measured"] == 0
