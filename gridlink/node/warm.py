"""Loads what every node loads, for a process that others are forked from. Makes no loop and no thread.

What a node works out from types once (of its settings, of a manifest, of the registry's messages) is worked out here
too: 0.3 MiB less of a child's own.
"""

from __future__ import annotations

from importlib import import_module

NEEDED = (
    "gridlink.node.process",
    "gridlink.bus.nats",
    "gridlink.module",
    "gridlink.compatibility",
)


def load() -> None:
    """Imports all of it. Raises ImportError, or what a broken package raises."""
    for name in NEEDED:
        import_module(name)


def prepare() -> None:
    """Fills the caches that a node's start fills. `load` must have been called."""
    import msgspec  # noqa: PLC0415 - the guardian imports this file

    from gridlink.codec import codec, encode  # noqa: PLC0415
    from gridlink.contract import contract_of, describe  # noqa: PLC0415
    from gridlink.manifest import parse  # noqa: PLC0415
    from gridlink.module import Module, request  # noqa: PLC0415
    from gridlink.node.settings import HostSetting, NodeSettings  # noqa: PLC0415
    from gridlink.registry.entry import KINDS  # noqa: PLC0415

    class Any(Module[None]):
        """Stands for any module."""

        @request("status")
        async def status(self) -> str:
            return ""

    settings = NodeSettings("site", "node", "machine", hosts=(HostSetting("directory", "data"),))
    msgspec.json.decode(encode(settings), type=NodeSettings)
    parse({"name": "any", "version": "1.0.0", "entry": "any:Any", "uses": {"role a": ["b"]}}, "module.json")
    for kind in KINDS.values():
        codec(kind)
    describe(contract_of(Any))
