"""Keeps taken-in commands on the disk, one change at a time; a disk that refuses keeps nobody from commanding."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from appmanager.provisioning.blocking import in_thread, said
from appmanager.store.waiting import Kept, Waiting

T = TypeVar("T")


class Keeping:
    """Of one AppManager."""

    def __init__(self, waiting: Waiting, log: logging.LoggerAdapter[logging.Logger]) -> None:
        self._waiting, self._log = waiting, log
        self._alone = asyncio.Lock()

    async def add(self, id: str, what: str, document: dict[str, Any]) -> None:
        """Keeps a command until it is removed; where the disk refuses, it is in memory alone, and that is logged."""
        await self._do(lambda: self._waiting.add(id, what, document), None)

    async def remove(self, id: str) -> None:
        """It has ended, and is on record."""
        await self._do(lambda: self._waiting.remove(id), None)

    async def all(self) -> list[Kept]:
        """What a former AppManager has left, in the order in which it came."""
        return await self._do(self._waiting.all, [])

    async def _do(self, work: Callable[[], T], otherwise: T) -> T:
        try:
            async with self._alone:
                return await in_thread(work)
        except OSError as error:
            self._log.warning("commands that wait can't be kept on the disk: %s", said(error))
            return otherwise
