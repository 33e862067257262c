"""A node as an operating system process: makes the loop, joins the site, hosts what its settings name, ends in order.

It ends on SIGTERM or SIGINT, and when the guardian at the other end of its lifeline is gone. Into the lifeline it
writes `r` once when it is ready and a heartbeat twice a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from gridlink.bus import Bus
from gridlink.bus.local import LocalBus
from gridlink.config import credentials
from gridlink.errors import GridlinkError
from gridlink.module.module import HostSpec
from gridlink.node.bundle import load_alone, load_entry, read_bundle
from gridlink.node.logs import set_up
from gridlink.node.node import Node
from gridlink.node.settings import HostSetting, NodeSettings
from gridlink.tasks import Tasks

log = logging.getLogger("gridlink.node")

BEAT_S = 0.5
READY, BEAT = b"r", b"."


def run(settings: NodeSettings) -> int:
    """Runs a node until it is told to end; returns the process's exit status."""
    set_up(settings.log)
    try:
        return run_loop(_run(settings))
    except GridlinkError as error:
        log.error("%s", error)  # noqa: TRY400 - an operator's mistake: the sentence says it all
        return 1


def run_loop(main: Coroutine[Any, Any, int]) -> int:
    """Runs `main` on uvloop where it is installed, else on asyncio's own loop."""
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        from uvloop import new_event_loop as loop_factory  # noqa: PLC0415 - optional
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main)


async def open_bus(site: str, node: str, url: str) -> Bus:
    """A bus for the node: over NATS where there is a URL, else in this process alone. Raises ServerUnreachable."""
    if not url:
        return LocalBus(node, site)
    from gridlink.bus.nats import NatsBus  # noqa: PLC0415 - 3.6 MiB that a node on the local bus needn't have

    bus = NatsBus(site, node)
    await bus.connect(url, credentials())
    return bus


async def _run(settings: NodeSettings) -> int:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    bus = await open_bus(settings.site, settings.node, settings.url)
    tasks = Tasks("process")
    node = Node(bus, settings.machine)
    if hasattr(bus, "on_reconnect"):
        bus.on_reconnect = node.registry.rejoin
    async with node, _Lifeline(settings.lifeline_fd, ending) as lifeline:
        tasks.spawn(lifeline.beat(), name="heartbeat")
        starting = tasks.spawn(_host_all(node, settings.hosts), name="hosting")
        over = tasks.spawn(ending.wait(), name="ending")
        await asyncio.wait({starting, over}, return_when=asyncio.FIRST_COMPLETED)
        failed = starting.done() and starting.exception() is not None
        if not failed and not ending.is_set():
            lifeline.ready()
            await ending.wait()
        starting.cancel()
        await node.aclose()
        await tasks.aclose()
    return 1 if failed else 0


async def _host_all(node: Node, hosts: tuple[HostSetting, ...]) -> None:
    for setting in hosts:
        bundle = read_bundle(Path(setting.directory))
        target = load_entry(bundle.manifest.entry) if setting.installed else load_alone(bundle)
        await node.host(
            HostSpec(
                manifest=bundle.manifest,
                target=target,
                directory=bundle.directory,
                data_dir=Path(setting.data_dir),
                mode=setting.mode,
                config=setting.config,
                managed_by=setting.managed_by,
            )
        )


class _Lifeline:
    """The socket to the guardian: our heartbeats go out, and its end of file means that the guardian is gone."""

    def __init__(self, fd: int, ending: asyncio.Event) -> None:
        self._socket = socket.socket(fileno=fd) if fd >= 0 else None
        self._ending = ending

    async def __aenter__(self) -> _Lifeline:
        if self._socket is not None:
            self._socket.setblocking(False)
            asyncio.get_running_loop().add_reader(self._socket, self._guardian_gone)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()

    def ready(self) -> None:
        """Says that all there is to host has been started."""
        self._write(READY)

    async def beat(self) -> None:
        """Says that the loop runs, twice a second."""
        while self._socket is not None:
            self._write(BEAT)
            await asyncio.sleep(BEAT_S)

    def _write(self, what: bytes) -> None:
        if self._socket is not None:
            with contextlib.suppress(BlockingIOError, BrokenPipeError, OSError):
                self._socket.send(what)

    def _guardian_gone(self) -> None:
        log.error("the guardian is gone: this node ends")
        asyncio.get_running_loop().remove_reader(self._socket.fileno())  # type: ignore[union-attr]
        self._ending.set()


def main() -> None:
    """`python -m gridlink.node SETTINGS`: a process of its own for one bundle."""
    settings = msgspec.convert(json.loads(sys.argv[1]), NodeSettings)
    status = run(settings)
    sys.stderr.flush()
    os._exit(status)  # a module's stuck thread must not keep the process
