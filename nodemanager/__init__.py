"""The NodeManager: hosts many modules in one interpreter."""

from nodemanager.nodemanager import NodeManager

__all__ = ["NodeManager"]
