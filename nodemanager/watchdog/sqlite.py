"""Makes a long SQLite query interruptible: its connection calls back between its steps, where signals are handled.

A query runs in C and looks at no signal. With a progress handler it comes back to Python every few milliseconds; an
exception raised there ends the query with `sqlite3.OperationalError: interrupted`, as `Connection.interrupt()` does,
without a thread that would have to call it. A module's own progress handler takes ours' place.
"""

from __future__ import annotations

import sys
from functools import wraps
from typing import Any

STEPS = 100_000  # of SQLite's virtual machine: a millisecond or two, ten on a slow board


class Connections:
    """Sees to every connection that is opened from `watch` to `release`, in this process."""

    def __init__(self) -> None:
        self._connect: Any = None

    def watch(self) -> None:
        """Begins, where a module has imported sqlite3; may be called again and again, for one that does it late."""
        sqlite3: Any = sys.modules.get("sqlite3")
        if sqlite3 is None or self._connect is not None:
            return
        connect = self._connect = sqlite3.connect

        @wraps(connect)
        def watched(*args: Any, **kwargs: Any) -> Any:
            connection = connect(*args, **kwargs)
            connection.set_progress_handler(_go_on, STEPS)
            return connection

        sqlite3.connect = sqlite3.dbapi2.connect = watched

    def release(self) -> None:
        """Leaves sqlite3 as it was; may be called twice."""
        sqlite3: Any = sys.modules.get("sqlite3")
        if sqlite3 is not None and self._connect is not None:
            sqlite3.connect = sqlite3.dbapi2.connect = self._connect
            self._connect = None


def _go_on() -> int:
    return 0
