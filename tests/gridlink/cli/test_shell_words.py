"""What Tab offers in the shell after each command, asked of the real commands."""

from __future__ import annotations

import click
import pytest
from msgspec import structs

from gridlink.cli.commands import gridlink
from gridlink.cli.shell_words import Words, candidates
from gridlink.registry import Entry
from tests.gridlink.cli.test_operate import entry


def hosts(name: str) -> Entry:
    """A NodeManager: it answers `host`."""
    return structs.replace(entry(name, "a", name), requests={"host": {}})


WORDS = Words.of([entry("storage", "a", "storage"), entry("guard", "a", "guard"), hosts("nodemanager"), hosts("node2")])
MODULES = {"storage", "guard", "nodemanager", "node2"}


def offered(line: str) -> set[str]:
    """The words that are no options."""
    found = candidates(gridlink, click.Context(gridlink), line.split(), WORDS)
    return {word for word in found if not word.startswith("-")}


@pytest.mark.parametrize(
    "command", ["start", "stop", "restart", "kill", "rollback", "uninstall", "configure", "history"]
)
def test_what_changes_a_module_is_offered_the_modules(command: str) -> None:
    """These commands take no instance."""
    assert offered(command) == MODULES
    assert offered(f"{command} storage") == set()


def test_move_is_offered_modules_modes_and_nodemanagers_in_any_order() -> None:
    """The value of an option is no argument."""
    assert offered("move") >= MODULES
    assert offered("move storage --mode") == {"node", "fork", "process"}
    assert offered("move storage --into") == {"nodemanager", "node2"}
    assert offered("move --into node2") >= MODULES
    assert offered("move --json") >= MODULES
    assert offered("move --into node2 storage") == set()
    assert offered("configure --expires") == set()
