"""`gridlink bench memory`: who is who, the sums, and a real run of all modes."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from gridlink.bench.memory import MODULES, Measured, by_module, libraries_of, named, report
from gridlink.bench.pages import MIB, Footprint
from gridlink.cli.bench import command
from gridlink.lifecycle import State
from gridlink.registry import Entry


def entry(name: str, pid: int) -> Entry:
    """A module that runs in a process."""
    return Entry(name, f"{name}@n", "n", "m", pid, "1.0.0", "node", State.RUNNING)


def takes(pss_mib: float) -> Footprint:
    """A process that takes so much; the other figures are told from it."""
    return Footprint(pss_mib * MIB, int(pss_mib * MIB) // 2, int(pss_mib * MIB) // 4, int(pss_mib * MIB) * 2)


def test_a_process_is_called_by_its_one_module_or_node() -> None:
    """The AppManager is alone in its node in the old solution, and one of many in the new one."""
    assert named([1, 2, 3], 1, 2, [entry("appmanager", 3)]) == {1: "guardian", 2: "nats_server", 3: "appmanager"}
    assert named([1, 2, 3], 1, 2, [entry("appmanager", 3), entry("storage", 3)])[3] == "node"
    assert named([1, 9], 1, 2, [])[9] == "process 9"


def test_modules_in_a_node_have_no_figure_of_their_own() -> None:
    """To tell one would be a guess: no page of a shared interpreter says whose it is."""
    found = by_module({1: "guardian", 3: "node"}, {1: takes(2), 3: takes(20)})
    assert found == {"guardian": 2.0, "node": 20.0, **dict.fromkeys(MODULES)}


def test_two_processes_of_one_name_are_both_told() -> None:
    """A mapping by name must not lose one of them."""
    found = by_module({3: "storage", 4: "storage"}, {3: takes(2), 4: takes(3)})
    assert sum(pss or 0.0 for pss in found.values()) == 5.0


def test_the_report_counts_the_guardian_in_and_nats_server_apart() -> None:
    """The sums that the project is judged by."""
    names = {1: "guardian", 2: "nats_server", 3: "node"}
    node = Measured(names, {1: takes(2), 2: takes(14), 3: takes(18)}, (77,), 12 * MIB)
    process = Measured({1: "guardian", 2: "nats_server", 3: "storage"}, {1: takes(4), 2: takes(13), 3: takes(56)}, ())
    found = report({"process": process, "node": node}, 60.0)
    assert found["modes"]["node"]["pss_mib"] == 20.0
    assert found["modes"]["node"]["processes"] == 2
    assert (found["nats_server_pss_mib"], found["libraries_pss_mib"]) == (14.0, 12.0)
    assert (found["ratio_process_to_node"], found["diluted_by"]) == (3.0, 1)


def test_the_report_of_one_mode_has_no_ratio() -> None:
    """Null says that it wasn't measured."""
    found = report({"process": Measured({1: "guardian"}, {1: takes(4)}, ())}, 1.0)
    assert (found["ratio_process_to_node"], found["libraries_pss_mib"]) == (None, None)
    assert found["ratio_fork_to_process"] is None


def test_the_libraries_are_what_is_not_ours() -> None:
    """A bundle's package counted as a library would make Gridlink look the better."""
    imports = ["__main__", "asyncio", "gridlink.bus.nats", "appmanager", "msgspec", "storage.store", "sqlite3"]
    assert libraries_of(imports, {"storage"}) == ["asyncio", "msgspec", "sqlite3"]


def test_an_unknown_mode_is_wrong_usage() -> None:
    """Exit status 2, with the modes there are, before anything is started."""
    result = CliRunner().invoke(command, ["memory", "--modes", "node,thread"])
    assert result.exit_code == 2
    assert "process, fork, node" in result.output


def check_mode(mode: dict[str, Any]) -> None:
    """What holds of any mode."""
    assert 0 < mode["uss_mib"] < mode["pss_mib"] < mode["rss_mib"]
    told = sum(pss for pss in mode["by_module"].values() if pss is not None)
    assert told == pytest.approx(mode["pss_mib"], abs=0.1)


@pytest.mark.timeout(180)
def test_all_modes_are_run_and_measured() -> None:
    """The real command on the real use case: fork is smaller, the node smaller still, every process accounted for."""
    result = CliRunner().invoke(command, ["memory", "--json", "--seconds", "1", "--subsets", "0"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    process, fork, node = (found["modes"][mode] for mode in ("process", "fork", "node"))
    for mode in (process, fork, node):
        check_mode(mode)
    for mode in (process, fork):
        assert set(mode["by_module"]) == {"guardian", *MODULES}
        assert mode["processes"] == 8
    assert 0.2 < found["ratio_fork_to_process"] < 0.85
    assert set(node["by_module"]) == {"guardian", "node", *MODULES}
    assert found["ratio_process_to_node"] > 2.0
    assert 5 < found["nats_server_pss_mib"] < 40
    assert 10 < found["libraries_pss_mib"] < 60
    assert node["pss_mib"] < 60
