"""Where a file is in a store, and under which subjects its chunks lie. Pure.

A chunk is a message of its own, under the file's SHA-256 and the chunk's number. So what is there already is not put a
second time, a transfer goes on at any chunk, also in a store that was lost and filled anew (whose sequence numbers
begin at 1 again), and two operators who put at once don't get into each other's way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gridlink.address import ROOT, token
from gridlink.bus.durable.settings import DOMAIN, MIB, TRANSFER, WEEK_S
from gridlink.errors import Refused

CHUNK_BYTES = 128 * 1024
MOST_CHUNKS = 8192  # their list is one answer of JetStream, which is a MiB at most
_NS = 1_000_000_000
_SPELLED = re.compile(r"store:([A-Za-z0-9_-]+)/([A-Za-z0-9_-]+)/([0-9a-f]{64})/([0-9]{1,12})/([0-9]{1,7})")
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a store keeps of all files together, and for how long. A full one refuses: nothing is pushed out."""

    max_mib: float = 128.0
    max_age_s: float = WEEK_S


@dataclass(frozen=True, slots=True)
class Reference:
    """A file in a store. `digest`: the SHA-256 of its bytes. A command carries it as `Order.source`, spelled."""

    digest: str
    size_bytes: int
    stream: str
    domain: str = DOMAIN
    chunk_bytes: int = CHUNK_BYTES

    @property
    def chunks(self) -> int:
        """How many chunks it has."""
        return -(-self.size_bytes // self.chunk_bytes)

    def size_of(self, chunk: int) -> int:
        """How many bytes a chunk has: the last one may be smaller."""
        return min(self.chunk_bytes, self.size_bytes - chunk * self.chunk_bytes)

    def spelled(self) -> str:
        """As a command's `source`; `reference_in` reads it."""
        return f"store:{self.domain}/{self.stream}/{self.digest}/{self.size_bytes}/{self.chunk_bytes}"

    def subject(self, site: str, chunk: int | str) -> str:
        """Where a chunk lies; `*` for all of them."""
        file = f"{self.digest[:32]}-{self.chunk_bytes // _KIB}"  # 128 bits of the digest, so that their list is short
        return f"{ROOT}.{token(site, 'site')}.{TRANSFER}.{self.domain}.{file}.{chunk}"


def reference_in(source: str) -> Reference | None:
    """The reference that `Order.source` spells; None where it is something else, as a path. Raises Refused."""
    if not source.startswith("store:"):
        return None
    parts = _SPELLED.fullmatch(source)
    if parts is None:
        raise Refused(
            f"expected store:DOMAIN/STREAM/SHA256/BYTES/CHUNK_BYTES, got {source[:100]!r}: put the file again"
        )
    domain, stream, digest, size_bytes, chunk_bytes = parts.groups()
    found = Reference(digest, int(size_bytes), stream, domain, int(chunk_bytes))
    if not (_KIB <= found.chunk_bytes <= MIB and found.chunk_bytes % _KIB == 0 and 0 < found.chunks <= MOST_CHUNKS):
        raise Refused(
            f"expected 1 to {MOST_CHUNKS} chunks of 1 to 1024 KiB, got {size_bytes} bytes in chunks of {chunk_bytes}: "
            "put the file again"
        )
    return found


def stream_name(site: str) -> str:
    """The stream of a site's files: one in each store."""
    return f"{TRANSFER}-{token(site, 'site')}"


def listed_subject(site: str, domain: str, name: str, version: str) -> str:
    """Where it is said which file is which version of a module. A name has no hyphen, so the two can be told apart."""
    spelled = version.replace(".", "_")  # a dot would begin another token
    return f"{list_subject(site, domain)}{name}-{spelled}"


def list_subject(site: str, domain: str) -> str:
    """What all those subjects begin with."""
    return f"{ROOT}.{token(site, 'site')}.{TRANSFER}.{token(domain, 'domain')}.of."


def stream_config(site: str, domain: str, bounds: Bounds) -> dict[str, Any]:
    """The stream of a site in one store: bounded in size and age; each chunk is there once, read without a consumer."""
    return {
        "name": stream_name(site),
        "description": f"files on their way to site {site}",
        "subjects": [f"{ROOT}.{token(site, 'site')}.{TRANSFER}.{token(domain, 'domain')}.*.*"],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "max_bytes": int(bounds.max_mib * MIB),
        "max_age": int(bounds.max_age_s * _NS),
        "max_msg_size": MIB,
        "duplicate_window": _NS,
        "allow_direct": True,
        "num_replicas": 1,
    }
