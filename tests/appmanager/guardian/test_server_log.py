"""nats-server's own log: bounded while it runs, whoever makes it talk, and kept over its restarts."""

from __future__ import annotations

import socket
from pathlib import Path

from gridlink.bus.server import LOG_BYTES, Server
from gridlink.testing import eventually
from tests.acceptance.running import bundle, good, running
from tests.gridlink.conftest import new_server, require_nats_server

LIMIT = 4000


def provoke(server: Server, log: Path, more_than: int) -> None:
    """Has the server complain until its log is that long."""
    port = int(server.url.rpartition(":")[2])
    while log.stat().st_size <= more_than:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(b"JUNK" * 20 + b"\r\n")
            while client.recv(4096):
                continue


def test_a_log_that_has_grown_begins_anew_and_the_server_writes_on(tmp_path: Path) -> None:
    """Without a hole where it was: the server's place in the file is its end."""
    log = tmp_path / "nats" / "nats-server.log"
    with new_server(tmp_path / "nats") as server:
        server.bound_log(LIMIT)
        assert "Server is ready" in log.read_text()
        for _ in range(3):
            provoke(server, log, LIMIT)
            before = log.read_bytes()
            server.bound_log(LIMIT)
            assert log.read_bytes() == b""
            assert log.with_name("nats-server.log.1").read_bytes() == before[-LIMIT:]
        provoke(server, log, 0)
        assert log.read_bytes().startswith(b"[")
        assert "parser ERROR" in log.read_text()


def test_a_log_is_kept_over_restarts_and_last_words_are_of_this_start(tmp_path: Path) -> None:
    """Why it ended the last time is what one looks for; it isn't why it doesn't start now."""
    server = new_server(tmp_path / "nats")
    log = tmp_path / "nats" / "nats-server.log"
    for count in (1, 2):
        with server:
            assert log.read_text().count("Server is ready") == count
    log.write_text(log.read_text() + "from a former start\n")
    server.launch()
    assert "from a former start" not in server.last_words()
    server.stop()


async def test_the_guardian_keeps_it_small(tmp_path: Path) -> None:
    """A machine that is refused again and again must not fill a board's flash."""
    require_nats_server()
    bundle(tmp_path / "managed", "plain", good("plain"))
    log = tmp_path / "managed" / ".gridlink" / "nats" / "nats-server.log"
    async with running(tmp_path / "managed") as node:
        await node.all_running("plain")
        with log.open("a") as file:
            file.write("said by nats-server\n" * (LOG_BYTES // 10))
        await eventually(lambda: log.stat().st_size < 10_000, timeout_s=5)
        former = log.with_name("nats-server.log.1")
        await eventually(lambda: former.stat().st_size == LOG_BYTES, timeout_s=5)
