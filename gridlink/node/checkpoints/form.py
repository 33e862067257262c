"""A checkpoint as bytes: one line of JSON that says what follows, then the state as JSON. Pure.

The line has the digest of the state, so that half a file, or one that was changed, is never restored.
"""

from __future__ import annotations

import hashlib

from msgspec import Struct

from gridlink.codec import codec, encode
from gridlink.errors import PayloadInvalid, StateInvalid

FORM = 1
MAX_BYTES = 1024 * 1024


class Checkpoint(Struct, frozen=True):
    """The state (JSON) of a module of that version, taken at Unix time `taken_s`."""

    module: str
    version: str
    taken_s: float
    state: bytes

    @property
    def digest(self) -> str:
        """The same for the same state."""
        return hashlib.blake2b(self.state, digest_size=16).hexdigest()


class _Line(Struct, frozen=True):
    form: int
    module: str
    version: str
    taken_s: float
    digest: str


def pack(checkpoint: Checkpoint) -> bytes:
    """The content of its file. Raises StateInvalid for a state that is too large."""
    if len(checkpoint.state) > MAX_BYTES:
        raise StateInvalid(
            f"{checkpoint.module}: snapshot() gave {len(checkpoint.state)} bytes, a checkpoint holds {MAX_BYTES}: "
            "keep large data in files of data_dir, and only what is needed to go on in the snapshot"
        )
    line = _Line(FORM, checkpoint.module, checkpoint.version, checkpoint.taken_s, checkpoint.digest)
    return encode(line) + b"\n" + checkpoint.state


def unpack(content: bytes, where: str) -> Checkpoint:
    """The checkpoint in a file's content. Raises StateInvalid that names `where`."""
    first, _, state = content.partition(b"\n")
    try:
        line = codec(_Line).decode(first)
    except PayloadInvalid as error:
        raise StateInvalid(f"{where}: expected a checkpoint, got something else: {error}") from error
    if line.form != FORM:
        raise StateInvalid(f"{where}: expected form {FORM}, got {line.form}: another release of Gridlink wrote it")
    found = Checkpoint(line.module, line.version, line.taken_s, state)
    if found.digest != line.digest:
        raise StateInvalid(f"{where}: expected a state of digest {line.digest}, got {found.digest}: it was damaged")
    return found
