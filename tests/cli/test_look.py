"""The commands that look, on a real site, as a shell and as a program use them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Gridlink

MODULES = {
    "appmanager",
    "dashboard_interface",
    "data_generator",
    "nodemanager",
    "oltc_controller",
    "storage",
    "voltage_guard",
    "voltage_problem_handler",
}


def test_ls_lists_every_module_with_the_keys_that_programs_rely_on(on_site: Gridlink) -> None:
    """The keys are a contract: a script breaks where one is renamed."""
    modules = on_site("ls", "--json").document["modules"]
    assert {one["name"] for one in modules} >= MODULES
    storage = next(one for one in modules if one["name"] == "storage")
    keys = "name instance state reason version mode node machine pid roles topics description managed_by"
    assert list(storage) == keys.split()
    assert storage["state"] == "RUNNING"
    assert storage["roles"] == ["storage"]


def test_ls_is_a_plain_table_where_no_terminal_is(on_site: Gridlink) -> None:
    """One line a module, no colours, no cut words: grep and awk read it."""
    done = on_site("ls")
    header, *lines = done.out.splitlines()
    assert header.split()[:3] == ["INSTANCE", "STATE", "VERSION"]
    assert len(lines) >= len(MODULES)
    assert "\x1b" not in done.out


def test_machine_narrows_the_look(on_site: Gridlink, gridlink: Gridlink, running_site: Path) -> None:
    """A site has many boards."""
    machine = on_site("ls", "--json").document["modules"][0]["machine"]
    assert gridlink("-C", running_site, "--machine", machine, "ls", "--json").document["modules"]
    assert gridlink("-C", running_site, "--machine", "elsewhere", "ls", "--json").document == {"modules": []}
    here = gridlink("-C", running_site, "--machine", machine, "call", "oltc", "getTapPosition")
    assert "position" in here.document
    elsewhere = gridlink("-C", running_site, "--machine", "elsewhere", "call", "oltc", "getTapPosition")
    assert (elsewhere.status, "on machine elsewhere" in elsewhere.err) == (1, True)


def test_show_has_schemas_and_counters_for_programs(on_site: Gridlink) -> None:
    """A program can make a form of it."""
    (oltc,) = on_site("show", "oltc_controller", "--json").document["modules"]
    payload = oltc["requests"]["setTapPosition"]["payload"]
    assert payload["$defs"]["TapPosition"]["properties"] == {"position": {"type": "integer"}}
    assert set(oltc["publishes"]["tap_position"]) == {"tapChanged"}
    assert oltc["counters"]["errors"] == 0


def test_show_says_the_contract_in_short_for_people(on_site: Gridlink) -> None:
    """What to type into `gridlink call` is on the line."""
    out = on_site("show", "voltage_guard").out
    assert "measurement    voltage  {meter: str, value_pu: float, timestamp_s: float}" in out
    assert "voltage_problem  overVoltage" in out


def test_show_of_a_misspelt_name_guesses(on_site: Gridlink) -> None:
    """The commonest mistake."""
    done = on_site("show", "stroage")
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines() == ["gridlink: no module or instance 'stroage' at site site: did you mean storage?"]


def test_call_prints_the_reply_as_one_line_of_json(on_site: Gridlink) -> None:
    """To a role, to an instance, with the payload as an argument and from stdin."""
    query = '{"dataPoint": "bus_3.voltage_pu"}'
    by_role = on_site("call", "storage", "getMostRecentValue", query)
    assert by_role.document["unit"] == "pu"
    assert len(by_role.out.splitlines()) == 1
    instance = next(m["instance"] for m in on_site("ls", "--json").document["modules"] if m["name"] == "storage")
    assert on_site("call", instance, "getMostRecentValue", "-", stdin=query).document["unit"] == "pu"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["oltc", "setTapPosition", '{"position": "x"}'], "PayloadInvalid: $.position: expected `int`, got `str`"),
        (["nobody", "ask"], "NoSuchRole: no running module has the role nobody"),
        (["storage@nowhere", "ask"], "NoSuchInstance: no instance storage@nowhere is running"),
        (["oltc", "dance"], "NoSuchType: oltc_controller"),
        (["storage", "getMostRecentValue", '{"dataPoint": "none"}'], "Refused: "),
    ],
)
def test_a_call_that_fails_is_one_line_that_says_why(on_site: Gridlink, arguments: list[str], said: str) -> None:
    """Exit status 1, nothing on stdout, no traceback."""
    done = on_site("call", *arguments)
    assert (done.status, done.out, len(done.err.splitlines())) == (1, "", 1)
    assert done.err.startswith("gridlink: ")
    assert said in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["call", "oltc", "setTapPosition", "{"],
        ["call", "oltc"],
        ["dance"],
        ["tap", "--count", "x"],
        *(["tap", option, "a b", "--for", "0.1"] for option in ("--role", "--topic", "--type", "--from")),
        ["tap", "--from", "a@", "--for", "0.1"],
    ],
)
def test_wrong_usage_ends_with_2(on_site: Gridlink, arguments: list[str]) -> None:
    """A script can tell its own mistake from the site's."""
    done = on_site(*arguments)
    assert (done.status, done.out) == (2, "")


def test_publish_names_the_subscribers_and_refuses_what_they_would_drop(on_site: Gridlink) -> None:
    """An event has no reply: this is the only place where its sender can learn of a mistake."""
    good = {"meter": "bus_99", "value_pu": 1.0, "timestamp_s": 0.0}
    done = on_site("publish", "measurement", "voltage", json.dumps(good), "--json")
    assert any(name.startswith("storage@") for name in done.document["subscribers"])
    bad = on_site("publish", "measurement", "voltage", '{"meter": 5}')
    assert (bad.status, "it was not published" in bad.err) == (1, True)
    lonely = on_site("publish", "nobody_listens", "x")
    assert (lonely.status, "no module subscribes" in lonely.out) == (0, True)


def test_tap_shows_events_of_the_asked_topics_and_ends_after_count(on_site: Gridlink) -> None:
    """One JSON object a line for programs."""
    done = on_site("tap", "--topic", "voltage_problem", "--topic", "measurement", "--count", "3", "--json")
    messages = [json.loads(line) for line in done.out.splitlines()]
    assert len(messages) == 3
    assert {one["to"] for one in messages} <= {"measurement", "voltage_problem"}
    assert messages[0]["kind"] == "event"
    assert messages[0]["from"].startswith(("data_generator@", "voltage_guard@"))


def test_tap_counts_who_talks_to_whom(on_site: Gridlink) -> None:
    """`--summary` is a table, the busiest first."""
    done = on_site("tap", "--type", "voltage", "--from", "data_generator", "--count", "5", "--summary", "--json")
    (row,) = done.document["messages"]
    assert (row["to"], row["count"]) == ("topic measurement", 5)


def test_logs_are_read_from_files_in_order_of_time(on_site: Gridlink) -> None:
    """Also those of a node that is no more."""
    done = on_site("logs", "--json")
    times = [json.loads(line)["time"] for line in done.out.splitlines()]
    assert times == sorted(times)
    assert len(times) > 5
    guardian = on_site("logs", "guardian", "-n", "1").out
    assert len(guardian.splitlines()) == 1
    assert "guardian:" in guardian


def test_doctor_finds_the_node_and_ends_with_1_where_something_fails(
    on_site: Gridlink, gridlink: Gridlink, tmp_path: Path
) -> None:
    """A monitor runs it."""
    checks = {one["name"]: one for one in on_site("doctor", "--json").document["checks"]}
    assert checks["node"]["status"] == "ok"
    assert {"python", "libraries", "uvloop", "nats-server", "clock", "memory", "port", "managed"} <= checks.keys()
    (tmp_path / "broken").mkdir()
    done = gridlink("-C", tmp_path, "doctor")
    assert done.status == 1
    assert "broken/module.json: no such file" in done.out


def test_types_writes_what_python_can_import(on_site: Gridlink, tmp_path: Path) -> None:
    """The first step of everybody who uses another one's module."""
    file = tmp_path / "api.py"
    assert on_site("types", "role", "oltc", "-o", file).status == 0
    check = "from api import TapState, TapPosition; print(TapPosition(position=1))"
    done = subprocess.run([sys.executable, "-c", check], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "TapPosition(position=1)"
    assert "class Voltage:" in on_site("types", "topic", "measurement").out
    unknown = on_site("types", "topic", "nothing")
    assert (unknown.status, "there are health, measurement" in unknown.err) == (1, True)


def test_without_a_node_every_command_says_where_it_looked(gridlink: Gridlink, tmp_path: Path) -> None:
    """The first thing that goes wrong on the first day."""
    missing = gridlink("ls", cwd=tmp_path)
    assert (missing.status, missing.out) == (1, "")
    assert missing.err.startswith("gridlink: there is no directory managed: `gridlink init managed")
    assert "no node is running in" in gridlink("-C", tmp_path, "ls").err


def test_help_is_quick_and_imports_no_command() -> None:
    """`gridlink --help` on a board: click and the table of names, nothing of the bus."""
    check = (
        "import sys\nfrom gridlink.cli import main\nsys.argv = ['gridlink', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('asyncio', 'nats', 'rich', 'msgspec', 'gridlink.cli.ls') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "List the site's modules" in done.stdout
