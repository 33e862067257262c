"""What a module in a node can't be allowed to do to the others: end the process, take its signals, keep its stdout.

`os._exit` is told to the guardian first, so that the next node is without the one that called it. Handlers of signals
are refused, as they belong to the process, and `os.kill` of it, too. What is put in the place of `sys.stdout`, or taken
out of `sys.modules`, is put back when whoever did it has started, and now and then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from gridlink.errors import Refused
from gridlink.module.owner import owner
from nodemanager.isolation.naming import named_log_record
from nodemanager.watchdog.frames import holder

log = logging.getLogger("gridlink.node")

STREAMS = ("stdout", "stderr", "stdin")
SIGNALS = ("signal", "set_wakeup_fd", "siginterrupt")


class Guards:
    """From `start` to `stop`. `is_hosted(name)`: whether one of that name lives in `node`. `tell`: the guardian."""

    def __init__(self, is_hosted: Callable[[str], bool], tell: Callable[[str, str], None], node: str) -> None:
        self._is_hosted, self._tell, self._node, self._pid = is_hosted, tell, node, os.getpid()
        self._put_back: list[Callable[[], None]] = []
        self._streams: dict[str, Any] = {}
        self._modules: dict[str, ModuleType] = {}

    def start(self) -> None:
        """Begins to guard."""
        self._exit()
        self._kill()
        for name in SIGNALS:
            self._refuse(signal, name)
        self._refuse(type(asyncio.get_running_loop()), "add_signal_handler")
        self._set(logging, "_logRecordFactory", named_log_record(logging.getLogRecordFactory(), self._node))
        self._streams = {name: getattr(sys, name) for name in STREAMS}
        self._modules = dict(sys.modules)

    def stop(self) -> None:
        """Leaves everything as it was; may be called twice."""
        while self._put_back:
            self._put_back.pop()()

    def look(self, whose: str = "a module") -> None:
        """Puts back what was replaced or taken away since the last look, and says who did it."""
        for name, stream in self._streams.items():
            if getattr(sys, name) is not stream:
                setattr(sys, name, stream)
                log.error("%s replaced sys.%s, which belongs to all of this node: it is put back", whose, name)
        lost = {name: module for name, module in self._modules.items() if sys.modules.get(name) is not module}
        if lost:
            sys.modules.update(lost)
            names = ", ".join(sorted(lost)[:5]) + (", …" if len(lost) > 5 else "")
            log.error("%s took %s out of sys.modules, which belongs to all of this node: put back", whose, names)

    def learn(self) -> None:
        """Takes what has been imported by now for what is to stay; the bundles' own come and go."""
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in sys.stdlib_module_names:
                self._modules.setdefault(name, module)

    def _exit(self) -> None:
        plainly = os._exit

        def ends(status: int) -> None:
            if name := self._caller():
                self._tell("exits", f"{name} it called os._exit({status!r}) in its node")
            plainly(status)

        self._set(os, "_exit", ends)

    def _kill(self) -> None:
        plainly = os.kill

        def kill(pid: int, number: int) -> None:
            if number and pid == self._pid and (whose := self._caller()):
                raise Refused(
                    f"{whose} called os.kill({pid}, {int(number)}), which is the whole node: return, or raise an error"
                )
            plainly(pid, number)

        self._set(os, "kill", kill)

    def _refuse(self, where: Any, name: str) -> None:
        plainly = getattr(where, name)

        def refused(*arguments: Any, **named: Any) -> Any:
            if whose := self._caller():
                raise Refused(
                    f"{whose} called {name}: signals belong to the whole node: await in it what it waits for, or run "
                    "it in mode fork or process"
                )
            return plainly(*arguments, **named)

        self._set(where, name, refused)

    def _set(self, where: Any, name: str, value: Any) -> None:
        plainly = where.__dict__.get(name)
        setattr(where, name, value)
        back = (lambda: delattr(where, name)) if plainly is None else (lambda: setattr(where, name, plainly))
        self._put_back.append(back)

    def _caller(self) -> str:
        """The module whose code runs; empty for our own."""
        if os.getpid() != self._pid:
            return ""  # a process that it has forked is its own
        name = (holder(sys._getframe(2), ()).name or owner.get()).partition("@")[0]
        return name if self._is_hosted(name) else ""
