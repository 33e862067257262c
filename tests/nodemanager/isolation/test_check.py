"""The self-check: where it fails nothing is armed, and the reason is said."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from nodemanager.isolation.check import unsupported

Alone = Callable[..., str]


def test_this_interpreter_is_supported() -> None:
    """Else every test of isolation would pass by doing nothing."""
    assert unsupported() is None
    done = subprocess.run([sys.executable, "-m", "nodemanager.isolation"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_interpreter_that_was_not_measured_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout of an object may change in any version of CPython."""
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    assert "3.99" in str(unsupported())


def test_a_free_threaded_interpreter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the type of an object lies elsewhere."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert "free-threaded" in str(unsupported())


def test_a_failed_check_hosts_plain_bundles_on_and_refuses_the_others(alone: Alone) -> None:
    """A node on a future CPython must still run what needs no isolation."""
    alone("""
        from nodemanager.isolation import check, armed
        plain = load("plain", {"mine/__init__.py":
                     "import sys\\ndef use():\\n    import mine.late; return sys.modules['mine'].late.X",
                     "mine/late.py": "X = 1"}, entry="mine:use")
        armed.failed_probe = lambda load: "the probe failed on purpose"
        reason = refused(NotHostable, load, "one", {"app/__init__.py": "use = 1", "lib/x.py": ""})
        assert "on purpose" in reason and "fork" in reason and "on purpose" in isolation.self_check()
        assert type(sys.modules) is dict and not isolation.armed and not plain.isolated
        assert "mine" in sys.modules and plain.target() == 1
        plain.unload()
        assert "mine" not in sys.modules
        assert load("two", {"app/__init__.py": "use = 1"}).target == 1
    """)
