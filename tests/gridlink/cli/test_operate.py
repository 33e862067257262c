"""Which AppManager a command goes to, and how its outcome is said."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from appmanager.orders import Ended
from gridlink.cli.call import CallFailed
from gridlink.cli.operate import appmanager, show
from gridlink.cli.operator_key import signed
from gridlink.cli.session import Session
from gridlink.errors import NoSuchRole, PayloadInvalid, Refused
from gridlink.lifecycle import State
from gridlink.registry import Entry
from tests.appmanager.operators.keys import person


def entry(name: str, machine: str, role: str, managed_by: tuple[str, ...] = ()) -> Entry:
    """A module that runs on a machine."""
    instance = f"{name}@{machine}"
    roles = (role,)
    return Entry(
        name, instance, machine, machine, 1, "1.0.0", "node", State.RUNNING, roles=roles, managed_by=managed_by
    )


@dataclass
class Site:
    """What a command has of a site, as far as it is asked here."""

    found: list[Entry]
    machine: str = ""
    where: Any = None
    registry: Any = field(init=False)

    def __post_init__(self) -> None:
        self.registry = self.where = self
        self.site = "site"

    def find(self, role: str) -> list[Entry]:
        return [one for one in self.found if role in one.roles]

    def entries(self) -> list[Entry]:
        return [one for one in self.found if not self.machine or one.machine == self.machine]


def chosen(site: Site, module: str) -> str:
    """The AppManager for a command about the module."""
    return appmanager(cast(Session, site), module).instance


TWO = [
    entry("appmanager", "a", "appmanager"),
    entry("appmanager", "b", "appmanager"),
    entry("lamp", "b", "lamp", ("appmanager@b", "nodemanager@b")),
]


def test_a_command_goes_to_the_appmanager_of_the_module() -> None:
    """Whoever names a module needn't know its machine."""
    assert chosen(Site(TWO), "lamp") == "appmanager@b"


def test_with_several_and_none_named_it_is_refused_and_they_are_listed() -> None:
    """An install on the wrong board is worse than one more option."""
    with pytest.raises(Refused, match=r"a \(appmanager@a\), b \(appmanager@b\).*--machine"):
        chosen(Site(TWO), "new_one")
    assert chosen(Site(TWO, machine="a"), "new_one") == "appmanager@a"


def test_where_there_is_none_that_is_said() -> None:
    """And not a time-out."""
    with pytest.raises(NoSuchRole, match="no AppManager is running"):
        chosen(Site([]), "lamp")


def test_what_is_not_done_raises_with_the_step_and_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit status of a program that was rolled back is 1, with JSON too."""
    ended = Ended("id", "lamp", "update", "rolled back", "it isn't healthy", "watch", "1.0.0", "1.1.0")
    with pytest.raises(CallFailed, match="update lamp rolled back in step watch: it isn't healthy"):
        show(ended, as_json=True)
    assert json.loads(capsys.readouterr().out)["end"] == "rolled back"


def test_an_order_with_a_name_that_is_none_is_refused_before_it_is_signed(tmp_path: Path) -> None:
    """With a key as without one: a line, and no traceback."""
    order = {"id": "c1", "module": "Bad-Name", "who": "maria"}
    with pytest.raises(PayloadInvalid, match=r"restart Bad-Name: .*module"):
        signed("restart", order, "site", TWO[0], person(tmp_path, "maria").seed_file)
