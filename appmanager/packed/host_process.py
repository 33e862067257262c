"""`python -m appmanager.packed.host_process`: what this machine has, found out by a process that ends.

What reads the names and versions of packages takes 3 MiB, which a board's node is not to keep.
"""

from __future__ import annotations

import sys
from dataclasses import asdict

import msgspec

from appmanager.packed.target import Host, this_host
from gridlink.errors import StartFailed

WITHIN_S = 30.0


def ask() -> Host:
    """This machine, without loading what tells. Blocks: call it in a thread. Raises StartFailed."""
    import subprocess  # noqa: PLC0415 - for this alone

    command = [sys.executable, "-m", "appmanager.packed.host_process"]
    try:
        told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=WITHIN_S, check=True)
        return msgspec.json.decode(told.stdout, type=Host)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        raise StartFailed(f"a process that looks which packages this machine has failed: {error}") from error


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asdict(this_host())))
