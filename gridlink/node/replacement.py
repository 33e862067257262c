"""One instance takes over from another of the same name in the same node: another version of a module.

The former one is held already (see gridlink.node.succession): its state is on disk, and it keeps what comes. Where the
new one doesn't start it goes on keeping that, for whoever follows next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gridlink.module.instance import Instance


class Replacing:
    """The side of the instance that follows."""

    def __init__(self, former: Instance) -> None:
        self._former = former

    @classmethod
    async def of(cls, former: Instance, instance: Instance) -> Replacing:
        """Has a held instance know who follows it."""
        await former.hold(_kept_already, instance.handle)
        instance.follows = True
        return cls(former)

    async def go_on(self, instance: Instance) -> None:
        """Handles what came meanwhile, and ends the former instance."""
        instance.go_on_from(self._former.waiting())
        try:
            await self._former.stop()
        finally:
            await instance.catch_up()


async def _kept_already(instance: Instance) -> bytes | None:
    return instance.state_to_restore
