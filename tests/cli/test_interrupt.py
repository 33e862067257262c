"""Ctrl-C and SIGTERM at bad moments: while the programs are still being imported, and in a shell's background."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.running import bundle, good
from tests.conftest import clean_environment, command

STARTS = "import time: self [us]"  # what Python with PYTHONPROFILEIMPORTTIME says first, whenever it starts


def _in_foreground() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _in_background() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def importing(*arguments: str | Path, program: str) -> Iterator[subprocess.Popen[str]]:
    """A program that names on stderr each module that it has imported, as soon as it has."""
    process = subprocess.Popen(
        command(*arguments, program=program),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment() | {"PYTHONPROFILEIMPORTTIME": "1"},
        preexec_fn=_in_foreground,  # noqa: PLW1509 - one thread
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(process: subprocess.Popen[str], text: str, times: int = 1) -> None:
    """Reads stderr up to a line with the text."""
    assert process.stderr is not None
    for line in process.stderr:
        times -= text in line
        if times == 0:
            return
    raise AssertionError(f"it ended, and never said {text!r}")


@pytest.mark.parametrize(("program", "arguments"), [("gridlink", ["ls"]), ("gridlink-node", ["--manage", "managed"])])
def test_ctrl_c_while_it_is_imported_is_no_traceback(program: str, arguments: list[str]) -> None:
    """An operator who has second thoughts within a tenth of a second."""
    with importing(*arguments, program=program) as process:
        until(process, "click.globals")
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=20)
        assert process.returncode == -signal.SIGINT
        assert "Traceback" not in rest
        assert "KeyboardInterrupt" not in rest


def test_ctrl_c_while_a_command_is_imported_is_status_130(tmp_path: Path) -> None:
    """From there on commands end in order, and say so by their status."""
    with importing("--nats", "nats://127.0.0.1:9", "ls", program="gridlink") as process:
        until(process, "gridlink.cli.output")
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=20)
        assert (process.returncode, "Traceback" in rest) == (130, False)


def test_ctrl_c_while_the_guardian_starts_ends_the_node_in_order(tmp_path: Path) -> None:
    """It is kept until the guardian can hear it, also while Python itself starts."""
    bundle(tmp_path / "managed", "one", good("one"))
    with importing("--manage", tmp_path / "managed", "--no-view", "--for", "60", program="gridlink-node") as process:
        until(process, STARTS, times=2)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=10)  # its node ends too, however early it is told to
        assert process.returncode == 0
        assert "the guardian ends: it was told to" in rest
        assert "Traceback" not in rest


def follow(managed: Path, background: bool) -> subprocess.Popen[str]:
    """`gridlink logs -f`, as a shell starts it in the foreground or with `&`; it has shown its first line."""
    logs = managed / ".gridlink" / "logs"
    logs.mkdir(parents=True)
    (logs / "x.log").write_text("2024-01-01T00:00:00.000Z INFO    module.one: a line\n")

    process = subprocess.Popen(
        command("-C", managed, "logs", "-f"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
        preexec_fn=_in_background if background else _in_foreground,  # noqa: PLW1509 - one thread
    )
    assert process.stdout is not None
    assert "a line" in process.stdout.readline()
    return process


def test_logs_in_the_background_of_a_shell_ignore_ctrl_c_and_end_on_sigterm(tmp_path: Path) -> None:
    """POSIX has a shell ignore SIGINT for what it starts with `&`; `tail -f &` keeps that, and so do we."""
    process = follow(tmp_path / "managed", background=True)
    process.send_signal(signal.SIGINT)
    with (tmp_path / "managed" / ".gridlink" / "logs" / "x.log").open("a") as file:
        file.write("2024-01-01T00:00:01.000Z INFO    module.one: another\n")
    assert process.stdout is not None
    assert "another" in process.stdout.readline()
    process.terminate()
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == -signal.SIGTERM


def test_logs_in_the_foreground_end_on_ctrl_c(tmp_path: Path) -> None:
    """Without a word."""
    process = follow(tmp_path / "managed", background=False)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0
