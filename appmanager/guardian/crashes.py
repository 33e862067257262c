"""How a process came to a sudden end: whether the kernel killed it for lack of memory, and who ran in it then.

The process's own faulthandler writes the stack to its lifeline when it crashes (see silence); who is killed for memory
says nothing, but a module that fills it at one go has been named by the watchdog by then.
"""

from __future__ import annotations

import os

from gridlink.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from appmanager.guardian.child import Child

NO_MEMORY = ": the machine, or its cgroup, had no memory left"


class Crashes:
    """Counts the kernel's killings for memory, of all processes of the machine."""

    def __init__(self) -> None:
        self._killed = _killed_for_memory()

    def how(self, ended: Child, status: int, how: str) -> str:
        """`how` a child ended, with what is known beside; whoever did it is in its `silence` from now on."""
        code, silence = os.waitstatus_to_exitcode(status), ended.silence
        if silence.offender or ended.silent or ended.kill_at_s or code >= 0:
            return how
        if code == -signal.SIGKILL:
            if not self._was_for_memory() or (ended.confinement is not None and ended.confinement.verdict()):
                return how  # its own limit says more
            silence.crash(f"{how}{NO_MEMORY}")
            return how + NO_MEMORY
        silence.crash(how)
        where = "" if silence.offender or not silence.stack else f" in {silence.stack[0]}"
        return how + where

    def _was_for_memory(self) -> bool:
        before, self._killed = self._killed, _killed_for_memory()
        return self._killed > before


def _killed_for_memory() -> int:
    try:
        with open("/proc/vmstat", encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    except (OSError, ValueError):
        return 0  # this kernel doesn't say
