"""Seals and opens payloads: XChaCha20-Poly1305 of libsodium (PyNaCl), a random nonce each, bound to a context.

The context (site, address, type, sender, id, direction) isn't in the sealed payload, but it opens under no other: what
was sealed for one subject can't be sent to another. Loaded where encryption is configured, and nowhere else (3 MiB).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
)
from nacl.exceptions import CryptoError

from gridlink.errors import Unreadable
from gridlink.proxies.keys import Key

NONCE_BYTES: int = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES


class Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="sealed", tag="xchacha20poly1305"):
    """A sealed payload as it travels: `{"sealed": "xchacha20poly1305", "key": …, "nonce": …, "data": …}` (base64)."""

    key: str
    nonce: bytes
    data: bytes


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Sealed).decode


def read_sealed(body: bytes) -> Sealed | None:
    """The sealed payload in a body; None where it is a plain one."""
    if b'"sealed"' not in body[:32]:
        return None
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class Keyring:
    """Keys: the first one seals, all of them open."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = {key.id: key for key in reversed(keys)}
        self._first = keys[0]

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._keys

    @property
    def ids(self) -> str:
        """The ids of the keys, as errors show them."""
        return ", ".join(reversed(self._keys))

    def seal(self, plain: bytes, context: bytes, key_id: str = "") -> tuple[bytes, bytes]:
        """Seals with the key of that id, else the first; returns the body and its nonce."""
        key = self._keys.get(key_id, self._first)
        nonce = secrets.token_bytes(NONCE_BYTES)
        data = crypto_aead_xchacha20poly1305_ietf_encrypt(plain, context, nonce, key.secret)
        return _encode(Sealed(key.id, nonce, data)), nonce

    def open(self, sealed: Sealed, context: bytes) -> bytes:
        """The plain payload. Raises Unreadable for an unknown key, another context, or a single changed bit."""
        key = self._keys.get(sealed.key)
        if key is None:
            raise self.unknown(sealed.key)
        if len(sealed.nonce) != NONCE_BYTES:
            raise Unreadable(f"expected a nonce of {NONCE_BYTES} bytes, got {len(sealed.nonce)}: it was changed")
        try:
            return crypto_aead_xchacha20poly1305_ietf_decrypt(sealed.data, context, sealed.nonce, key.secret)
        except (CryptoError, ValueError) as error:
            raise Unreadable(
                f"the payload was changed on its way, or sealed for another message (key {key.id}): it is refused",
                expected="a payload as it was sealed",
                got="a changed one",
            ) from error

    def unknown(self, key_id: str) -> Unreadable:
        """The error for a key that isn't ours."""
        return Unreadable(
            f"expected a payload sealed with key {self.ids}, got one sealed with key {key_id[:32]!r}: give sender and "
            "receiver the same key, or add the other one to accept_key_files",
            expected=self.ids,
            got=key_id[:32],
        )
