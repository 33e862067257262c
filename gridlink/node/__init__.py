"""The node: one process, one bus connection, one registry, and the instances that share them."""

from gridlink.node.node import Node

__all__ = ["Node"]
