"""Nodes with probes, for the registry's tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from gridlink import Module, Topic, request, subscribe
from gridlink.manifest import Manifest
from gridlink.module.module import HostSpec, Loaded
from gridlink.node import Node
from gridlink.registry import Registry


@dataclass(frozen=True)
class Number:
    """A payload."""

    value: int


class Probe(Module[None]):
    """Serves a role, hears a topic, publishes on another."""

    roles = ("probe",)
    publishes = (Topic("news", number=Number),)

    @request("double")
    async def double(self, number: Number) -> Number:
        return Number(number.value * 2)

    @subscribe("measurement", "number")
    async def on_number(self, number: Number) -> None: ...


NewNode = Callable[..., Awaitable[Node]]


async def host(node: Node, name: str, directory: Path) -> None:
    """Hosts a probe under a name."""
    manifest = Manifest(name=name, version="1.2.3", entry="probe:Probe")
    await node.host(HostSpec(manifest, lambda: Loaded(Probe), directory, directory / name, "node", {}))


def names(node: Node | Registry) -> list[str]:
    """The RUNNING instances that a node knows."""
    registry = node.registry if isinstance(node, Node) else node
    return [entry.instance for entry in registry.find()]
