"""`python -m appmanager.guardian STATE_DIR SERVER_FILE FOR_S JSON_LOGS MODES SETTINGS`: what systemd watches."""

from __future__ import annotations

import os
import sys

from appmanager.guardian.guardian import Guardian
from appmanager.guardian.lock import ManagedLock
from appmanager.guardian.log import Log
from appmanager.guardian.zygote import Zygote
from gridlink.errors import GridlinkError


def main() -> int:
    """Runs the guardian; returns its exit status."""
    state_dir, server_file, for_s, json_logs, modes, settings = sys.argv[1:]
    lock = ManagedLock(state_dir)
    try:
        lock.take(f"process {os.getpid()}")
        log = Log(os.path.join(state_dir, "logs", "guardian.log"), json_logs == "json")
        try:
            zygote = Zygote(log)
            if "fork" in modes.split():
                zygote.warm_up()  # before the node is forked, which so shares it too
            return Guardian(settings, server_file, float(for_s), state_dir, log, zygote).run()
        finally:
            forget(state_dir)
    except GridlinkError as error:
        os.write(2, f"gridlink-node: {error}\n".encode())
        return 1
    finally:
        lock.close()


def forget(state_dir: str) -> None:
    """Removes the file by which commands find the node: it runs no more."""
    try:
        os.unlink(os.path.join(state_dir, "node.json"))
    except FileNotFoundError:
        return  # it never ran


if __name__ == "__main__":
    sys.exit(main())
