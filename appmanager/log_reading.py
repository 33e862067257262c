"""`python -m appmanager.log_reading DIRECTORY NAME LAST SINCE`: records for somebody far away, by a process that ends.

What a module wrote is read and sorted by time: that takes memory and time which a board's node is not to spend.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from appmanager.orders import LogRecord, Logs, LogsOrder
from gridlink.errors import StartFailed

WITHIN_S = 20.0
LAST_MOST = 500


def read(directory: Path, order: LogsOrder) -> Logs:
    """The records. Blocks: call it in a thread. Raises StartFailed."""
    import subprocess  # noqa: PLC0415 - for this alone

    last = str(max(1, min(order.last, LAST_MOST)))
    command = [sys.executable, "-m", "appmanager.log_reading", str(directory), order.name, last, order.since]
    try:
        told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=WITHIN_S, check=True)
        return msgspec.json.decode(told.stdout, type=Logs)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        raise StartFailed(f"a process that reads the logs in {directory} failed: {error}") from error


def main() -> None:
    """See above."""
    from gridlink.node.log_files import last_records  # noqa: PLC0415 - in its process alone

    directory, name, last, since = sys.argv[1:]
    found = last_records(Path(directory), name, int(last), since)
    told = Logs(tuple(LogRecord(one.time, one.level, one.module, one.text) for one in found))
    sys.stdout.buffer.write(msgspec.json.encode(told))


if __name__ == "__main__":
    main()
