"""`gridlink top` and `show --memory` on a real site: live on a terminal, once, and for programs."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.cli.conftest import Gridlink
from tests.cli.terminal import Terminal
from tests.conftest import command


def test_once_for_programs_has_every_module_and_process_with_numbers(on_site: Gridlink) -> None:
    """The keys are a contract. The data generator computes a power flow every few milliseconds: it is seen."""
    document = on_site("top", "--once", "--json", "--interval", "1").document
    modules = {one["name"]: one for one in document["modules"]}
    assert modules.keys() >= {"appmanager", "data_generator", "storage", "voltage_guard"}
    grid = modules["data_generator"]
    keys = (
        "instance name state mode node machine pid cpu_percent cpu_s steps mean_ms p99_ms longest_ms messages "
        "messages_per_s errors declared_mib pss_mib shares_process_with"
    )
    assert " ".join(grid) == keys
    assert grid["cpu_percent"] > 0
    assert grid["messages_per_s"] > 0
    assert 0 < grid["mean_ms"] <= grid["longest_ms"]
    assert grid["shares_process_with"] >= 7
    processes = {one["process"]: one for one in document["processes"]}
    assert {"guardian", "nats-server", grid["node"]} == processes.keys()
    node = processes[grid["node"]]
    assert node["pid"] == grid["pid"]
    assert 5 < node["uss_mib"] <= node["pss_mib"] <= node["rss_mib"]
    assert node["written_mib"] is None or node["written_mib"] >= 0


def test_once_is_two_plain_tables_sorted_as_asked(on_site: Gridlink) -> None:
    """For a terminal's script, and for an operator without a terminal."""
    done = on_site("top", "--once", "--sort", "name", "--interval", "0.2")
    processes, modules = done.out.strip().split("\n\n")
    assert processes.splitlines()[0].split()[:2] == ["PROCESS", "PID"]
    names = [line.split()[0] for line in modules.splitlines()[1:]]
    assert names == sorted(names)
    assert "\x1b" not in done.out


def test_a_nodes_loop_is_as_it_was_soon_after_the_last_look(on_site: Gridlink) -> None:
    """What isn't looked at costs nothing. A look without a lease says whether one runs."""
    on_site("top", "--once", "--interval", "0.1")
    node = on_site("ls", "--json").document["modules"][0]["node"]
    deadline_s = time.monotonic() + 10
    while on_site("call", f"_node@{node}", "footprint", "{}").document["looked_s"] > 0:
        assert time.monotonic() < deadline_s
        time.sleep(0.2)


def test_live_it_is_sorted_by_keys_and_leaves_the_terminal_as_it_was(running_site: Path) -> None:
    """As in htop; at 80 columns."""
    terminal = Terminal(command("-C", running_site, "top", "--interval", "0.3"), columns=80)
    terminal.shows(r"site site   \d+ RUNNING", r"data_generator@\S+ +RUNNING", r"guardian", r"q ends")
    terminal.type(b"n")
    terminal.forget()
    terminal.shows(r"(?s)cpu %.*appmanager@.*dashboard_interface@.*voltage_problem_handler")
    terminal.type(b"i")
    terminal.forget()
    terminal.shows(r"(?s)voltage_problem_handler@?.*dashboard_interface@.*appmanager@")
    assert not terminal.echoes()
    terminal.type(b"q")
    assert terminal.ends() == 0


def test_live_it_ends_on_ctrl_c_at_40_columns(running_site: Path) -> None:
    """The narrowest that is promised."""
    terminal = Terminal(command("-C", running_site, "top", "--interval", "0.3"), columns=40, lines=16)
    terminal.shows(r"module +cpu %", r"pss MiB", r"q ends, c m")
    terminal.type(b"\x03")
    assert terminal.ends() == 0


def test_live_it_ends_when_its_terminal_has_gone(running_site: Path) -> None:
    """Also where the hang-up's signal is ignored: it would read the end of its input for ever, and take a processor."""
    terminal = Terminal(command("-C", running_site, "top", "--interval", "0.3"), nohup=True)
    terminal.shows(r"q ends")
    terminal.hang_up()
    deadline_s = time.monotonic() + 10
    while os.waitpid(terminal.pid, os.WNOHANG)[0] == 0:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_memory_of_a_module_is_told_apart_from_that_of_its_process(on_site: Gridlink) -> None:
    """Storage's own objects, in a process that it shares."""
    (storage,) = on_site("show", "storage", "--memory", "--json").document["modules"]
    assert storage["declared_mib"] == 8
    assert len(storage["shares_process_with"]) >= 7
    assert 50_000 < storage["objects"]["size_bytes"] < storage["process"]["pss_bytes"]
    assert storage["objects"]["complete"]
    out = on_site("show", "storage", "--memory").out
    assert "its manifest declares 8 MiB (resources.memory_mib)" in out
    assert "PSS" in out


def test_what_a_module_allocates_can_be_watched(on_site: Gridlink) -> None:
    """Storage's memtable grows until it is written."""
    (storage,) = on_site("show", "storage", "--memory", "--trace", "0.5", "--json").document["modules"]
    assert storage["allocations"]["size_bytes"] > 0
    assert "/storage/" in storage["allocations"]["lines"][0]["at"]
    assert on_site("show", "storage", "--trace", "1").status == 2


def test_memory_of_a_module_that_is_not_there_is_one_line(on_site: Gridlink) -> None:
    """As for any command."""
    done = on_site("show", "stroage", "--memory")
    assert (done.status, len(done.err.splitlines())) == (1, 1)
