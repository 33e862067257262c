"""The node: one process, one bus connection, one registry, and the instances that share them.

`Node` is imported when it is used: `python -m gridlink.node` comes here before it has chosen what asyncio brings.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gridlink.node.node import Node

__all__ = ["Node"]


def __getattr__(name: str) -> object:
    if name != "Node":
        raise AttributeError(f"gridlink.node has no {name!r}")
    from gridlink.node import node  # noqa: PLC0415 - see above

    return node.Node
