"""Fetches a file from a store, a chunk at a time, straight to the disk; goes on wherever it was cut off.

There is no consumer in the store, so nothing of it has to survive a killed server: each request names its chunk. One is
on its way at a time, so that a lost link costs one at most. Whatever fails is tried again for as long as the caller
lets it; what ends it is a disk that refuses, or a store that has other bytes than were put there.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from appmanager.packed.errors import BundleInvalid
from appmanager.provisioning.blocking import in_thread
from appmanager.provisioning.pace import Pace
from appmanager.store.disk import Disk
from appmanager.store.incoming import Incoming, forget
from appmanager.transfer.reference import Reference
from appmanager.transfer.waiting import Patience
from gridlink.bus.durable.jetstream import JetStream
from gridlink.bus.raw import NoReply
from gridlink.codec import dumps
from gridlink.errors import Refused, RequestTimeout

_READ_BYTES = 128 * 1024


async def fetch(
    jetstream: JetStream,
    site: str,
    reference: Reference,
    disk: Disk,
    into: Path,
    *,
    bytes_a_s: float = 0.0,
    free_bytes: int | None = None,
    progress: Callable[[int], None] = lambda received_bytes: None,
    waiting: Callable[[str], None] = lambda reason: None,
) -> None:
    """Has the file in `into`, whole and with the digest of the reference. Returns at once where it is there already.

    `jetstream`: of the reference's domain. `bytes_a_s`: at most so fast; 0: as fast as it goes. `free_bytes`: of the
    disk, where they are known. `waiting` is told, once a reason, why nothing comes. Raises Refused: the store has it no
    more, or there is no room for it; BundleInvalid: the store has other bytes, and what has come is thrown away;
    OSError: it can't be written. Cancelling it keeps what has come: limit it from outside.
    """
    incoming = Incoming(disk, into, reference.digest)
    coming = _Coming(jetstream, site, reference, incoming, progress, waiting)
    await in_thread(incoming.open)
    try:
        coming.check_room(free_bytes)
        await in_thread(partial(coming.read_again, disk, into))
        await coming.receive(Pace(bytes_a_s, time.monotonic()))
    finally:
        await in_thread(incoming.close)
    try:
        coming.check()
    except BundleInvalid:
        await in_thread(partial(forget, disk, into))
        raise


class _Coming:
    """One file as it comes, with the digest of what is here."""

    def __init__(
        self,
        jetstream: JetStream,
        site: str,
        reference: Reference,
        incoming: Incoming,
        progress: Callable[[int], None],
        waiting: Callable[[str], None],
    ) -> None:
        self._jetstream, self._site, self._reference, self._incoming = jetstream, site, reference, incoming
        self._progress, self._waiting = progress, waiting
        self._digest = hashlib.sha256()
        self._patience, self._said = Patience(), ""

    def check_room(self, free_bytes: int | None) -> None:
        """Raises Refused where the rest of it has no room."""
        missing_bytes = self._reference.size_bytes - self._incoming.received_bytes
        if free_bytes is not None and missing_bytes > free_bytes:
            raise Refused(f"{missing_bytes} bytes are to come, and {free_bytes} are free: make room")

    def read_again(self, disk: Disk, into: Path) -> None:
        """Digests what came before. Blocks."""
        with disk.open(into) as file:
            while body := file.read(_READ_BYTES):
                self._digest.update(body)

    async def receive(self, pace: Pace) -> None:
        """Fetches what is missing."""
        reference, incoming = self._reference, self._incoming
        while incoming.received_bytes < reference.size_bytes:
            chunk, here_bytes = divmod(incoming.received_bytes, reference.chunk_bytes)
            await asyncio.sleep(pace.wait_s(reference.size_of(chunk), time.monotonic()))
            body = await self._chunk(chunk)
            await in_thread(partial(self._keep, body[here_bytes:]))
            self._progress(incoming.received_bytes)

    def check(self) -> None:
        """Raises BundleInvalid unless it is what was put there."""
        found, reference = self._digest.hexdigest(), self._reference
        if found != reference.digest or self._incoming.received_bytes != reference.size_bytes:
            raise BundleInvalid(
                f"expected a file with the SHA-256 {reference.digest}, got one with {found} from the store: what is "
                "there was changed or isn't what was put there: put it again"
            )

    def _keep(self, body: bytes) -> None:
        self._incoming.add(body)
        self._digest.update(body)

    async def _chunk(self, chunk: int) -> bytes:
        """One chunk, asked for until it comes. Raises Refused and BundleInvalid."""
        raw, reference = self._jetstream.raw, self._reference
        subject = f"{self._jetstream.prefix}.DIRECT.GET.{reference.stream}"
        wanted = dumps({"last_by_subj": reference.subject(self._site, chunk)})
        while True:
            asked_s = time.monotonic()
            try:
                body = await raw.request(subject, wanted, timeout_s=self._patience.answer_within_s)
            except NoReply as error:
                self._say(str(error))
                await asyncio.sleep(self._patience.failed(isinstance(error, RequestTimeout)))
                await raw.connected()
            else:
                break
        self._patience.heard(time.monotonic() - asked_s)
        self._said = ""
        return self._checked(body, chunk)

    def _checked(self, body: bytes, chunk: int) -> bytes:
        reference = self._reference
        if len(body) == reference.size_of(chunk):
            return body
        what = f"chunk {chunk + 1} of {reference.chunks} of {reference.digest[:12]}… at site {self._site}"
        if not body:  # JetStream's word for it
            raise Refused(f"{what} isn't in the store: it was removed, or is older than the store keeps: put it again")
        raise BundleInvalid(f"{what}: expected {reference.size_of(chunk)} bytes, got {len(body)}: put the file again")

    def _say(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            self._waiting(reason)
