"""The whole of `gridlink bench memory`'s model on real nodes: it predicts what is measured."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gridlink.bench.model import NEW, OLD
from gridlink.bench.run import prepare
from gridlink.bench.subsets import BUNDLES, MANAGER, _copy, _empty, _measured
from gridlink.cli.bench import command
from tests.gridlink.conftest import require_nats_server


async def test_a_subset_starts_without_those_it_uses_and_an_empty_node_takes_less(tmp_path: Path) -> None:
    """A handler without a guard, a storage or a controller: missing roles keep nobody from running."""
    require_nats_server()
    turns = asyncio.Semaphore(2)
    prepare(tmp_path / "bundles")
    alone = (MANAGER, "voltage_problem_handler")
    subset, empty = await asyncio.gather(_measured(tmp_path / "bundles", NEW, alone, 0.1, turns), _empty(0.1, turns))
    assert 5 < empty.measured < subset.measured
    assert 1 < subset.guardian < 15


def test_the_appmanager_alone_is_a_site_too(tmp_path: Path) -> None:
    """n = 1; a managed directory without any bundle would be refused."""
    _copy(tmp_path, tmp_path / "managed", (MANAGER,))
    assert [path.name for path in (tmp_path / "managed").iterdir()] == ["none"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_model_predicts_every_n_in_both_modes_within_five_percent() -> None:
    """The real command, with shorter times."""
    require_nats_server()
    result = CliRunner().invoke(command, ["memory", "--json", "--seconds", "3", "--subsets", "8"])
    assert result.exit_code == 0, result.output
    model = json.loads(result.stdout)["model"]
    print(model["terms_mib"], model["worst_error_percent"], model["crossing_n"])
    assert [(step["n"], step["mode"]) for step in model["by_n"]] == [
        (n, mode) for n in range(1, len(BUNDLES) + 2) for mode in (OLD, NEW)
    ]
    assert model["worst_error_percent"] < 5
    assert 0.9 < model["crossing_n"] < 2
    assert len(model["runs"]) == 17
