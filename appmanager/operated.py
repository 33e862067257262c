"""What operators ask an AppManager's instance for. How it is done is loaded with the first command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from appmanager.config import Config
from appmanager.orders import (
    Begun,
    BundleOrder,
    ConfigureOrder,
    Ended,
    History,
    HistoryOrder,
    Inventory,
    InventoryOrder,
    Logs,
    LogsOrder,
    RollbackOrder,
    RunOrder,
    StoreAt,
    StoreKept,
    UninstallOrder,
    Word,
)
from gridlink.contract import Topic
from gridlink.errors import Refused
from gridlink.message import message
from gridlink.module import Module, request

if TYPE_CHECKING:
    from appmanager.durable_store import DurableStore
    from appmanager.operating import Operating
    from appmanager.turns import Turns

TOPIC = "provisioning"


class Operated(Module[Config]):
    """An AppManager, as operators see it. Commands go to an instance: a role would reach any machine's."""

    publishes: ClassVar[tuple[Topic, ...]] = (Topic(TOPIC, step=Begun, ended=Ended),)
    _log_reading: Turns | None = None  # made with the first one

    async def operating(self) -> Operating:
        """What carries commands out; made with the first one."""
        raise NotImplementedError

    def durable_store(self) -> DurableStore:
        """What starts the site's store."""
        raise NotImplementedError

    async def _asked(self) -> Operating:
        self._check_asked()
        return await self.operating()

    def _check_asked(self) -> None:
        if message().address.startswith("role."):
            raise Refused(f"commands go to one machine's AppManager: send this to {self.instance}, not to its role")

    @request("install")
    async def install(self, order: BundleOrder) -> Ended:
        """Installs a module from a packed bundle, and starts it. Where it can't run, nothing is left of it."""
        return await (await self._asked()).bundle("install", order)

    @request("update")
    async def update(self, order: BundleOrder) -> Ended:
        """Replaces a module's version; its state and what is sent to it go on. Where it can't, the old one runs on."""
        return await (await self._asked()).bundle("update", order)

    @request("configure")
    async def change_configuration(self, order: ConfigureOrder) -> Ended:
        """Has a module take other values, and writes them to its config.json. Refused, all is as it was."""
        return await (await self._asked()).configure(order)

    @request("uninstall")
    async def uninstall(self, order: UninstallOrder) -> Ended:
        """Ends a module and removes it."""
        return await (await self._asked()).uninstall(order)

    @request("rollback")
    async def rollback(self, order: RollbackOrder) -> Ended:
        """Goes back to a version that is kept, and its state."""
        return await (await self._asked()).rollback(order)

    @request("start")
    async def start_module(self, order: RunOrder) -> Ended:
        """Starts a module that was stopped, or that FAILED."""
        return await self._run("start", order)

    @request("stop")
    async def stop_module(self, order: RunOrder) -> Ended:
        """Stops a module, until it is started, or its node is."""
        return await self._run("stop", order)

    @request("restart")
    async def restart_module(self, order: RunOrder) -> Ended:
        """Stops a module and starts it."""
        return await self._run("restart", order)

    @request("kill")
    async def kill_module(self, order: RunOrder) -> Ended:
        """Ends a module at once: its process is killed, or its NodeManager drops it."""
        return await self._run("kill", order)

    async def _run(self, word: Word, order: RunOrder) -> Ended:
        return await (await self._asked()).run(word, order)

    @request("history")
    async def history(self, order: HistoryOrder) -> History:
        """The commands on record, the oldest first."""
        return await (await self._asked()).history(order)

    @request("startStore")
    async def start_store(self) -> StoreAt:
        """Has the site's store started, if it doesn't run yet, and says where it is: see DurableStore.started."""
        self._check_asked()
        return await self.durable_store().started()

    @request("storeKept")
    async def store_kept(self) -> StoreKept:
        """Whether the site's store has something: who only looks need not have it started. See DurableStore.kept."""
        self._check_asked()
        return self.durable_store().kept()

    @request("inventory")
    async def inventory(self, order: InventoryOrder) -> Inventory:
        """The modules with their versions, digests, configurations and modes: what `gridlink apply` compares."""
        return await (await self._asked()).inventory(order)

    @request("logs")
    async def logs(self, order: LogsOrder) -> Logs:
        """What the processes of this machine have logged, also those that have ended. A few are answered at once."""
        from appmanager.log_reading import read  # noqa: PLC0415 - where somebody looks
        from appmanager.provisioning.blocking import in_own_thread  # noqa: PLC0415
        from appmanager.turns import Turns  # noqa: PLC0415

        self._log_reading = self._log_reading or Turns("logs are read")
        directory = Path(self.config.managed) / ".gridlink" / "logs"
        async with self._log_reading.turn():
            return await in_own_thread(lambda: read(directory, order))
