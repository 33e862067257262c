"""Runs on the board: the use case in each mode that is named, what is left of the board's memory beside it, and then
while a module is installed, updated and rolled back (`provisioned.py`, which has to lie beside this file).

`use_case.py SETTLE_S MODE…`, with the Python of an installed Gridlink; prints a line of JSON a mode. It hears of the
bundles as systemd does, and takes a few MiB of what it measures itself.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.board.provisioned import provisioned
else:
    from provisioned import provisioned

BIN = Path(sys.executable).parent
MODULES = 7  # the six bundles, and the AppManager
ALL_RUN = "STATUS=6 of 6 bundles are RUNNING"
RUNNING_WITHIN_S = 240.0  # the processor is emulated, and what emulates it may be busy
SAMPLES, SAMPLE_S = 10, 1.0
OPTIONS = {
    "process": ["--mode", "process", "--without-nodemanager"],
    "fork": ["--mode", "fork", "--without-nodemanager"],
    "node": ["--mode", "node"],
}


def main() -> int:
    """Runs the modes one after the other; the exit status is 1 where one of them didn't run."""
    settle_s, *modes = sys.argv[1:]
    failed = False
    for mode in modes:
        managed = Path(f"/root/managed_{mode}")
        checked([str(BIN / "gridlink"), "init", str(managed), "--example", "issn"])
        result = run(mode, managed, float(settle_s))
        print(json.dumps({"mode": mode, **result}), flush=True)
        failed = failed or bool(result["problem"])
    return int(failed)


def run(mode: str, managed: Path, settle_s: float) -> dict[str, Any]:
    """One mode, from its start to its end. `problem` is empty where all of it went well."""
    Path("/proc/sys/vm/drop_caches").write_text("3")
    before_kib = meminfo()["MemAvailable"]
    output = managed.with_suffix(".output")
    notified = managed.with_suffix(".notified")
    with output.open("w") as file, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(notified))
        began_s = time.monotonic()
        node = subprocess.Popen(
            [str(BIN / "gridlink-node"), "--manage", str(managed), "--no-view", *OPTIONS[mode]],
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={**os.environ, "NOTIFY_SOCKET": str(notified)},
        )
        known = {"available_before_mib": mib(before_kib)}
        return watched(node, managed, mode, settle_s, heard, began_s, known)


def watched(
    node: subprocess.Popen[bytes],
    managed: Path,
    mode: str,
    settle_s: float,
    heard: socket.socket,
    began_s: float,
    known: dict[str, Any],
) -> dict[str, Any]:
    """What is found while it runs, beside what is `known`; it is ended in any case."""
    result = {**known, "problem": ""}
    try:
        wait_until_running(node, heard)
        result["running_after_s"] = round(time.monotonic() - began_s, 1)
        time.sleep(settle_s)  # what they take grows for a while: measured is what it grows to
        result |= measured(node.pid)
        result |= answers(managed)
        gridlink = [str(BIN / "gridlink"), "-C", str(managed)]
        result |= provisioned(gridlink, managed.parent, mode, checked, lambda: meminfo()["MemAvailable"])
        node.send_signal(signal.SIGTERM)
        status = node.wait(60)
        if status:
            raise RuntimeError(f"it ended with status {status}")
    except (RuntimeError, subprocess.SubprocessError, LookupError, TypeError, ValueError, OSError) as error:
        said = managed.with_suffix(".output").read_text()
        result["problem"] = f"{type(error).__name__}: {error}\n{said[-3000:]}"
    finally:
        if node.poll() is None:
            node.kill()
            node.wait()
    return result


def wait_until_running(node: subprocess.Popen[bytes], heard: socket.socket) -> None:
    """Returns when the guardian says that all bundles run. Raises RuntimeError."""
    deadline_s = time.monotonic() + RUNNING_WITHIN_S
    heard.settimeout(0.5)
    while True:
        try:
            if ALL_RUN in heard.recv(4096).decode().split("\n"):
                return
        except TimeoutError:
            if node.poll() is not None:
                raise RuntimeError(f"it ended with status {node.returncode} while it was started") from None
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"not all bundles were RUNNING after {RUNNING_WITHIN_S:g} s")


def measured(guardian: int) -> dict[str, Any]:
    """The least that was available in several looks, and the PSS of all processes of the node."""
    least_kib = meminfo()["MemAvailable"]
    for _ in range(SAMPLES - 1):
        time.sleep(SAMPLE_S)
        least_kib = min(least_kib, meminfo()["MemAvailable"])
    pss_kib = {pid: fields_kib(Path(f"/proc/{pid}/smaps_rollup"))["Pss"] for pid in family(guardian)}
    servers = [pid for pid in pss_kib if Path(f"/proc/{pid}/comm").read_text().startswith("nats-server")]
    return {
        "available_mib": mib(least_kib),
        "python_processes": len(pss_kib) - len(servers),
        "python_pss_mib": mib(sum(pss_kib.values()) - sum(pss_kib[pid] for pid in servers)),
        "nats_server_pss_mib": mib(sum(pss_kib[pid] for pid in servers)),
        "swapped_mib": mib(meminfo()["SwapTotal"] - meminfo()["SwapFree"]),
    }


def answers(managed: Path) -> dict[str, Any]:
    """Asks the modules, as an operator would. Raises RuntimeError where one doesn't run or doesn't answer."""
    gridlink = [str(BIN / "gridlink"), "-C", str(managed)]
    listed = json.loads(checked([*gridlink, "ls", "--json"]))["modules"]
    running = sorted(one["name"] for one in listed if one["state"] == "RUNNING" and one["name"] != "nodemanager")
    if len(running) != MODULES:
        raise RuntimeError(f"expected {MODULES} modules that are RUNNING, there are {len(running)}: {running}")
    query = json.dumps({"dataPoint": "bus_3.voltage_pu"})
    stored = json.loads(checked([*gridlink, "call", "storage", "getMostRecentValue", query, "--json"]))
    grid = json.loads(checked([*gridlink, "call", "grid", "getState", "--json"]))
    return {"modules_running": len(running), "stored": stored, "grid": grid}


def family(guardian: int) -> list[int]:
    """The guardian and all that it and its children have started."""
    found, looked = [guardian], 0
    while looked < len(found):
        pid = found[looked]
        looked += 1
        found += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found


def meminfo() -> dict[str, int]:
    """/proc/meminfo, KiB."""
    return fields_kib(Path("/proc/meminfo"))


def fields_kib(file: Path) -> dict[str, int]:
    """The lines `Name: number kB` of a file of the kernel's."""
    lines = (line.split() for line in file.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if words[-1] == "kB"}


def mib(kib: int) -> float:
    """KiB as MiB."""
    return round(kib / 1024, 1)


def checked(command: list[str]) -> str:
    """What a command prints. Raises RuntimeError with its words where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    if done.returncode:
        words = " ".join(command)
        raise RuntimeError(f"`{words}` ended with status {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
