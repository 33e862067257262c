"""Every command and every file in the README works, in the order in which a reader meets them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNS_ON = ("make run", "gridlink run ")
ELSEWHERE = ("make test",)  # this very run


def blocks() -> list[tuple[str, str]]:
    """The README's code blocks: language and text."""
    return BLOCK.findall((ROOT / "README.md").read_text())


class Reader:
    """Somebody who follows the README in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("NATS_", "GRIDLINK_"))}
        self.environment["PATH"] = f"{BIN}:{self.environment['PATH']}"
        self.background: list[subprocess.Popen[str]] = []

    def follow(self, language: str, text: str) -> None:
        """Types a command, or saves a file."""
        if language == "sh":
            for command in text.strip().splitlines():
                self.type(command)
        elif language == "python":
            path = self.directory / text.splitlines()[0].removeprefix("# ")
            path.write_text(text.partition("\n")[2])
        elif language == "json":
            (self.directory / "line_watch" / "module.json").write_text(text)

    def type(self, command: str) -> None:
        """Runs a command; one that runs on is left running until it serves."""
        if command in ELSEWHERE:
            return
        if command.startswith(RUNS_ON):
            here = f"make -C {ROOT} run MANAGED={self.directory / 'managed'}" if command == "make run" else command
            self.start(here, 7 if command == "make run" else 8)
            return
        done = self.run(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in a shell, as a reader does."""
        return subprocess.run(
            command,
            shell=True,
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, command: str, modules: int) -> None:
        """Starts a command that runs on, and waits until so many bundles' modules are RUNNING."""
        output = self.directory / f"{len(self.background)}.log"
        with output.open("w") as log:
            process = subprocess.Popen(
                command,
                shell=True,
                cwd=self.directory,
                env=self.environment,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.background.append(process)
        deadline_s = time.monotonic() + 60
        while self.running() < modules:
            assert time.monotonic() < deadline_s, output.read_text()
            time.sleep(0.1)

    def running(self) -> int:
        """How many modules are RUNNING, the NodeManager aside."""
        done = self.run("gridlink ls --json")
        if done.returncode != 0:
            return 0
        modules = json.loads(done.stdout)["modules"]
        return sum(module["state"] == "RUNNING" and module["name"] != "nodemanager" for module in modules)


@contextmanager
def reading(directory: Path) -> Iterator[Reader]:
    """A reader, whose programs end when they close their terminals."""
    reader = Reader(directory)
    try:
        yield reader
    finally:
        for process in reversed(reader.background):
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=30)


@pytest.mark.timeout(180)
def test_a_reader_gets_from_the_clone_to_a_module_of_their_own(tmp_path: Path) -> None:
    """The README is the first thing that a user tries; nothing in it may be out of date."""
    with reading(tmp_path) as reader:
        for language, text in blocks():
            reader.follow(language, text)
        answer = reader.run("gridlink call line_watch lowest --json")
        assert json.loads(answer.stdout)["value_pu"] > 0.8
        assert reader.running() == 8


def test_every_command_of_the_readme_is_in_a_block_that_is_run() -> None:
    """A block in a language that the test passes over would be a command that nobody tries."""
    assert {language for language, _ in blocks()} == {"sh", "python", "json"}
    assert {path for _, text in blocks() for path in re.findall(r"^# (\S+\.py)$", text, re.MULTILINE)} == {
        "line_watch/line_watch/__init__.py",
        "line_watch/tests/test_line_watch.py",
    }
