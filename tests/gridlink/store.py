"""A nats-server with a JetStream server as its leaf, as a node starts them."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gridlink.bus.durable.jetstream import JetStream
from gridlink.bus.durable.settings import JetStreamSettings
from gridlink.bus.leaf import leaf_configuration, with_leaf_listener
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server, configuration
from gridlink.errors import StoreUnavailable
from gridlink.node.leaf import free_port
from tests.gridlink.conftest import require_nats_server


@dataclass
class Store:
    """The two servers."""

    main: Server
    leaf: Server

    @property
    def url(self) -> str:
        """Where clients connect."""
        return self.main.url

    def kill_leaf(self) -> None:
        """Ends the JetStream server at once, as a power cut would."""
        os.kill(self.leaf.pid, signal.SIGKILL)
        os.waitpid(self.leaf.pid, 0)
        self.leaf.pid = 0


async def answers(bus: NatsBus) -> bool:
    """Whether the store does: its server is a leaf, which connects by itself and after it is started."""
    try:
        await JetStream(bus.raw()).call("STREAM.NAMES")
    except StoreUnavailable:
        return False
    return True


@contextmanager
def new_store(directory: Path, settings: JetStreamSettings | None = None, authorization: str = "") -> Iterator[Store]:
    """Both, started; they end with the `with`. `authorization`: who may connect to the node's server."""
    require_nats_server()
    port, password = free_port(), secrets.token_hex(8)
    for name in ("nats", "jetstream"):
        (directory / name).mkdir(parents=True)
    main_file, leaf_file = (directory / name / "nats-server.conf" for name in ("nats", "jetstream"))
    main_file.write_text(
        authorization + with_leaf_listener(configuration("test", -1, str(main_file.parent)), port, password)
    )
    settings = settings or JetStreamSettings(max_file_mib=1024.0)
    leaf_file.write_text(leaf_configuration("test", str(leaf_file.parent), port, password, settings))
    with Server(str(main_file)) as main, Server(str(leaf_file)) as leaf:
        yield Store(main, leaf)
