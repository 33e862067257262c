"""A checkpoint as bytes: what is read is what was written, or an error that says why not."""

from __future__ import annotations

import pytest

from gridlink.errors import StateInvalid
from gridlink.node.checkpoints.form import MAX_BYTES, Checkpoint, pack, unpack

SOME = Checkpoint("storage", "1.2.0", 1_795_000_000.5, b'{"rows":[1,2,3],"text":"a\\nb"}')


def test_what_was_packed_is_unpacked() -> None:
    """All of it, the time included."""
    assert unpack(pack(SOME), "f") == SOME


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"[1]\n2", pack(SOME)[:-1], pack(SOME)[10:], pack(SOME) + b" "])
def test_anything_else_is_refused(content: bytes) -> None:
    """Half a file, one that was written to, and what never was one."""
    with pytest.raises(StateInvalid, match=r"states/storage: expected"):
        unpack(content, "states/storage")


def test_each_byte_of_the_state_counts() -> None:
    """A flash block that has lost a bit must not be restored."""
    packed = bytearray(pack(SOME))
    packed[-3] ^= 1
    with pytest.raises(StateInvalid, match="damaged"):
        unpack(bytes(packed), "f")


def test_a_state_that_is_too_large_is_refused_with_advice() -> None:
    """Flash and memory are bounded."""
    with pytest.raises(StateInvalid, match=f"gave {MAX_BYTES + 2} bytes.*data_dir"):
        pack(Checkpoint("storage", "1.0.0", 0.0, b'"' + b"x" * MAX_BYTES + b'"'))
