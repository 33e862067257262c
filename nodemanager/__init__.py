"""The NodeManager: hosts many modules in one interpreter. Its class is imported when it is used."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nodemanager.nodemanager import NodeManager

__all__ = ["NodeManager"]


def __getattr__(name: str) -> object:
    if name != "NodeManager":
        raise AttributeError(f"nodemanager has no {name!r}")
    from nodemanager import nodemanager  # noqa: PLC0415 - a command that reads settings doesn't need it

    return nodemanager.NodeManager
