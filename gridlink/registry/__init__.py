"""The registry: what every node knows of every instance in its site."""

from gridlink.registry.entry import Entry
from gridlink.registry.registry import Registry
from gridlink.registry.view import Change

__all__ = ["Change", "Entry", "Registry"]
