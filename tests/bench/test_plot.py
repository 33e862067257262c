"""The pictures: refused before a run of minutes, drawn from the reports, matplotlib in a process of its own."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gridlink.bench import plot
from gridlink.bench.errors import BenchFailed
from gridlink.cli.bench import command

REPORT = {
    "libraries_pss_mib": 28.0,
    "nats_server_pss_mib": 14.0,
    "modes": {
        "process": {"pss_mib": 30.0, "by_module": {"storage": 20.0, "guardian": 10.0}},
        "node": {"pss_mib": 12.0, "by_module": {"guardian": 2.0, "node": 10.0, "storage": None}},
    },
}
CURVES = {
    "limits_pu": {"EN 50160": (0.9, 1.1), "operating band": (0.95, 1.05)},
    "days": [
        {"day": day, "control": [(0.0, 0.97, 1.01), (12.0, 0.98, 1.02)], "fixed": [(0.0, 0.9, 1.1), (6.0, 0.9, 1.0)]}
        for day in ("summer", "winter")
    ],
}


def test_a_bar_begins_with_the_guardian_and_adds_up() -> None:
    """Modules without a figure of their own are not drawn as nothing."""
    assert plot.segments(REPORT, "process") == [("guardian", 10.0), ("storage", 20.0)]
    assert [height for _, height in plot.segments(REPORT, "node")] == [2.0, 10.0]


@pytest.mark.parametrize(("name", "advice"), [("a.pdf", r"\.png or \.svg"), ("a", r"\.png"), ("no/a.png", "make it")])
def test_a_file_that_cannot_be_drawn_is_refused_at_once(tmp_path: Path, name: str, advice: str) -> None:
    """A run takes minutes: its picture must not fail at the end for a name."""
    with pytest.raises(BenchFailed, match=advice):
        plot.check(tmp_path / name)


@pytest.mark.parametrize("which", ["memory", "grid"])
def test_without_matplotlib_the_command_says_what_to_install(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 1 and one line, before anything is started."""
    monkeypatch.setattr(plot, "find_spec", lambda _: None)
    result = CliRunner().invoke(command, [which, "--plot", str(tmp_path / "a.png")])
    assert result.exit_code == 1
    assert "pip install 'gridlink[bench]'" in result.stderr


@pytest.mark.parametrize(("figure", "data"), [("memory", REPORT), ("grid", CURVES)])
@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_the_pictures_are_drawn(figure: str, data: dict[str, object], name: str, begins: bytes, tmp_path: Path) -> None:
    """Both figures in both formats; matplotlib never gets into this process."""
    loaded = "matplotlib" in sys.modules
    plot.draw(figure, tmp_path / name, data)
    assert (tmp_path / name).read_bytes().startswith(begins)
    assert ("matplotlib" in sys.modules) is loaded


def test_what_matplotlib_says_is_passed_on(tmp_path: Path) -> None:
    """A report that can't be drawn is told, with the last words."""
    with pytest.raises(BenchFailed, match="KeyError"):
        plot.draw("memory", tmp_path / "a.png", {})
