"""Public nkeys of users (`U…`): base32 of a prefix, an Ed25519 public key and a checksum. Pure; needs no library.

https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth
"""

from __future__ import annotations

_USER = 20 << 3  # base32 makes it a U
_CHARACTERS = 56


def public_key(nkey: str) -> bytes:
    """The Ed25519 public key, 32 bytes. Raises ValueError with what is wrong; the checksum finds a typing error."""
    from base64 import b32decode  # noqa: PLC0415 - where there are nkeys
    from binascii import crc_hqx  # noqa: PLC0415

    if len(nkey) != _CHARACTERS or not nkey.startswith("U"):
        secret = nkey.startswith("S")
        shown = "a seed, which is secret" if secret else repr(nkey[:_CHARACTERS])
        raise ValueError(f"expected a user's public nkey (U and 55 letters), got {shown}")
    try:
        raw = b32decode(nkey)
    except ValueError as error:
        raise ValueError(f"expected a public nkey of A to Z and 2 to 7, got {nkey!r}") from error
    if raw[0] != _USER or crc_hqx(raw[:33], 0) != int.from_bytes(raw[33:], "little"):
        raise ValueError(f"{nkey!r}: its checksum is wrong: copy the public nkey again")
    return raw[1:33]
