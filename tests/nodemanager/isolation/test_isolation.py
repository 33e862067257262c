"""Loading: plainly where nothing collides, isolated where something does; whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridlink.errors import Closed, ModuleInvalid
from nodemanager.isolation import Isolation

Alone = Callable[..., str]


@pytest.fixture
def isolation() -> Iterator[Isolation]:
    """Gives this interpreter back as it was."""
    isolation = Isolation()
    yield isolation
    isolation.close()


def bundle(directory: Path, package: str, source: str) -> Path:
    """A bundle without a lib/."""
    directory.joinpath(package).mkdir(parents=True)
    directory.joinpath(package, "__init__.py").write_text(source, encoding="utf-8")
    return directory


def test_a_bundle_that_collides_with_nothing_leaves_the_interpreter_untouched(
    isolation: Isolation, tmp_path: Path
) -> None:
    """Most boards run such bundles alone, and must not pay for isolation."""
    path = list(sys.path)
    loaded = isolation.load(bundle(tmp_path / "a", "iso_alone", "class App: pass"), "iso_alone:App", name="a")
    assert (loaded.target.__name__, loaded.isolated, isolation.armed) == ("App", False, False)
    assert type(sys.modules) is dict and sys.path == path
    loaded.unload()
    assert "iso_alone" not in sys.modules


def test_unloading_twice_is_allowed_and_the_target_is_gone_then(isolation: Isolation, tmp_path: Path) -> None:
    """Clean-up code may run twice; using an unloaded bundle is a mistake that must be told."""
    loaded = isolation.load(bundle(tmp_path / "a", "iso_twice", "X = 1"), "iso_twice:X", name="a")
    loaded.unload()
    loaded.unload()
    with pytest.raises(Closed):
        _ = loaded.target


def test_one_plain_bundle_can_not_import_the_package_of_another(isolation: Isolation, tmp_path: Path) -> None:
    """Else a bundle would depend on its neighbours, and break when they go."""
    isolation.load(bundle(tmp_path / "a", "iso_first", "X = 1"), "iso_first:X", name="a")
    with pytest.raises(ModuleInvalid, match="iso_first"):
        isolation.load(bundle(tmp_path / "b", "iso_second", "import iso_first"), "iso_second:X", name="b")
    assert "iso_second" not in sys.modules


def test_a_plain_bundle_sees_only_those_host_libraries_that_it_names(isolation: Isolation, tmp_path: Path) -> None:
    """Plain or isolated, a bundle must work the same: what it needs it brings or names."""
    source = "import json, gridlink.errors, pytest as X"
    with pytest.raises(ModuleInvalid, match="pytest"):
        isolation.load(bundle(tmp_path / "a", "iso_hidden", source), "iso_hidden:X", name="a")
    named = isolation.load(bundle(tmp_path / "b", "iso_named", source), "iso_named:X", name="b", visible=["pytest"])
    assert named.target is pytest


@pytest.mark.parametrize(
    ("source", "entry", "reason"),
    [
        ("1 / 0", "iso_fails:App", "ZeroDivisionError"),
        ("import iso_nowhere", "iso_fails:App", "iso_nowhere"),
        ("raise SystemExit('bye')", "iso_fails:App", "bye"),
        ("", "iso_fails:App", "App"),
        ("", "iso_fails.part:App", "iso_fails.part"),
        ("", "iso_other:App", "iso_fails"),
    ],
)
def test_a_load_that_fails_says_why_and_leaves_nothing(
    source: str, entry: str, reason: str, isolation: Isolation, tmp_path: Path
) -> None:
    """A half-loaded module would be found by the next attempt."""
    finders = list(sys.meta_path)
    with pytest.raises(ModuleInvalid, match=reason):
        isolation.load(bundle(tmp_path / "a", "iso_fails", source), entry, name="a")
    assert sys.meta_path == finders and not [name for name in sys.modules if name.startswith("iso_fails")]


def test_an_entry_of_gridlink_itself_is_loaded_from_the_host(isolation: Isolation, tmp_path: Path) -> None:
    """A NodeManager is a bundle whose package the wheel installed."""
    loaded = isolation.load(tmp_path, "nodemanager.isolation:Isolation", name="node2")
    assert (loaded.target, loaded.isolated) == (Isolation, False)


def test_a_directory_that_is_not_there_is_the_bundles_fault(isolation: Isolation, tmp_path: Path) -> None:
    """The caller has one kind of error to report."""
    with pytest.raises(ModuleInvalid, match="can't be read"):
        isolation.load(tmp_path / "absent", "app:App", name="a")


def test_a_second_bundle_of_the_same_name_arms_isolation_and_the_first_keeps_running(alone: Alone) -> None:
    """An update loads the new version beside the old; the old one was hosted plainly until then."""
    alone("""
        files = {"app/__init__.py": "def use():\\n    from app.part import VALUE\\n    return VALUE",
                 "app/part.py": "VALUE = 1"}
        old = load("old", files)
        use = old.target
        assert not old.isolated and not isolation.armed
        new = load("new", {**files, "app/part.py": "VALUE = 2"})
        assert old.isolated and new.isolated and isolation.armed
        assert (use(), new.target()) == (1, 2)
        assert "app" not in sys.modules
        old.unload()
        assert new.target() == 2
        isolation.close()
        assert type(sys.modules) is dict and not isolation.armed
        refused(KeyError, lambda: sys.modules["app"])
    """)


def test_bundles_may_have_packages_named_as_the_hosts(alone: Alone) -> None:
    """An author can't know what else is installed on a board: natural names, whoever else has them."""
    alone("""
        one = load("one", {"calendar/__init__.py": "OWN = 1\\ndef use():\\n    import calendar; return calendar.OWN"},
                   "calendar:use")
        two = load("two", {"click/__init__.py": "OWN = 2\\ndef use():\\n    import click; return click.OWN"},
                   "click:use")
        assert (one.target(), two.target()) == (1, 2)
        import calendar, click, http.cookiejar
        assert calendar.monthrange(2024, 2) == (3, 29) and click.__file__ and http.cookiejar.timegm
        stdlib = load("three", {"app/__init__.py": "import calendar\\ndef use(): return calendar.isleap(2024)"})
        assert stdlib.target()
        one.unload()
        import calendar as again
        assert again is calendar and dict.__contains__(sys.modules, "calendar")
    """)


def test_a_package_named_as_a_part_of_the_interpreter_is_refused(alone: Alone) -> None:
    """`import os` would mean two things in the code that finds modules itself."""
    alone("""
        assert "rename" in refused(ModuleInvalid, load, "one", {"threading/__init__.py": "use = 1"}, "threading:use")
        said = refused(ModuleInvalid, load, "two", {"gridlink/__init__.py": "use = 1"}, "gridlink:use")
        assert "names of the host" in said
    """)


def test_an_isolated_load_that_fails_leaves_nothing(alone: Alone) -> None:
    """Rolling back must not depend on the way a bundle is hosted."""
    alone("""
        app = {"lib/vendored/__init__.py": "import atexit, logging\\natexit.register(print, 'LEFT')\\n"
               "logging.getLogger('v').addHandler(logging.NullHandler())"}
        said = refused(ModuleInvalid, load, "one", {"app/__init__.py": "import vendored\\n1 / 0", **app})
        assert "ZeroDivision" in said
        import logging
        assert not logging.getLogger("v").handlers
        assert not [path for path in sys.path_importer_cache if path.startswith(str(root))]
        from nodemanager.isolation import owner
        assert not owner._roots
        fixed = load("one", {"app/__init__.py": "import vendored\\ndef use(): return vendored.__name__"})
        assert fixed.target() == "vendored"
    """)


def test_an_isolated_bundle_is_hidden_from_the_host_and_from_others(alone: Alone) -> None:
    """What a bundle brings is its own affair."""
    alone("""
        one = load("one", {"app/__init__.py": "import vendored\\ndef use(): return vendored.X",
                   "lib/vendored.py": "X = 1"})
        assert one.target() == 1
        refused(ModuleNotFoundError, importlib.import_module, "vendored")
        refused(ModuleNotFoundError, importlib.import_module, "app")
        assert "vendored" in refused(ModuleInvalid, load, "two", {"other/__init__.py": "import vendored"}, "other:use")
        assert importlib.util.find_spec("vendored") is None
    """)


THAT_IT_NAMES_APP = """
import sys, importlib.util, zoneinfo
from importlib import metadata
zoneinfo.ZoneInfo("Europe/Vienna")
def use():
    found = [name for name in ("click", "msgspec", "rich") if importlib.util.find_spec(name) and __import__(name)]
    assert found == [name for name in ("click", "msgspec", "rich") if name in sys.modules], found
    assert all(name in list(sys.modules) for name in found)
    assert {d.name.lower() for d in metadata.distributions()} <= {"gridlink", "tzdata", *found}
    return found
"""


def test_an_isolated_bundle_sees_only_those_host_libraries_that_it_names(alone: Alone) -> None:
    """Strict also about what the host happens to have loaded."""
    alone(
        """
        import click, msgspec
        app = {"app/__init__.py": app, "lib/x.py": ""}
        assert load("strict", app).target() == []
        assert load("one", app, visible=["click"]).target() == ["click"]
        named = load("two", {"app/__init__.py": "import msgspec as use", "lib/x.py": ""}, visible=["msgspec"])
        assert named.target is msgspec
    """,
        app=THAT_IT_NAMES_APP,
    )
