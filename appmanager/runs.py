"""Commands that leave no journal: `start`, `stop`, `restart`, `kill`, `move`. Each is done once, and put on record.

One that was cut off by the end of its node is not done again: what it asked for lasts until then alone.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from msgspec import structs

from appmanager.keeping import Keeping
from appmanager.orders import Ended, Word
from appmanager.permission import Asker
from appmanager.provisioning.blocking import in_thread, said
from appmanager.store.record import Entry, Record
from gridlink.errors import Busy, GridlinkError, Refused

if TYPE_CHECKING:
    from appmanager.appmanager import AppManager

REMEMBERED = 256
CUT_OFF = "its node was restarted while it was carried out: look, and ask with another id"


class Runs:
    """Of one AppManager. `append` puts an entry on record, alone."""

    def __init__(
        self, manager: AppManager, record: Record, keeping: Keeping, append: Callable[[Entry], Awaitable[None]]
    ) -> None:
        self._manager, self._record, self._keeping, self._append = manager, record, keeping, append
        self._known: OrderedDict[str, tuple[Word, str, asyncio.Future[Ended]]] = OrderedDict()

    async def run(
        self,
        word: Word,
        id: str,
        module: str,
        asker: Asker,
        check: Callable[[], None],
        do: Callable[[], Awaitable[str]],
    ) -> asyncio.Future[Ended]:
        """Has it done, once an id; its outcome. `do` says why it failed, or nothing.

        Raises Busy, what `check` raises, and Refused: the id is another command's. A signed one that is refused has
        that as its outcome, on record: whoever sends its bytes again, when it could be done, gets the same.
        """
        recalled = await self._recalled(id) if id not in self._known else None
        known = self._known.get(id)
        if known is not None:
            _same(id, (word, module), known[:2])
            return known[2]
        told: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        if recalled is not None:
            _same(id, (word, module), (recalled.kind, recalled.module))
            told.set_result(_ended(recalled, word))
            return told
        entry = Entry(id, word, module, "done", who=asker.who, signed=asker.nkey)
        try:
            check()
            if module in self._manager.under_way():
                raise Busy(f"{module}: another command is being carried out: wait for its end")
        except GridlinkError as error:
            if not asker.nkey:
                raise
            work = self._end(_with(entry, "refused", str(error)), word, told)
        else:
            self._manager.moving.add(module)
            self._manager.touched.begin(module, word)
            work = self._run(entry, word, do, told)
        self._known[id] = word, module, told
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        self._manager.tasks.spawn(work, name=f"{word} {module}")
        return told

    async def _run(
        self, entry: Entry, word: Word, do: Callable[[], Awaitable[str]], told: asyncio.Future[Ended]
    ) -> None:
        try:
            kept = {
                "id": entry.id,
                "kind": entry.kind,
                "module": entry.module,
                "who": entry.who,
                "signed": entry.signed,
            }
            await self._keeping.add(entry.id, "run", kept)
            reason = await do()
        except (GridlinkError, OSError) as error:  # a TimeoutError is one
            reason = str(error)
        except Exception as error:  # a defect of ours: whoever waits is to hear of it
            self._manager.log.exception("%s %s", entry.kind, entry.module)
            reason = said(error)
        finally:
            self._manager.moving.discard(entry.module)
            self._manager.touched.end(entry.module, word)
        await self._end(_with(entry, "refused" if reason else "done", reason), word, told)

    async def _end(self, entry: Entry, word: Word, told: asyncio.Future[Ended]) -> None:
        """It is on record before it is told."""
        unrecorded = await self._on_record(entry)
        ended = _ended(entry, word)
        told.set_result(structs.replace(ended, reason="; ".join(filter(None, (entry.reason, unrecorded)))))

    async def done_unasked(self, word: Word, module: str, why: str, who: str, failed: str) -> None:
        """Puts on record what was done to a module though nobody has commanded it, and why it `failed` if it has."""
        outcome, reason = ("refused", f"{why}; {failed}") if failed else ("done", why)
        await self._on_record(Entry(secrets.token_hex(8), word, module, outcome, reason, who))

    async def cut_off(self, document: dict[str, Any]) -> None:
        """Puts on record what a former AppManager had begun, if it had not."""
        known_as, kind, module = document["id"], document["kind"], document["module"]
        entry = Entry(known_as, kind, module, "refused", CUT_OFF, document["who"], signed=document["signed"])
        if await self._recalled(entry.id) is None:
            self._manager.log.warning("%s %s: %s", entry.kind, entry.module, CUT_OFF)
            await self._on_record(entry)
        else:
            await self._keeping.remove(entry.id)

    async def _recalled(self, id: str) -> Entry | None:
        try:
            return await in_thread(lambda: self._record.find(id))
        except OSError as error:  # a disk that has died keeps nobody from stopping a module
            self._manager.log.error("the record can't be read: %s", said(error))  # noqa: TRY400
            return None

    async def _on_record(self, entry: Entry) -> str:
        """Why it is not there; nothing where it is."""
        try:
            await self._append(_with(entry, entry.outcome, entry.reason, time.time()))
        except (GridlinkError, OSError) as error:
            self._manager.log.error("%s %s is not on record: %s", entry.kind, entry.module, error)  # noqa: TRY400
            return f"not on record: {said(error)}"
        await self._keeping.remove(entry.id)
        return ""


def _with(entry: Entry, outcome: str, reason: str, at_s: float = 0.0) -> Entry:
    return Entry(entry.id, entry.kind, entry.module, outcome, reason, entry.who, at_s=at_s, signed=entry.signed)


def _ended(entry: Entry, word: Word) -> Ended:
    return Ended(entry.id, entry.module, word, "done" if entry.outcome == "done" else "refused", entry.reason)


def _same(id: str, again: tuple[str, str], first: tuple[str, str]) -> None:
    if again != first:
        raise Refused(f"the id {id} is that of another command ({' '.join(first)}): make a new one")
