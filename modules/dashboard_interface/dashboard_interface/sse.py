"""Server-sent events (WHATWG HTML, 9.2): their text, the ring of last changes, a bounded queue a client.

Changes (`problem`, `tap`, `module`) carry an id `<epoch>-<n>` and are kept in the ring: a client that comes
back with Last-Event-ID misses none; where the ring can't tell any more it gets `resync` and reads /api again.
The `voltage` event is a state: it has no id, is never queued twice, the newest replaces one not yet sent.
"""

import asyncio
from collections import deque
from itertools import islice
from secrets import token_hex

COMMENT = b": keep-alive\n\n"
RING = 256
QUEUE = 64


def frame(event: str, data: bytes, event_id: str | None = None) -> bytes:
    """One event; `data` is JSON without line breaks, as our encoder writes it."""
    head = f"id: {event_id}\n" if event_id is not None else ""
    return f"{head}event: {event}\ndata: ".encode() + data + b"\n\n"


class Subscription:
    """The events that one client has not got yet. `close` ends it from either side and drops what it held."""

    def __init__(self, first: list[bytes]) -> None:
        self.closed = False
        self.overflowed = False
        self._first = tuple(first)
        self._changes: deque[bytes] = deque()
        self._state: bytes | None = None
        self._wake = asyncio.Event()
        self._wake.set()

    def change(self, text: bytes) -> bool:
        """Queues a change; False when the client is so slow that the queue is full: it is then closed."""
        if len(self._changes) >= QUEUE:
            self.overflowed = True
            self.close()
            return False
        self._changes.append(text)
        self._wake.set()
        return True

    def state(self, text: bytes) -> None:
        """Puts the newest state in place of the one not yet sent."""
        self._state = text
        self._wake.set()

    def close(self) -> None:
        """Ends the stream; twice is fine."""
        self.closed = True
        self._first = ()
        self._changes.clear()
        self._state = None
        self._wake.set()

    async def next(self, comment_every_s: float) -> bytes | None:
        """All that waits, as one text; a comment after `comment_every_s` of silence; None once closed."""
        try:
            async with asyncio.timeout(comment_every_s):
                await self._wake.wait()
        except TimeoutError:
            return COMMENT
        return self._take()

    def _take(self) -> bytes | None:
        self._wake.clear()
        if self.closed:
            self._wake.set()
            return None
        text = b"".join((*self._first, *self._changes, self._state or b""))
        self._first = ()
        self._changes.clear()
        self._state = None
        return text


class Hub:
    """Hands each event to all clients, at most `limit` of them, and remembers the last RING changes."""

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self.limit = limit
        self._epoch = token_hex(4)
        self._count = 0
        self._ring: deque[bytes] = deque(maxlen=RING)
        self._clients: set[Subscription] = set()

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def full(self) -> bool:
        """Whether one more client would be too many."""
        return len(self._clients) >= self.limit

    def subscribe(self, last_event_id: str | None) -> Subscription:
        """A new client, with what it missed since `last_event_id`; the caller hands it back to `leave`."""
        client = Subscription([b"retry: 2000\n\n", *self._missed(last_event_id)])
        self._clients.add(client)
        return client

    def leave(self, client: Subscription) -> None:
        """Forgets a client; twice is fine."""
        client.close()
        self._clients.discard(client)

    def change(self, event: str, data: bytes) -> None:
        """Sends a change to all clients; the ones that can't keep up are dropped and counted."""
        self._count += 1
        text = frame(event, data, f"{self._epoch}-{self._count}")
        self._ring.append(text)
        for client in list(self._clients):
            if not client.change(text):
                self.drop(client)

    def state(self, event: str, data: bytes) -> None:
        """Sends a state to all clients."""
        text = frame(event, data)
        for client in self._clients:
            client.state(text)

    def drop(self, client: Subscription) -> None:
        """Ends a client that is too slow, and counts it."""
        if client in self._clients:
            self.dropped += 1
        self.leave(client)

    def close(self) -> None:
        """Ends all streams."""
        for client in list(self._clients):
            self.leave(client)

    def _missed(self, last_event_id: str | None) -> list[bytes]:
        if not last_event_id:
            return [frame("hello", b"{}", f"{self._epoch}-{self._count}")]
        epoch, _, number = last_event_id.partition("-")
        behind = self._count - int(number) if number.isdecimal() and len(number) < 16 else -1
        if epoch != self._epoch or not 0 <= behind <= len(self._ring):
            return [frame("resync", b"{}", f"{self._epoch}-{self._count}")]
        return list(islice(self._ring, len(self._ring) - behind, None))
