"""Makes a long SQLite query interruptible: its connection calls back between its steps, where signals are handled.

A query runs in C and looks at no signal. With a progress handler it comes back to Python every few milliseconds; an
exception raised there ends the query with `sqlite3.OperationalError: interrupted`, as `Connection.interrupt()` does,
without a thread that would have to call it. A module's own progress handler takes ours' place.

`sqlite3.connect` is replaced as sqlite3 is imported, before anybody can take a name out of it. `sqlite3.Connection`
can't be: it is a type of C's, and what is no subclass of it is no connection for others.
"""

from __future__ import annotations

import sys
from functools import wraps
from typing import Any

STEPS = 100_000  # of SQLite's virtual machine: a millisecond or two, ten on a slow board
NAME = "sqlite3"


class Connections:
    """Sees to every connection that `connect` opens from `watch` to `release`, in this process."""

    def __init__(self) -> None:
        self._connect: Any = None

    def watch(self) -> None:
        """Begins; where nobody has imported sqlite3 yet, when somebody does. May be called again and again."""
        if self._connect is None and NAME in sys.modules:
            self._replace()
        elif self._connect is None and self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """One of Python's finders: finds sqlite3 as the others do, and has `connect` replaced once it is loaded."""
        if name != NAME:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found: Any = next((spec for finder in others if (spec := finder.find_spec(name, path, target))), None)
        if found is not None:
            plainly = found.loader.exec_module

            def exec_module(module: Any) -> None:
                plainly(module)
                if sys.modules.get(NAME) is module and hasattr(module, "dbapi2"):  # a bundle's own may be anything
                    self._replace()

            found.loader.exec_module = exec_module
        return found

    def release(self) -> None:
        """Leaves sqlite3 as it was; may be called twice."""
        self._look_no_more()
        sqlite3: Any = sys.modules.get(NAME)
        if sqlite3 is not None and self._connect is not None:
            sqlite3.connect = sqlite3.dbapi2.connect = self._connect
            self._connect = None

    def _replace(self) -> None:
        self._look_no_more()
        sqlite3: Any = sys.modules[NAME]
        connect = self._connect = sqlite3.connect

        @wraps(connect)
        def watched(*args: Any, **kwargs: Any) -> Any:
            connection = connect(*args, **kwargs)
            connection.set_progress_handler(_go_on, STEPS)
            return connection

        sqlite3.connect = sqlite3.dbapi2.connect = watched

    def _look_no_more(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)


def _go_on() -> int:
    return 0
