"""docs/errors.md has every error there is, with its code and its fields, and no other."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import appmanager
import gridlink
import nodemanager
from gridlink.errors import GridlinkError

DOCUMENT = Path(__file__).parents[1] / "docs" / "errors.md"
ROW = re.compile(r"^\| \*?`(\w+)`\*? \| (\d{3}) \| (.*)$", re.MULTILINE)


def errors() -> dict[str, type[GridlinkError]]:
    """Every subclass of the three packages, by name; the root is told of above the tables."""
    for package in (gridlink, appmanager, nodemanager):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found: dict[str, type[GridlinkError]] = {}
    waiting = [GridlinkError]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            if cls.__module__.partition(".")[0] in ("gridlink", "appmanager", "nodemanager"):
                found[cls.__name__] = cls
                waiting.append(cls)
    return found


ERRORS = errors()
ROWS = {name: (int(code), rest) for name, code, rest in ROW.findall(DOCUMENT.read_text())}


def test_every_error_is_in_the_table_and_the_table_has_no_other() -> None:
    """Who adds an error says when it comes and what to do; who removes one takes its row out."""
    assert len(ERRORS) > 30
    assert ROWS.keys() - ERRORS.keys() == set(), "rows of errors that are no more"
    assert ERRORS.keys() - ROWS.keys() == set(), "errors without a row"


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_a_row_has_the_errors_code_and_its_fields(name: str) -> None:
    """A program acts on them."""
    code, rest = ROWS[name]
    assert code == ERRORS[name].code
    for field in ERRORS[name].fields:
        assert f"`{field}`" in rest, f"{name}.{field} isn't named"


def test_no_error_has_two_rows() -> None:
    """One place to look."""
    names = [name for name, _, _ in ROW.findall(DOCUMENT.read_text())]
    assert len(names) == len(set(names))
