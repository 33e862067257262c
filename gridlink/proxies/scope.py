"""What a proxy is for: the whole site, a role or topic, a module. Pure, but for what it asks of the registry.

A message belongs to a role or topic by its address; one to an instance belongs to the roles of that instance. It
belongs to a module that sends it, or that it may reach.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec

from gridlink import address
from gridlink.address import Address
from gridlink.message import Call, Message
from gridlink.proxies.around import Around, module_of
from gridlink.proxies.chain import Proxy

Names = str | tuple[str, ...]


class Scope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `for` of an entry: names, or lists of them. Empty: everything. A module narrows roles and topics down."""

    role: Names = ()
    topic: Names = ()
    module: Names = ()

    @property
    def roles(self) -> frozenset[str]:
        """The roles named."""
        return _names(self.role)

    @property
    def modules(self) -> frozenset[str]:
        """The modules named."""
        return _names(self.module)

    @property
    def addresses(self) -> frozenset[Address]:
        """The addresses of the roles and topics named. Raises AddressInvalid."""
        return frozenset((*map(address.role, self.roles), *map(address.topic, _names(self.topic))))


def _names(given: Names) -> frozenset[str]:
    return frozenset((given,) if isinstance(given, str) else given)


class Coverage:
    """Whether a message of one instance is in a scope."""

    def __init__(self, scope: Scope, around: Around) -> None:
        self._addresses, self._roles, self._modules = scope.addresses, scope.roles, scope.modules
        self._around = around
        self._own = around.module in self._modules
        self._serves = not self._roles.isdisjoint(around.roles)
        self.everything = not self._addresses and (not self._modules or self._own)

    def outgoing(self, message: Message) -> bool:
        """Whether a message that the instance sends is in the scope. Where the registry doesn't know, it is."""
        if self.everything:
            return True
        to = message.address
        return self._addressed_to(to) and (self._own or not self._modules or self._reaches(to))

    def incoming(self, message: Message) -> bool:
        """Whether a message that the instance gets is in the scope."""
        if self.everything:
            return True
        to = message.address
        addressed = not self._addresses or to in self._addresses or (self._serves and to.startswith("instance."))
        return addressed and (self._own or not self._modules or module_of(message.source) in self._modules)

    def _addressed_to(self, to: Address) -> bool:
        if not self._addresses or to in self._addresses:
            return True
        if not self._roles or not to.startswith("instance."):
            return False
        peers = self._around.behind(to)
        return not peers or any(not self._roles.isdisjoint(peer.roles) for peer in peers)

    def _reaches(self, to: Address) -> bool:
        if to.startswith("instance."):
            return module_of(to.rpartition(".")[2]) in self._modules
        return any(peer.name in self._modules for peer in self._around.behind(to))


class Scoped(Proxy):
    """A proxy for the messages of its scope alone; the others pass beside it."""

    def __init__(self, proxy: Proxy, coverage: Coverage) -> None:
        self._proxy, self._coverage = proxy, coverage

    def outgoing(self, call: Call) -> Call:
        """See Proxy."""
        within, covers = self._proxy.outgoing(call), self._coverage.outgoing

        def scoped(message: Message) -> Awaitable[Any]:
            return (within if covers(message) else call)(message)

        return scoped

    def incoming(self, call: Call) -> Call:
        """See Proxy."""
        within, covers = self._proxy.incoming(call), self._coverage.incoming

        def scoped(message: Message) -> Awaitable[Any]:
            return (within if covers(message) else call)(message)

        return scoped
