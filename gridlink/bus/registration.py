"""A receiver's registration with a NatsBus: in the node, and, as its address's last one, at the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gridlink.address import Address
from gridlink.bus.local import Registration

if TYPE_CHECKING:
    from gridlink.bus.nats import NatsBus


class NatsRegistration:
    """A receiver's registration with a NatsBus."""

    def __init__(self, bus: NatsBus, address: Address, local: Registration) -> None:
        self._bus, self._address, self._local = bus, address, local

    async def aclose(self) -> None:
        """Ends the registration; may be called twice. The receiver takes what comes until the server sends no more."""
        if self._local.is_last:
            await self._bus.forget(self._address)
        self._local.close()
