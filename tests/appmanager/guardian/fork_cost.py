"""`python -m tests.appmanager.guardian.fork_cost URL DIRECTORY MODE COUNT`: what one more module costs in a mode.

Starts COUNT processes of the bundle in DIRECTORY as the guardian does, one after the other, and prints as JSON: the
milliseconds from the fork until each was RUNNING, and the private KiB of each once all of them have settled.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from appmanager.guardian.child import fresh_interpreter
from appmanager.guardian.family import Family, Readers
from appmanager.guardian.log import Log
from appmanager.guardian.survivors import Survivors
from appmanager.guardian.zygote import Zygote

SETTLE_S = 2.0


def main(url: str, directory: str, mode: str, count: int) -> dict[str, list[float]]:
    """The measurement."""
    with tempfile.TemporaryDirectory() as state:
        log, readers = Log(str(Path(state) / "log"), as_json=False), Readers()
        family = Family(readers, Survivors(state, log), log, list)
        zygote = Zygote(log)
        if mode == "fork":
            zygote.warm_up()
        ready_ms = []
        for number in range(count):
            host = {"directory": directory, "data_dir": f"{state}/data", "mode": mode}
            settings = {"site": "cost", "node": f"n{number}", "machine": "m", "url": url, "hosts": [host]}
            document = json.dumps(settings | {"log": {"file": f"{state}/{number}.log"}})
            began_s = time.perf_counter()
            child = family.start(
                f"n{number}", zygote.child(document) if mode == "fork" else fresh_interpreter(document)
            )
            while not child.ready:
                readers.run(0.05)
            ready_ms.append((time.perf_counter() - began_s) * 1000)
        settled_s = time.monotonic() + SETTLE_S
        while time.monotonic() < settled_s:
            readers.run(0.1)
        private = [private_kib(child.pid) for child in family]
        own = private_kib(os.getpid())
        family.kill()
    return {"ready_ms": ready_ms, "private_kib": private, "own_kib": [own]}


def private_kib(pid: int) -> float:
    """Memory that is a process's alone."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return float(sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty"))))


if __name__ == "__main__":
    _, site_url, bundle_directory, in_mode, how_many = sys.argv
    print(json.dumps(main(site_url, bundle_directory, in_mode, int(how_many))))
