"""What an author does: make a bundle, test it, run it on a site, change it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Gridlink
from tests.conftest import BIN, clean_environment, command


def test_init_makes_a_directory_that_can_be_run_and_touches_none_that_is_not_empty(
    gridlink: Gridlink, tmp_path: Path
) -> None:
    """What is in a directory is somebody's work."""
    managed = tmp_path / "managed"
    done = gridlink("init", managed, "--example", "issn")
    assert f"next: gridlink-node --manage {managed}" in done.out
    assert len(list(managed.glob("*/module.json"))) == 6
    assert not list(managed.rglob("__pycache__"))
    again = gridlink("init", managed)
    assert (again.status, "expected a directory that is empty" in again.err) == (1, True)
    assert gridlink("init", tmp_path / "empty", "--json").document["bundles"] == []


@pytest.mark.parametrize("name", ["line_watch", "config"])
def test_a_new_bundle_passes_its_test_and_every_check(gridlink: Gridlink, tmp_path: Path, name: str) -> None:
    """An author begins with green."""
    assert gridlink("new", name, "-o", tmp_path).status == 0
    ruff = str(BIN / "ruff")
    for check in (
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / name)],
        [sys.executable, "-m", "mypy", "--cache-dir", "/dev/null"],
        [ruff, "check", "--no-cache", "--select", "E,F,W,I,UP,B,A,N,RUF,PL,ASYNC,D1", "--ignore", "D107", "."],
        [ruff, "format", "--no-cache", "--check", "."],
    ):
        done = subprocess.run(check, cwd=tmp_path / name, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{check}\n{done.stdout}{done.stderr}"
    again = gridlink("new", name, "-o", tmp_path)
    assert (again.status, "is there already" in again.err) == (1, True)


@pytest.mark.parametrize("name", ["LineWatch", "line-watch", "1st", "../up", "json", "class", "gridlink", ""])
def test_a_name_that_no_module_can_have_is_refused(gridlink: Gridlink, tmp_path: Path, name: str) -> None:
    """Before anything is written."""
    done = gridlink("new", name, "-o", tmp_path)
    assert (done.status, len(done.err.splitlines()), list(tmp_path.iterdir())) == (1, 1, [])


class Watched:
    """A `gridlink run` and what it has said so far."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process, self._output = process, output

    def says(self, text: str, times: int = 1) -> None:
        """Waits until it has said it so many times."""
        self.until(lambda: self._output.read_text().count(text) >= times, text)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits for a condition."""
        deadline_s = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline_s, f"not within 20 s: {what}\n{self._output.read_text()}"
            time.sleep(0.02)


@contextmanager
def running_bundle(site: Path, bundle: Path) -> Iterator[Watched]:
    """`gridlink run`, ended by Ctrl-C."""
    output = bundle.parent / "run.out"
    with output.open("w") as file:
        process = subprocess.Popen(
            command("-C", site, "run", bundle), stdout=file, stderr=file, env=clean_environment()
        )
    try:
        yield Watched(process, output)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=20)


def test_run_joins_a_bundle_reloads_it_on_save_and_ends_in_order(
    on_site: Gridlink, gridlink: Gridlink, running_site: Path, tmp_path: Path
) -> None:
    """The author's loop: save, look, save. A version that doesn't start costs nothing but the next save."""
    gridlink("new", "author_probe", "-o", tmp_path)
    bundle = tmp_path / "author_probe"
    code = bundle / "author_probe" / "__init__.py"
    good = code.read_text()

    def greeted() -> str:
        done = on_site("call", "author_probe", "greet", '"grid"')
        return str(done.document["text"]) if done.status == 0 else done.err

    with running_bundle(running_site, bundle) as watched:
        watched.says("it runs as author_probe@")
        assert greeted() == "hello, grid"
        code.write_text(good + "\nraise ValueError('not today')\n")
        watched.says("it did not start: import of author_probe: ValueError: not today")
        assert "NoSuchRole" in greeted()
        code.write_text(good.replace("hello", "good evening"))
        watched.says("it runs as author_probe@", times=2)
        assert greeted() == "good evening, grid"
        (bundle / "config.json").write_text('{"greeting": "configured"}')
        watched.says("it runs as author_probe@", times=3)
        assert greeted() == "configured, grid"
        os.kill(watched.process.pid, signal.SIGINT)
        assert watched.process.wait(timeout=20) == 0
    names = {one["name"] for one in on_site("ls", "--json").document["modules"]}
    assert "author_probe" not in names


def test_run_says_what_is_wrong_with_a_bundle_that_is_none(on_site: Gridlink, tmp_path: Path) -> None:
    """A path that was mistyped."""
    done = on_site("run", tmp_path / "none")
    assert (done.status, len(done.err.splitlines())) == (1, 1)
    assert "there is no such directory" in done.err
