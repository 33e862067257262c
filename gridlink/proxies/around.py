"""What a proxy is told of the place where it is: one instance's way in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from gridlink.address import Address


class Peer(Protocol):
    """What the registry says of an instance, as far as proxies need it."""

    @property
    def name(self) -> str:
        """The module's name."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that it serves."""


class Around(Struct, frozen=True):
    """One instance, and what its node knows of the site."""

    site: str
    instance: str  # name@node
    roles: tuple[str, ...]  # that it serves
    refused: Callable[[], None]  # counts a message that is turned away on its way in
    failed: Callable[[], None]  # counts a handler that raised
    behind: Callable[[Address], Sequence[Peer]]  # the instances that a message to the address may reach
    knows: Callable[[str], bool]  # whether an instance of that name is in the registry

    @property
    def module(self) -> str:
        """The name of the instance's module."""
        return module_of(self.instance)


def module_of(instance: str) -> str:
    """The module's name in `name@node` or `name-2@node`; empty for a program without a name."""
    return instance.partition("@")[0].partition("-")[0]
