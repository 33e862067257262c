"""`gridlink shell` on a real site: lines from a pipe, and a person at a terminal with Tab."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Gridlink
from tests.cli.terminal import Terminal
from tests.conftest import command


def test_lines_from_a_pipe_are_commands_and_the_last_one_gives_the_status(on_site: Gridlink) -> None:
    """A script of an operator; comments and empty lines are none."""
    done = on_site("shell", stdin="# what runs\n\nls --json\ncall oltc getTapPosition\nexit\nls\n")
    assert done.status == 0
    assert '"instance": "storage@' in done.out
    assert done.out.splitlines()[-1].startswith('{"position":')
    assert done.err == ""


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("show stroage", 1, "did you mean storage?"),
        ("nonsense", 2, "No such command 'nonsense'"),
        ("show", 2, "Missing argument"),
        ("call oltc 'open", 2, "No closing quotation: close it"),
        ("shell", 2, "this is one already"),
    ],
)
def test_what_fails_is_said_and_the_next_line_runs(on_site: Gridlink, line: str, status: int, said: str) -> None:
    """A mistake doesn't end the shell; as the last line it is its status."""
    done = on_site("shell", stdin=f"{line}\nls\n{line}\n")
    assert done.status == status
    assert done.err.count(said) == 2
    assert "storage@" in done.out
    assert "Traceback" not in done.err


def test_help_lists_the_commands_and_explains_one(on_site: Gridlink) -> None:
    """As at a shell's prompt."""
    out = on_site("shell", stdin="help\nhelp stack\n").out
    assert "Show live what each module and each process takes." in out
    assert "Usage: gridlink stack" in out


def test_stack_shows_where_every_task_of_a_module_is(on_site: Gridlink) -> None:
    """A timer of Storage sleeps in the site's clock."""
    out = on_site("shell", stdin="stack storage\n").out
    assert "SiteClock._sleep" in out
    (storage,) = on_site("stack", "storage", "--json").document["modules"]
    assert any("Instance._repeat" in frame for task in storage["tasks"] for frame in task["frames"])


def test_without_a_site_it_says_so_and_ends(gridlink: Gridlink, tmp_path: Path) -> None:
    """Before there is a prompt."""
    done = gridlink("-C", tmp_path, "shell", stdin="ls\n")
    assert (done.status, done.out) == (1, "")
    assert "no node is running" in done.err


def completes(terminal: Terminal, keys: bytes, shown: str) -> None:
    """Types, and presses Tab until it is completed: on a busy machine a first look may know half of the site."""
    terminal.type(keys)
    for _ in range(5):
        terminal.type(b"\t")
        try:
            return terminal.shows(shown, within_s=4)
        except AssertionError:
            continue
    raise AssertionError(f"{keys!r} was not completed to {shown!r}\n{terminal.shown[-2000:]}")


def interrupts(terminal: Terminal) -> None:
    """Presses Ctrl-C, again where it came between Python's look at its signals and its wait for a key."""
    for _ in range(5):
        terminal.forget()
        terminal.type(b"\x03")
        try:
            return terminal.shows("site> ", within_s=4)
        except AssertionError:
            continue
    raise AssertionError(f"Ctrl-C gave no prompt\n{terminal.shown[-2000:]}")


def test_tab_completes_commands_modules_roles_and_requests(running_site: Path) -> None:
    """Whoever types little makes few mistakes. Ctrl-C drops the line or ends the command; Ctrl-D ends the shell."""
    terminal = Terminal(command("-C", running_site, "shell"))
    terminal.shows("site> ")
    completes(terminal, b"stac", "stack ")
    completes(terminal, b"voltage_p", "stack voltage_problem_handler ")
    for typed, shown in ((b"restart voltage_p", "restart voltage_problem_handler "), (b"move st", "move storage ")):
        interrupts(terminal)
        completes(terminal, typed, shown)
    completes(terminal, b"--into nod", "move storage --into nodemanager ")
    interrupts(terminal)
    completes(terminal, b"call olt", "call oltc ")
    completes(terminal, b"getT", "call oltc getTapPosition ")
    terminal.type(b"\r")
    terminal.shows(r'"position":')
    completes(terminal, b"tap --top", "tap --topic ")
    completes(terminal, b"meas", "tap --topic measurement ")
    terminal.type(b"\r")
    terminal.shows(r"listening at site", r"=> topic measurement voltage")
    interrupts(terminal)
    terminal.type(b"\x04")
    assert terminal.ends() == 0
