"""Keys for the encryption of payloads: 32 random bytes, as text in a file of one's own or in the environment.

A key's id is a digest of it, so that nobody has to name keys and equal keys have equal ids. No error, log record or
repr ever shows a key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from gridlink.errors import ConfigInvalid

KEY_BYTES = 32
_MAX_TEXT_BYTES = 1024
_OTHERS = stat.S_IWGRP | stat.S_IRWXO
_HOW = "make one with `openssl rand -hex 32`"


class Key:
    """One key and its id."""

    __slots__ = ("id", "secret")

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.id = hashlib.blake2b(secret, digest_size=6, person=b"gridlink-key-id").hexdigest()

    def __repr__(self) -> str:
        return f"Key({self.id})"


def key_in_file(path: Path, where: str) -> Key:
    """The key in a file that others can't read, nor the group write. Raises ConfigInvalid that names `where`."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_MAX_TEXT_BYTES)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigInvalid(f"{where}: expected a key in the file {path}, got: {reason}: {_HOW} > {path}") from error
    if mode & _OTHERS:
        raise ConfigInvalid(
            f"{where}: expected the key file {path} to be its owner's alone (mode 0600 or 0640), got "
            f"{stat.S_IMODE(mode):04o}: `chmod 600 {path}`, and make a new key if others may have read it"
        )
    return _key(text, f"{where}: the key file {path}")


def key_in_environment(name: str, where: str, environ: Mapping[str, str] = os.environ) -> Key:
    """The key in an environment variable. Raises ConfigInvalid that names `where`."""
    text = environ.get(name)
    if text is None:
        raise ConfigInvalid(f"{where}: expected a key in the environment variable {name}, it isn't set: {_HOW}")
    return _key(text.encode(), f"{where}: the environment variable {name}")


def _key(text: bytes, where: str) -> Key:
    secret = _decoded(text.strip())
    if secret is None:
        raise ConfigInvalid(f"{where}: expected 64 hexadecimal digits or base64 of {KEY_BYTES} bytes: {_HOW}")
    if len(secret) != KEY_BYTES:
        raise ConfigInvalid(f"{where}: expected a key of {KEY_BYTES} bytes, got {len(secret)}: {_HOW}")
    if len(set(secret)) < KEY_BYTES // 4:
        raise ConfigInvalid(f"{where}: expected a random key, got one of few different bytes: {_HOW}")
    return Key(secret)


def _decoded(text: bytes) -> bytes | None:
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        pass
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
