"""What a server of a site says of itself by UDP: `GL1 <MAC> <JSON>`, signed with the site's key. Pure.

A beacon only adds an address to try: whoever answers there still needs a certificate of the site's CA. So a recorded
one that is sent again does no harm, and one that wasn't signed with the site's key is dropped unread.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from gridlink.codec import encode, loads
from gridlink.errors import GridlinkError

MAX_BYTES = 512
_MAGIC = b"GL1 "
_MAC_BYTES = 32


@dataclass(frozen=True, slots=True)
class Beacon:
    """A server's machine and where its routes are accepted, `host:port`."""

    site: str
    machine: str
    route: str


def sealed(beacon: Beacon, key: bytes) -> bytes:
    """The datagram."""
    body = encode({"site": beacon.site, "machine": beacon.machine, "route": beacon.route})
    return _MAGIC + _mac(body, key).encode() + b" " + body


def opened(datagram: bytes, key: bytes) -> Beacon | None:
    """The beacon in a datagram; None for one that wasn't signed with the key, or is none."""
    mac, _, body = datagram.removeprefix(_MAGIC).partition(b" ")
    if len(datagram) > MAX_BYTES or not datagram.startswith(_MAGIC) or not _same(mac, _mac(body, key).encode()):
        return None
    try:
        found: Any = loads(body)
    except GridlinkError:
        return None
    if not isinstance(found, dict):
        return None
    beacon = Beacon(*(str(found.get(name, "")) for name in ("site", "machine", "route")))
    host, _, port = beacon.route.rpartition(":")
    plain = all(character.isalnum() or character in ".-:[]" for character in host)
    return beacon if host and plain and port.isascii() and port.isdigit() else None


def _mac(body: bytes, key: bytes) -> str:
    return hashlib.blake2b(body, key=key, digest_size=_MAC_BYTES).hexdigest()


def _same(given: bytes, wanted: bytes) -> bool:
    """Compares without saying by its duration how much was right. (`hmac` would load OpenSSL.)"""
    difference = len(given) ^ len(wanted)
    for one, other in zip(given, wanted, strict=False):
        difference |= one ^ other
    return difference == 0
