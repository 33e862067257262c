"""Has running modules take other configurations: what their files say, whoever wrote those, or what a command says.

What a module refuses leaves everything as it was. Files are looked at on the node's heartbeat, which costs no wake-up,
no library and no descriptor; see docs/decisions/0017.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from gridlink.codec import dumps
from gridlink.config import write_atomically
from gridlink.errors import ConfigInvalid, NoSuchInstance, PayloadInvalid
from gridlink.module.instance import Instance
from gridlink.node.configuration.configured import Configured
from gridlink.node.configuration.order import in_order_of
from gridlink.node.configuration.stamp import settled, stamp
from gridlink.tasks import Tasks

log = logging.getLogger("gridlink.node")


class Configurator:
    """Of one node. `tell(instance, reason)` announces why an instance hasn't what its file says; "": it has."""

    def __init__(self, tell: Callable[[str, str], Awaitable[None]]) -> None:
        self._tell = tell
        self._tasks = Tasks("configuration")
        self._known: dict[str, tuple[Instance, Configured]] = {}

    def add(self, instance: Instance, configured: Configured) -> None:
        """Begins to look at the file of an instance that runs."""
        self._known[instance.name] = instance, configured

    def remove(self, instance: str) -> None:
        """Looks no more. May be called for one that isn't known."""
        known = self._known.pop(instance, None)
        if known is not None and known[1].task is not None:
            known[1].task.cancel()

    def look(self) -> None:
        """Looks once at all files; one that was changed is taken as soon as it has settled. Raises nothing."""
        for name, (instance, one) in self._known.items():
            if one.file is not None and one.task is None and instance.configurable and stamp(one.file) != one.seen:
                one.task = self._tasks.spawn(self._changed(name), name=f"configuration of {name}")

    async def _changed(self, name: str) -> None:
        instance, one = self._known[name]
        try:
            if one.file is not None:
                now = await settled(one.file)
                if one.is_anothers():
                    one.seen = now
                elif now != one.seen and instance.configurable:  # a command may have taken it meanwhile
                    await self.take(name)
        except ConfigInvalid:
            log.debug("%s: told already", instance.name)
        finally:
            one.task = None

    async def take(self, name: str) -> None:
        """Has an instance take what its file says now. Raises ConfigInvalid, which is told and logged too.

        Where it has that already, nothing happens. Cancelling it may leave it taken or not.
        """
        instance, one = self._get(name)
        if one.file is None:
            raise ConfigInvalid(f"{name} was given its configuration when it was started: it has no file to read")
        async with one.lock:
            one.seen = stamp(one.file)
            try:
                value, content, document = one.read_file()
                before, differs = one.document, bool(value != one.value)
                if differs:
                    await instance.configure(value)
            except ConfigInvalid as error:
                instance.counters.refused_configurations += 1
                one.refused = f"{one.file.name} is refused, the old values stay: {error}"
                log.error("%s: %s", one.module, one.refused)  # noqa: TRY400 - the sentence says it all
                await self._tell(name, one.reason)
                raise
            one.take(value, content, document)
            if differs:
                _count(instance, one, before)
            await self._tell(name, one.reason)

    async def apply(self, name: str, document: Any) -> None:
        """Has an instance take a document; then its file, if it has one, is written, in the order that it had.

        Raises ConfigInvalid where the module refuses it or it can't be written, and then nothing has changed;
        NoSuchInstance. Cancelled just as the module takes it, the file may not have it yet: apply it again.
        """
        instance, one = self._get(name)
        async with one.lock:
            before = one.document
            try:
                await self._apply(instance, one, in_order_of(document, before))
            except ConfigInvalid:
                instance.counters.refused_configurations += 1
                raise
            _count(instance, one, before)
            if one.file is not None:
                await asyncio.to_thread(_sync, one.file.parent)
            await self._tell(name, one.reason)

    async def _apply(self, instance: Instance, one: Configured, document: Any) -> None:
        value = one.read(document)
        content = _spelled(document, one.where)
        beside = await _written_beside(one.file, content)
        try:
            if value != one.value:
                await instance.configure(value)
            if one.file is not None and beside is not None:
                await _replace(instance, one.value, beside, one.file)
                one.seen = stamp(one.file)
        except BaseException:
            if beside is not None:
                beside.unlink(missing_ok=True)
            raise
        one.take(value, content if one.file is not None else b"", document)

    async def aclose(self) -> None:
        """Ends what is under way. May be called twice."""
        await self._tasks.aclose()

    def _get(self, name: str) -> tuple[Instance, Configured]:
        known = self._known.get(name)
        if known is None:
            raise NoSuchInstance(f"no instance {name!r} runs here: it has {', '.join(self._known) or 'none'}")
        return known


async def _replace(instance: Instance, old: Any, beside: Path, file: Path) -> None:
    """Puts the new file in place. The module, which has taken it, takes the old values where that fails.

    It awaits nothing where it works: a cancellation must not come between what the module has and what the file says.
    """
    try:
        os.replace(beside, file)
    except OSError as error:
        await instance.configure(old)
        raise ConfigInvalid(f"{file} can't be written: {error}") from error


def _sync(directory: Path) -> None:
    """Has the disk know the new name of a file in the directory."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


async def _written_beside(file: Path | None, content: bytes) -> Path | None:
    """The content on the disk, beside the file, before the module is asked: a full disk is a refusal too."""
    if file is None:
        return None
    beside = file.with_name(f".{file.name}.new")
    try:
        await asyncio.to_thread(write_atomically, beside, content)
    except OSError as error:
        raise ConfigInvalid(f"{file} can't be written: {error}") from error
    return beside


def _spelled(document: Any, where: str) -> bytes:
    try:
        return dumps(document, indent=True) + b"\n"
    except (PayloadInvalid, TypeError, ValueError) as error:
        raise ConfigInvalid(f"{where}: expected what JSON can hold: {error}") from error


def _count(instance: Instance, one: Configured, before: Any) -> None:
    instance.counters.configured += 1
    known = before if isinstance(before, dict) else {}
    now = one.document if isinstance(one.document, dict) else {}
    names = [name for name in {**known, **now} if known.get(name) != now.get(name)]
    log.info("%s took another configuration: %s", one.module, ", ".join(names) or "defaults")
