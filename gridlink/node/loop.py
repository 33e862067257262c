"""Runs a node's event loop: what a module raises in it, or asks of it, ends neither the loop nor the process.

asyncio takes SystemExit and KeyboardInterrupt for the whole program's, whoever raises them: they leave `run_forever`.
By then the handle that raised is over, and all others still wait for their turn, so the loop is run again. That costs
nothing as long as nobody does it. A signal's KeyboardInterrupt goes on: a node handles SIGINT itself.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import sys
from asyncio.events import Handle
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from gridlink.errors import Refused
from gridlink.module.owner import owner
from gridlink.tasks import ends_no_node

if TYPE_CHECKING:
    from gridlink.module.instance import Instance

log = logging.getLogger("gridlink.node")

LAST_STEP_S = 2.0  # what was cancelled long ago, or runs in a thread, is waited for so long at the end
_RUN_HANDLE = Handle._run.__code__
_never_ended: list[asyncio.Task[Any]] = []
"""Kept until the process is gone: a coroutine that swallows its cancellation swallows GeneratorExit, too."""


class Escapes:
    """Names and counts whoever would have ended the loop. `instances`: those of the node, once there is one."""

    def __init__(self) -> None:
        self.instances: Mapping[str, Instance] = MappingProxyType({})

    def escaped(self, error: SystemExit | KeyboardInterrupt) -> None:
        """Told what has left the loop."""
        handle, trace = _origin(error.__traceback__)
        name = self._innermost(trace) or (handle._context.get(owner, "") if handle is not None else "")
        if name in self.instances:
            self.instances[name].counters.errors += 1
        text = f"{name or 'something'} {ends_no_node(error)}"
        _in_name_of(name, log.error, text, exc_info=(type(error), error, trace))
        task = getattr(handle._callback, "__self__", None) if handle is not None else None
        if isinstance(task, asyncio.Future) and task.done() and not task.cancelled():
            task.exception()  # it counts as retrieved: it is said already

    def refuse_stop(self) -> NoReturn:
        """In place of the loop's `stop`: raises Refused, which fails the one request, task or callback."""
        text = f"{owner.get() or 'something'} called loop.stop(), and the loop is the whole node's: return, or raise"
        log.error("%s", text)  # in a callback nobody else names it
        raise Refused(text)

    def stopped(self) -> None:
        """Told that the loop has been stopped all the same."""
        log.error("something stopped the loop, which is the whole node's: it goes on")

    def _innermost(self, trace: TracebackType | None) -> str:
        """The instance whose bundle's code is innermost; a bundle may lie in another one's directory."""
        found = ""
        homes = {f"{instance.environment.directory}/": name for name, instance in self.instances.items()}
        while trace is not None:
            file = trace.tb_frame.f_code.co_filename
            found = homes.get(max((home for home in homes if file.startswith(home)), key=len, default=""), found)
            trace = trace.tb_next
        return found


def _origin(trace: TracebackType | None) -> tuple[Any, TracebackType | None]:
    """The handle that raised, and the frames that it called; None for another loop's, which has no frame."""
    found = trace
    while found is not None:
        if found.tb_frame.f_code is _RUN_HANDLE:
            return found.tb_frame.f_locals["self"], found.tb_next
        found = found.tb_next
    return None, trace


def _in_name_of(name: str, say: Callable[..., None], *words: Any, **named: Any) -> None:
    context = contextvars.copy_context()
    context.run(owner.set, name)
    context.run(say, *words, **named)


def run_loop(main: Coroutine[Any, Any, int], escapes: Escapes | None = None) -> int:
    """Runs `main` on uvloop where it is installed, else on asyncio's own loop, and returns what it returns.

    What is still running then is cancelled, and waited for LAST_STEP_S at most: whatever doesn't end is named.
    """
    escapes = escapes or Escapes()
    loop = (_uvloop() or asyncio.new_event_loop)()
    asyncio.set_event_loop(loop)
    stop, loop.stop = loop.stop, escapes.refuse_stop  # type: ignore[method-assign]
    try:
        try:
            status: int = _run(loop, loop.create_task(main), stop, escapes)
            return status
        finally:
            _run(loop, loop.create_task(_end(loop, asyncio.all_tasks(loop))), stop, escapes)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    found: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return found


def _run(loop: asyncio.AbstractEventLoop, main: asyncio.Task[Any], stop: Callable[[], None], escapes: Escapes) -> Any:
    """Runs the loop until `main` is done; `stop` is the loop's own. The watchdog knows other loops by this frame."""

    ended, pid = False, os.getpid()

    def over(_: asyncio.Task[Any]) -> None:
        if not ended:  # else it is called late, by the next run
            stop()

    main.add_done_callback(over)
    try:
        while not main.done():
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                if os.getpid() != pid:
                    os._exit(error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1)
                if _is_the_users(error):
                    raise
                if not _is_its_own(error, main):
                    _told(escapes.escaped, error)
            else:
                if not main.done():
                    _told(escapes.stopped)
    finally:
        ended = True
    return main.result()


def _told(tell: Callable[..., None], *words: Any) -> None:
    """Says it; what of a module's runs for that (a logging handler of its own, a `__repr__`) ends no node either."""
    try:
        tell(*words)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the loop has to go on
        sys.stderr.write(f"something left the event loop, and {type(error).__name__} came of saying so\n")


def _is_the_users(error: BaseException) -> bool:
    """Whether it comes from the keyboard, where a signal raises it: a node handles that signal itself."""
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _is_its_own(error: BaseException, main: asyncio.Task[Any]) -> bool:
    return main.done() and not main.cancelled() and main.exception() is error


async def _end(loop: asyncio.AbstractEventLoop, left: set[asyncio.Task[Any]]) -> None:
    """Cancels what is left, ends generators and threads of the loop's, and names what doesn't end."""
    for task in left:
        task.cancel()
    left |= {loop.create_task(loop.shutdown_asyncgens(), name="generators")}
    left |= {loop.create_task(loop.shutdown_default_executor(), name="threads of asyncio.to_thread")}
    done, stuck = await asyncio.wait(left, timeout=LAST_STEP_S)
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed as the node ended: %s", _whose(task), error, exc_info=error)
    for task in stuck:
        log.error("%s has not ended: the process ends without it", _whose(task))
    _never_ended.extend(stuck)


def _whose(task: asyncio.Task[Any]) -> str:
    from gridlink.node.footprint.stacks import owner_of  # noqa: PLC0415 - where something is left

    return f"{owner_of(task) or 'the node'}: the task {task.get_name()}"
