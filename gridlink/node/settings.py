"""What a node process is told by whoever starts it: one JSON document on its command line."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


class HostSetting(Struct, frozen=True):
    """A bundle to host from the start. `config`: a document that stands in for its config.json."""

    directory: str
    data_dir: str
    mode: str = "node"
    config: dict[str, Any] | None = None
    installed: bool = False  # the entry is one of this Python's own packages
    managed_by: tuple[str, ...] = ()
    note: str = ""  # why it doesn't run in the mode that was asked for
    follows: str = ""  # the instance that it takes over from
    start_within_s: float = 0.0  # while that one waits; 0: as long as the module says
    hung: int = 0  # times that its node was replaced because it held the loop
    supervises: bool = False  # the AppManager: it is given the pipes to the guardian


class LogSetting(Struct, frozen=True):
    """Where log records go: always stderr, and a bounded file if one is named."""

    file: str = ""
    json: bool = False
    level: str = "INFO"


class NodeSettings(Struct, frozen=True):
    """A node process. `url` is empty for the in-process bus."""

    site: str
    node: str
    machine: str
    url: str = ""
    hosts: tuple[HostSetting, ...] = ()
    log: LogSetting = field(default_factory=LogSetting)
    node_file: str = ""  # where the commands find this node
    site_file: str = ""  # the site's proxies; empty where there are none
    blocked: dict[str, str] = field(default_factory=dict)  # modules not to start, and why; empty: it runs elsewhere
    trust: str = ""  # the trust directory of a cluster whose servers find each other by multicast
    states: str = ""  # where the checkpoints of its modules are kept; empty: nowhere
    checkpoint_s: float = 30.0  # between two checkpoints of a module
    accepted: str = ""  # where the configurations are kept that modules took last; empty: nowhere


class NodeFile(Struct, frozen=True):
    """`.gridlink/node.json`: where the commands find a running node."""

    site: str
    node: str
    url: str
    pids: dict[str, int]
    environment: dict[str, str] = field(default_factory=dict)  # what a client of its server needs: NATS_NKEY, …
