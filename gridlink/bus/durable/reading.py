"""Reads a durable topic for one module: hands its stored events over one after the other, in their order.

An event is on its way until it is settled; then comes the next. Whatever fails (connection, server, stream) is met by
asking anew, for as long as it takes: the server knows how far the module got.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from gridlink.bus import wire
from gridlink.bus.durable.document import (
    ACK_PREFIX,
    ACK_WAIT_S,
    Delivery,
    consumer_config,
    delivery,
    stream_name,
)
from gridlink.bus.durable.jetstream import JetStream
from gridlink.bus.durable.settings import Kept
from gridlink.bus.raw import NoReply
from gridlink.codec import dumps
from gridlink.errors import ConnectionLost, GridlinkError, StoreRefused

log = logging.getLogger("gridlink.bus")

ACK, NEXT, AGAIN, _WORKING = b"+ACK", b"+NXT", b"-NAK", b"+WPI"

BEAT_S = 1.0  # the server says that it is there
SILENT_S = 3.0
PULL_S = 60.0  # then it is asked anew
PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)
_BEAT, _OVER, _BOUND = "100", "408", 64  # statuses: the server is there; the pull's time is over
_GONE_S = 0.3  # before a consumer that has gone is made anew: its stream may be being deleted
# One event a pull: a server that has a pull for more delivers over and over to a reader that has just gone.
_WANTED = dumps({"batch": 1, "expires": int(PULL_S * 1e9), "idle_heartbeat": int(BEAT_S * 1e9)})


def again(after_s: float) -> bytes:
    """The verdict by which an event comes again after a while, and none of those behind it before."""
    return AGAIN + b" " + dumps({"delay": int(after_s * 1e9)})


class Reader:
    """Made for one module and topic; `open`, then `next` and `settle` in turn, `aclose` at the end.

    `ensure` makes the topic's stream, and returns what the server says of it. `on_missed` is told how many events were
    discarded before the module got them.
    """

    def __init__(
        self,
        jetstream: JetStream,
        topic: str,
        module: str,
        kept: Kept,
        ensure: Callable[[], Awaitable[Any]],
        on_missed: Callable[[int], None],
    ) -> None:
        self._jetstream, self._raw, self._topic, self._kept = jetstream, jetstream.raw, topic, kept
        self._module, self._ensure, self._on_missed = module, ensure, on_missed
        self._inbox = self._raw.new_inbox()
        self._numbers = itertools.count(1)
        self._pull = b""  # the subject that the open pull is answered on; empty: none is open
        self._found = False  # the consumer is known to be there
        self._created = ""  # when the stream was made: another one counts anew
        self._settled = 0  # the place of the last event that was acknowledged
        self._arrived: asyncio.Queue[Delivery | str] = asyncio.Queue()
        self._end: Callable[[], Awaitable[None]] | None = None
        self._holding: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Subscribes, and makes the consumer. Raises one of NoReply or StoreRefused; `next` tries again."""
        self._end = await self._raw.listen(f"{self._inbox}.*", self._take)
        self._raw.on_lost.add(self._lost)
        await self._find()

    async def aclose(self) -> None:
        """Takes no more; what is on its way is delivered again to whoever reads next. May be called twice."""
        self._stop_holding()
        self._raw.on_lost.discard(self._lost)
        end, self._end = self._end, None
        if end is not None:
            await end()

    async def next(self) -> Delivery:
        """The next event; waits as long as there is none."""
        while True:
            if not self._pull:
                await self._ask()
            try:
                async with asyncio.timeout(SILENT_S):
                    arrived = await self._arrived.get()
            except TimeoutError:
                log.warning("%s: the store of topic %s is silent: asking again", self._module, self._topic)
                self._pull, self._found = b"", False
                continue
            if isinstance(arrived, str):
                if arrived != _BEAT:
                    self._pull = b""
                if arrived not in (_BEAT, _OVER):
                    self._found = False
                    await asyncio.sleep(_GONE_S)
            elif arrived.sequence <= self._settled:
                await self.settle(arrived, NEXT)  # handled here already: the acknowledgement was lost
            else:
                await self._note_gap(arrived)
                self._hold(arrived)
                return arrived

    async def settle(self, event: Delivery, verdict: bytes) -> None:
        """Says NEXT (it is done, another can come), ACK (it is done), or `again(…)`, of the event that `next` returned.

        A connection that is down is waited for.
        """
        if verdict in (ACK, NEXT):
            self._settled = max(self._settled, event.sequence)
        while not self.let_go(event, verdict):
            await self._raw.connected()
        self._pull = b"" if verdict != NEXT else self._pull

    def let_go(self, event: Delivery, verdict: bytes = AGAIN) -> bool:
        """As `settle`, at once: False where there is no connection. By default whoever reads next gets the event."""
        self._stop_holding()
        try:
            if verdict == NEXT:
                self._raw.put(event.reply, NEXT + b" " + _WANTED, reply=self._pull.decode())
            else:
                self._raw.put(event.reply, verdict)
        except ConnectionLost:
            return False
        return True

    def _hold(self, event: Delivery) -> None:
        """Tells the server now and then that the event is being handled, so that it stays with us."""
        self._holding = asyncio.get_running_loop().call_later(ACK_WAIT_S / 2, self._keep_hold, event)

    def _keep_hold(self, event: Delivery) -> None:
        try:
            self._raw.put(event.reply, _WORKING)
        except ConnectionLost:
            log.debug("no connection to keep event %d of topic %s", event.sequence, self._topic)  # it comes again
        self._hold(event)

    def _stop_holding(self) -> None:
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None

    async def _note_gap(self, event: Delivery) -> None:
        """Counts what the stream discarded since the last event; what is between may be another instance's, too."""
        if not self._settled or event.sequence == self._settled + 1:
            return
        try:
            found = await self._jetstream.call(f"STREAM.INFO.{stream_name(self._topic)}")
        except (*NoReply, StoreRefused) as error:
            log.debug("what topic %s has discarded isn't known: %s", self._topic, error)
            return
        missed = min(event.sequence, found["state"]["first_seq"]) - self._settled - 1
        self._settled = event.sequence - 1
        if missed > 0:
            self._on_missed(missed)

    async def _ask(self) -> None:
        """Opens a pull, once the stream and the consumer are there; each failure but the first waits longer."""
        pauses = itertools.chain(PAUSES_S, itertools.repeat(PAUSES_S[-1]))
        said = False
        while True:
            try:
                if not self._found:
                    await self._find()
                return self._open_pull()
            except (*NoReply, StoreRefused) as error:
                self._found = False
                said = said or self._complain(error)
            await asyncio.sleep(next(pauses))
            await self._raw.connected()

    def _complain(self, error: GridlinkError) -> bool:
        log.warning("%s can't read topic %s (%s): trying until it can", self._module, self._topic, error)
        return True

    async def _find(self) -> None:
        """Makes or finds stream and consumer, and how far the module got."""
        stream = await self._ensure()
        found = await self._jetstream.ensure_consumer(
            stream_name(self._topic), consumer_config(self._module, self._kept)
        )
        floor = found["ack_floor"]["stream_seq"] if found["ack_floor"]["consumer_seq"] else 0
        if stream["created"] != self._created:
            self._created, self._settled = stream["created"], 0
        self._settled = max(self._settled, floor)
        self._found = True

    def _open_pull(self) -> None:
        subject = f"{self._inbox}.{next(self._numbers):x}"
        verb = f"{self._jetstream.prefix}.CONSUMER.MSG.NEXT.{stream_name(self._topic)}.{self._module}"
        self._raw.put(verb, _WANTED, reply=subject)
        self._pull = subject.encode()

    def _take(self, subject: bytes, reply: bytes, body: bytes, headers: bytes | None) -> None:
        """What comes on the inbox: an event, under its own subject, or a status, under the pull's."""
        if self._arrived.qsize() >= _BOUND:
            return  # it is delivered again
        if reply.startswith(ACK_PREFIX):
            self._arrived.put_nowait(delivery(subject, reply, body, headers))
        elif subject == self._pull:
            self._arrived.put_nowait((wire.parse_headers(headers or b"") or {}).get("Status", _BEAT))

    def _lost(self) -> None:
        if self._pull:
            self._arrived.put_nowait("lost")
