"""Puts a file into a store for a site, from an operator's desk. What is there already isn't sent again."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from appmanager.provisioning.blocking import in_thread
from appmanager.provisioning.pace import Pace
from appmanager.transfer.reference import CHUNK_BYTES, MOST_CHUNKS, Bounds, Reference, stream_config, stream_name
from appmanager.transfer.waiting import Patience
from gridlink.bus.durable.jetstream import JetStream, checked
from gridlink.bus.durable.settings import DOMAIN
from gridlink.bus.raw import NoReply
from gridlink.errors import Refused, RequestTimeout, StoreRefused

STREAM_MISSING = 10059
FULL = (10077, 10047)  # the stream's bound, and the server's


async def put(
    jetstream: JetStream,
    site: str,
    file: Path,
    *,
    domain: str = DOMAIN,
    bounds: Bounds = Bounds(),  # noqa: B008 - frozen
    bytes_a_s: float = 0.0,
    progress: Callable[[int, int], None] = lambda sent_bytes, size_bytes: None,
    waiting: Callable[[str], None] = lambda reason: None,
) -> Reference:
    """Returns when the whole file is in the site's stream of the store `domain`, which `jetstream` reaches.

    Put again after it was cut off, it goes on. `bounds`: of a stream that is made for it; one that is there keeps its
    own. `bytes_a_s`: at most so fast; 0: as fast as it goes.

    `waiting` is told why nothing goes. Raises Refused: the file can't be read, changes while it is read, or the
    store is full; StoreRefused; OSError. Where the store can't be reached it waits: limit it from outside.
    """
    try:
        fd = await in_thread(lambda: os.open(file, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise Refused(f"{file} can't be read: {error.strerror}: give the path of a .glb file") from error
    try:
        reference = await in_thread(partial(_reference_of, fd, file, site, domain))
        await _Putting(jetstream, site, reference, bounds, waiting).put(fd, file, progress, bytes_a_s)
    finally:
        os.close(fd)
    return reference


async def discard(jetstream: JetStream, site: str, reference: Reference) -> int:
    """Removes a file from the store, for all who have not fetched it yet; returns how many chunks that were.

    Raises StoreRefused, and one of NoReply.
    """
    document = {"filter": reference.subject(site, "*")}
    return int((await jetstream.call(f"STREAM.PURGE.{reference.stream}", document, timeout_s=10.0))["purged"])


def _reference_of(fd: int, file: Path, site: str, domain: str) -> Reference:
    digest, size_bytes = hashlib.sha256(), 0
    while body := os.pread(fd, CHUNK_BYTES, size_bytes):
        digest.update(body)
        size_bytes += len(body)
    if not 0 < size_bytes <= MOST_CHUNKS * CHUNK_BYTES:
        raise Refused(f"{file}: expected 1 to {MOST_CHUNKS * CHUNK_BYTES} bytes, got {size_bytes}")
    return Reference(digest.hexdigest(), size_bytes, stream_name(site), domain)


class _Putting:
    """One file."""

    def __init__(
        self, jetstream: JetStream, site: str, reference: Reference, bounds: Bounds, waiting: Callable[[str], None]
    ) -> None:
        self._jetstream, self._site, self._reference = jetstream, site, reference
        self._bounds, self._waiting, self._patience = bounds, waiting, Patience()

    async def put(self, fd: int, file: Path, progress: Callable[[int, int], None], bytes_a_s: float) -> None:
        """Sends what is missing, until nothing is."""
        pace = Pace(bytes_a_s, time.monotonic())
        size_bytes = self._reference.size_bytes
        while True:
            try:
                missing = await self._missing()
                sent_bytes = size_bytes - sum(map(self._reference.size_of, missing))
                progress(sent_bytes, size_bytes)
                for chunk in missing:
                    await asyncio.sleep(pace.wait_s(self._reference.size_of(chunk), time.monotonic()))
                    await self._send(chunk, await in_thread(partial(self._read, fd, file, chunk)))
                    sent_bytes += self._reference.size_of(chunk)
                    progress(sent_bytes, size_bytes)
                return
            except NoReply as error:  # what became of the last chunk, the store tells
                self._waiting(str(error))
                await asyncio.sleep(self._patience.failed(isinstance(error, RequestTimeout)))
                await self._jetstream.raw.connected()

    async def _missing(self) -> list[int]:
        """The chunks that aren't in the store. Raises Refused where it hasn't room for them."""
        reference = self._reference
        found = await self._stream()
        there = found["state"].get("subjects") or {}
        missing = [chunk for chunk in range(reference.chunks) if reference.subject(self._site, chunk) not in there]
        needed_bytes = sum(map(reference.size_of, missing))
        left_bytes = found["config"]["max_bytes"] - found["state"]["bytes"]
        if needed_bytes > left_bytes:
            raise self._full(f"{needed_bytes} bytes are to be sent, {left_bytes} are left")
        return missing

    async def _stream(self) -> Any:
        """What the store says of the site's stream; makes it where there is none."""
        reference, within_s = self._reference, self._patience.answer_within_s
        wanted = {"subjects_filter": reference.subject(self._site, "*")}
        try:
            return await self._jetstream.call(f"STREAM.INFO.{reference.stream}", wanted, timeout_s=within_s)
        except StoreRefused as error:
            if error.err_code != STREAM_MISSING:
                raise
        config = stream_config(self._site, reference.domain, self._bounds)
        try:
            return await self._jetstream.call(f"STREAM.CREATE.{reference.stream}", config, timeout_s=within_s)
        except StoreRefused as error:
            raise (self._full(str(error)) if error.err_code in FULL else error) from error

    def _read(self, fd: int, file: Path, chunk: int) -> bytes:
        reference = self._reference
        body = os.pread(fd, reference.chunk_bytes, chunk * reference.chunk_bytes)
        if len(body) != reference.size_of(chunk):
            raise Refused(f"{file} changes while it is sent: put it again when it is whole")
        return body

    async def _send(self, chunk: int, body: bytes) -> None:
        subject = self._reference.subject(self._site, chunk)
        sent_s = time.monotonic()
        answer = await self._jetstream.raw.request(subject, body, timeout_s=self._patience.answer_within_s)
        try:
            stored = checked(answer, f"storing chunk {chunk + 1} of {self._reference.chunks}")
        except StoreRefused as error:
            raise (self._full(str(error)) if error.err_code in FULL else error) from error
        if stored.get("stream") != self._reference.stream:
            raise StoreRefused(f"expected the store's acknowledgement on {subject}, got {answer[:80]!r}")
        self._patience.heard(time.monotonic() - sent_s)

    def _full(self, reason: str) -> Refused:
        return Refused(
            f"the store {self._reference.domain!r} of site {self._site} is full ({reason}): remove files that were "
            "fetched (`gridlink store NAME --remove`), wait until they are too old to be kept, or give it more "
            "room (`max_file_mib` of `jetstream`)"
        )
