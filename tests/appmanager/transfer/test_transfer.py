"""A file goes through a store as it is; what is full, missing or changed is said, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from appmanager.packed.errors import BundleInvalid
from appmanager.store.disk import RealDisk
from appmanager.transfer.fetching import fetch
from appmanager.transfer.putting import discard, put
from appmanager.transfer.reference import Bounds
from gridlink.bus.durable.jetstream import JetStream
from gridlink.errors import Refused
from tests.appmanager.provisioning.test_small_disk import mounted
from tests.appmanager.transfer.conftest import SITE, content, fill
from tests.appmanager.transfer.watching import delivered_to

DISK = RealDisk()


async def test_a_file_comes_as_it_was_put_and_each_byte_once(
    desk: JetStream, board: JetStream, glb: Path, tmp_path: Path
) -> None:
    """Through a real JetStream server; asked again, nothing is sent."""
    into, seen = tmp_path / "incoming" / "lamp.glb", list[int]()
    sent: list[int] = []
    async with delivered_to("board", desk) as delivered:
        reference = await put(desk, SITE, glb, progress=lambda done, _: sent.append(done))
        await fetch(board, SITE, reference, DISK, into, progress=seen.append)
        assert content(into) == content(glb)
        assert seen[-1] == sent[-1] == reference.size_bytes
        assert delivered.total_bytes == reference.size_bytes
        await fetch(board, SITE, reference, DISK, into)
        assert delivered.total_bytes == reference.size_bytes


async def test_what_is_in_the_store_is_not_sent_again(desk: JetStream, glb: Path) -> None:
    """An operator who asks again after a lost line goes on."""
    first = await put(desk, SITE, glb)
    sent: list[int] = []
    assert await put(desk, SITE, glb, progress=lambda done, _: sent.append(done)) == first
    assert sent == [first.size_bytes]


async def test_two_who_put_at_once_do_not_mix_their_files(
    desk: JetStream, board: JetStream, glb: Path, tmp_path: Path
) -> None:
    """Their chunks lie between each other in the stream."""
    other = tmp_path / "other.glb"
    fill(other, content(glb)[::-1])
    references = await asyncio.gather(put(desk, SITE, glb), put(board, SITE, other))
    for reference, file in zip(references, (glb, other), strict=True):
        into = tmp_path / "incoming" / file.name
        await fetch(board, SITE, reference, DISK, into)
        assert content(into) == content(file)


async def test_a_transfer_keeps_to_its_rate(desk: JetStream, board: JetStream, glb: Path, tmp_path: Path) -> None:
    """The line is for the grid first."""
    reference, bytes_a_s = await put(desk, SITE, glb), 1_500_000
    began_s = time.monotonic()
    await fetch(board, SITE, reference, DISK, tmp_path / "lamp.glb", bytes_a_s=bytes_a_s)
    assert time.monotonic() - began_s > (reference.size_bytes - bytes_a_s) / bytes_a_s * 0.9


async def test_a_full_store_refuses_before_anything_is_sent(desk: JetStream, glb: Path) -> None:
    """And says so to the operator, who can do something about it."""
    sent: list[int] = []
    with pytest.raises(Refused, match=r"is full .* remove files"):
        await put(desk, SITE, glb, bounds=Bounds(max_mib=1.0), progress=lambda done, _: sent.append(done))
    assert sent == []


async def test_a_store_without_room_for_the_stream_says_so(desk: JetStream, glb: Path) -> None:
    """What the streams of a server may hold together is bounded too."""
    with pytest.raises(Refused, match=r"is full .*insufficient storage"):
        await put(desk, SITE, glb, bounds=Bounds(max_mib=5000.0))


async def test_a_file_that_was_removed_is_refused(desk: JetStream, board: JetStream, glb: Path, tmp_path: Path) -> None:
    """It won't come by waiting."""
    reference = await put(desk, SITE, glb)
    assert await discard(desk, SITE, reference) == reference.chunks
    with pytest.raises(Refused, match=r"chunk 1 of 21 .* isn't in the store"):
        await fetch(board, SITE, reference, DISK, tmp_path / "lamp.glb")


async def test_a_changed_chunk_is_found_by_the_digest_and_nothing_is_left(
    desk: JetStream, board: JetStream, glb: Path, tmp_path: Path
) -> None:
    """A store is not to be trusted with what a board runs."""
    reference = await put(desk, SITE, glb)
    await desk.raw.request(reference.subject(SITE, 7), bytes(reference.chunk_bytes))
    into = tmp_path / "incoming" / "lamp.glb"
    with pytest.raises(BundleInvalid, match=f"SHA-256 {reference.digest}, got"):
        await fetch(board, SITE, reference, DISK, into)
    assert list(into.parent.iterdir()) == []


async def test_a_chunk_that_lacks_its_end_is_refused_at_once(
    desk: JetStream, board: JetStream, glb: Path, tmp_path: Path
) -> None:
    """Not after the other hundred megabytes."""
    reference = await put(desk, SITE, glb)
    await desk.raw.request(reference.subject(SITE, 3), b"half")
    async with delivered_to("board", desk) as delivered:
        with pytest.raises(BundleInvalid, match=r"chunk 4 of 21 .* expected 131072 bytes, got 4"):
            await fetch(board, SITE, reference, DISK, tmp_path / "lamp.glb")
        assert len(delivered.sizes) == 3


async def test_another_size_or_digest_than_was_put_is_refused(
    desk: JetStream, board: JetStream, glb: Path, tmp_path: Path
) -> None:
    """A reference that was changed on its way."""
    reference = await put(desk, SITE, glb)
    shorter = replace(reference, size_bytes=reference.size_bytes - 1)
    with pytest.raises(BundleInvalid, match="chunk 21 of 21"):
        await fetch(board, SITE, shorter, DISK, tmp_path / "shorter.glb")
    wrong = replace(reference, digest=reference.digest[:32] + "0" * 32)  # the chunks are found by its first half
    with pytest.raises(BundleInvalid, match="put it again"):
        await fetch(board, SITE, wrong, DISK, tmp_path / "wrong.glb")
    assert not (tmp_path / "wrong.glb").exists()


async def test_what_came_of_another_file_is_thrown_away(
    desk: JetStream, board: JetStream, glb: Path, tmp_path: Path
) -> None:
    """The operator has packed anew while the board was receiving."""
    into = tmp_path / "incoming" / "lamp.glb"
    await fetch(board, SITE, await put(desk, SITE, glb), DISK, into)
    fill(glb, content(glb)[100:])
    await fetch(board, SITE, await put(desk, SITE, glb), DISK, into)
    assert content(into) == content(glb)


async def test_a_disk_without_room_is_refused_before_anything_comes(
    desk: JetStream, board: JetStream, glb: Path, tmp_path: Path
) -> None:
    """A thin line isn't kept busy for nothing."""
    reference = await put(desk, SITE, glb)
    async with delivered_to("board", desk) as delivered:
        with pytest.raises(Refused, match="make room"):
            await fetch(board, SITE, reference, DISK, tmp_path / "lamp.glb", free_bytes=1_000_000)
        assert delivered.sizes == []


async def test_a_disk_that_fills_up_keeps_what_has_come(
    desk: JetStream, board: JetStream, glb: Path, tmp_path: Path
) -> None:
    """Storage may have written meanwhile; when there is room the rest comes."""
    reference = await put(desk, SITE, glb)
    with mounted(tmp_path / "small", "3m") as folder:
        into = folder / "incoming" / "lamp.glb"
        fill(folder / "ballast", bytes(1_500_000))
        async with delivered_to("board", desk) as delivered:
            with pytest.raises(OSError, match="No space left"):
                await fetch(board, SITE, reference, DISK, into)
            came_bytes = delivered.total_bytes
            assert came_bytes > 1_000_000
            (folder / "ballast").unlink()
            await fetch(board, SITE, reference, DISK, into)
            assert content(into) == content(glb)
            again_bytes = delivered.total_bytes - reference.size_bytes
            assert again_bytes <= 1024 * 1024 + reference.chunk_bytes, "more than what wasn't synced yet"


@pytest.mark.parametrize("body", [None, b""])
async def test_a_file_that_can_not_be_read_or_is_empty_is_refused(
    desk: JetStream, tmp_path: Path, body: bytes | None
) -> None:
    """With its path."""
    file = tmp_path / "missing.glb"
    if body is not None:
        fill(file, body)
    with pytest.raises(Refused, match=r"missing\.glb"):
        await put(desk, SITE, file)


async def test_a_file_that_shrinks_while_it_is_sent_is_refused(desk: JetStream, glb: Path) -> None:
    """Somebody is packing it anew."""

    def shrink(done_bytes: int, _: int) -> None:
        if done_bytes:
            os.truncate(glb, 200_000)

    with pytest.raises(Refused, match="changes while it is sent"):
        await put(desk, SITE, glb, progress=shrink)
