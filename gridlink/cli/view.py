"""`gridlink-node` on a terminal: the guardian as our child, and a live view of its site until it ends.

The guardian's output goes to `.gridlink/logs/console.out`, never into the view. It ends when we do, however we end.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live

from gridlink import address
from gridlink.bus.protocol import Answer
from gridlink.cli.options import Where, site_file_of
from gridlink.cli.session import Session, connected
from gridlink.cli.view_model import SiteView
from gridlink.cli.view_render import render
from gridlink.codec import loads
from gridlink.errors import GridlinkError, NoSuchRole
from gridlink.message import Message
from gridlink.node.settings import NodeFile
from gridlink.tasks import Tasks

REFRESH_S = 0.25
KILL_AFTER_S = 40.0  # the guardian itself kills what doesn't end in 20 s
CONSOLE_BYTES = 256 * 1024
TOPICS = ("measurement", "voltage_problem", "tap_position")
LAST_WORDS = 12
_PR_SET_PDEATHSIG = 1


def watch_guardian(command: list[str], state: Path) -> int:
    """Runs the guardian and shows its site until it ends, or until Ctrl-C or SIGTERM; returns its exit status.

    `state`: the managed directory's `.gridlink`. Where the guardian ends by itself, its last words are printed.
    """
    with _ConsoleFile(state / "logs" / "console.out") as console:
        guardian = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console.fd,
            stderr=console.fd,
            start_new_session=True,  # the terminal's Ctrl-C is for us, who pass it on once
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - one thread so far
        )
        view = SiteView()
        asyncio.run(_Watcher(guardian, state, console, view).run())
        status = guardian.wait()
        view.logged(console.lines())
        if not view.ending and status != 0:
            print("\n".join(list(view.log)[-LAST_WORDS:]), file=sys.stderr)
        return status if status >= 0 else 128 - status


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class _ConsoleFile:
    """The file that all processes of the node print to, read on as it grows, and emptied when it is full."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._at, self._partial = 0, b""

    def __enter__(self) -> _ConsoleFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def lines(self) -> Iterator[str]:
        """The lines that have come since."""
        received = os.pread(self.fd, CONSOLE_BYTES, self._at)
        self._at += len(received)
        *whole, self._partial = (self._partial + received).split(b"\n")
        if self._at > CONSOLE_BYTES and os.fstat(self.fd).st_size == self._at:
            os.ftruncate(self.fd, 0)  # all of it has been read; the processes' own files keep it
            self._at = 0
        for line in whole:
            yield line.decode("utf-8", "replace")


class _Watcher:
    """Feeds the model, draws it, and ends when the guardian has ended."""

    def __init__(self, guardian: subprocess.Popen[bytes], state: Path, console: _ConsoleFile, view: SiteView) -> None:
        self._guardian, self._state, self._console, self._view = guardian, state, console, view
        self._where = str(state.parent)
        self._asked_tap = False

    async def run(self) -> None:
        """Draws until the guardian has ended."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._end)
        tasks = Tasks("view")
        tasks.spawn(self._follow_site(tasks), name="site")
        terminal, own = Console(), _OwnLog(self._view)
        logging.getLogger().addHandler(own)
        try:
            with Live(console=terminal, screen=terminal.is_terminal, auto_refresh=False, redirect_stderr=False) as live:
                while self._guardian.poll() is None:
                    self._view.logged(self._console.lines())
                    live.update(render(self._view, self._where, terminal.width, terminal.height), refresh=True)
                    await asyncio.sleep(REFRESH_S)
        finally:
            await tasks.aclose()
            logging.getLogger().removeHandler(own)

    def _end(self) -> None:
        if not self._view.ending:
            self._view.ending = True
            asyncio.get_running_loop().call_later(KILL_AFTER_S, self._kill)
        with contextlib.suppress(ProcessLookupError):
            self._guardian.terminate()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._guardian.kill()

    async def _follow_site(self, tasks: Tasks) -> None:
        """Connects as soon as the node is there, and again where that fails."""
        while True:
            node = await self._node()
            self._where = f"site {node.site}   {node.url}   {self._state.parent}"
            try:
                managed = self._state.parent
                where = Where(node.url, node.site, managed, node.environment, site_file_of(managed))
                async with connected(where) as site:
                    for topic in TOPICS:
                        await site.bus.subscribe(address.topic(topic), "*", _Listener(self._view))
                    while True:
                        self._look(site, tasks)
                        await asyncio.sleep(REFRESH_S)
            except GridlinkError as error:
                self._view.logged([f"the view's connection: {error}"])
                await asyncio.sleep(1)

    async def _node(self) -> NodeFile:
        """What the guardian's node has written of itself; not what one before it left."""
        while True:
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                node = msgspec.json.decode((self._state / "node.json").read_bytes(), type=NodeFile)
                if node.pids.get("guardian") == self._guardian.pid:
                    return node
            await asyncio.sleep(REFRESH_S / 2)

    def _look(self, site: Session, tasks: Tasks) -> None:
        self._view.modules = site.entries()
        self._view.site_s, self._view.speed = site.clock.now(), site.clock.speed
        if not self._asked_tap and site.registry.find(role="oltc"):
            self._asked_tap = True
            tasks.spawn(self._ask_tap(site), name="tap position")

    async def _ask_tap(self, site: Session) -> None:
        """The tap position, which is published only when it changes."""
        try:
            state: Any = await site.sender.request("oltc", "getTapPosition", timeout_s=2.0)
            self._view.tap_state(state)
        except (GridlinkError, KeyError, TypeError, ValueError):
            return  # a role oltc of another kind: the view goes without


class _OwnLog(logging.Handler):
    """What this process itself has to say (its connection is lost): into the model, not across the picture."""

    def __init__(self, view: SiteView) -> None:
        super().__init__(logging.WARNING)
        self._view = view

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        self._view.logged([f"the view: {record.levelname} {record.getMessage()}"])


class _Listener:
    """Hands events to the model."""

    def __init__(self, view: SiteView) -> None:
        self._view = view

    def take_event(self, message: Message) -> None:
        """See gridlink.bus.Receiver."""
        with contextlib.suppress(GridlinkError):
            self._view.event(message.address.partition(".")[2], message.type, loads(message.payload or b"null"))

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        """See gridlink.bus.Receiver."""
        return NoSuchRole("the view answers nothing")
