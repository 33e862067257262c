"""Which bundles lie in a store for a site, by name and version: a small message each, beside the chunks.

It is written after the last chunk, and says where the file is; so what is listed has been there whole. Chunks get too
old as well: `missing` asks whether all of them are still there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from appmanager.transfer.reference import Reference, list_subject, listed_subject, reference_in, stream_name
from gridlink.bus.durable.jetstream import JetStream, checked
from gridlink.codec import codec, dumps
from gridlink.errors import PayloadInvalid, Refused, StoreRefused

STREAM_MISSING = 10059
WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Listed:
    """A bundle in a store. `digest`: the bundle's; `source`: the file's reference; `at_s`: Unix time of the desk."""

    name: str
    version: str
    digest: str
    source: str
    at_s: float = 0.0

    @property
    def reference(self) -> Reference:
        """Where its file is. Raises Refused: somebody else wrote this entry."""
        found = reference_in(self.source)
        if found is None:
            raise Refused(f"{self.name} {self.version}: expected a reference to a store, got {self.source[:100]!r}")
        return found


async def put_on_list(jetstream: JetStream, site: str, bundle: Listed) -> None:
    """Lists a bundle whose file is in the store. Raises StoreRefused, and one of NoReply."""
    subject = listed_subject(site, bundle.reference.domain, bundle.name, bundle.version)
    answer = await jetstream.raw.request(subject, codec(Listed).encode(bundle), timeout_s=WITHIN_S)
    checked(answer, f"listing {bundle.name} {bundle.version}")


async def listed(jetstream: JetStream, site: str, domain: str, name: str = "") -> list[Listed]:
    """The bundles of that name; of every name without one. Raises StoreRefused, and one of NoReply."""
    stream = stream_name(site)
    begin = list_subject(site, domain)
    wanted = {"subjects_filter": f"{begin}*"}
    try:
        found = await jetstream.call(f"STREAM.INFO.{stream}", wanted, timeout_s=WITHIN_S)
    except StoreRefused as error:
        if error.err_code == STREAM_MISSING:
            return []  # nothing was ever put there
        raise
    bundles = []
    subjects = sorted(found["state"].get("subjects") or {})
    for subject in [one for one in subjects if name in ("", one.removeprefix(begin).partition("-")[0])]:
        body = await jetstream.raw.request(
            f"{jetstream.prefix}.DIRECT.GET.{stream}", dumps({"last_by_subj": subject}), timeout_s=WITHIN_S
        )
        try:
            bundles.append(codec(Listed).decode(body))
        except PayloadInvalid:
            continue  # removed meanwhile (the body is empty then), or another release's
    return bundles


async def missing(jetstream: JetStream, site: str, bundle: Listed) -> int:
    """How many of its chunks are not in the store any more. Raises StoreRefused, and one of NoReply."""
    reference = bundle.reference
    wanted = {"subjects_filter": reference.subject(site, "*")}
    found = await jetstream.call(f"STREAM.INFO.{reference.stream}", wanted, timeout_s=WITHIN_S)
    return reference.chunks - len(found["state"].get("subjects") or {})


async def take_off_list(jetstream: JetStream, site: str, bundle: Listed) -> None:
    """Lists it no more. Raises StoreRefused, and one of NoReply."""
    subject = listed_subject(site, bundle.reference.domain, bundle.name, bundle.version)
    await jetstream.call(f"STREAM.PURGE.{bundle.reference.stream}", {"filter": subject}, timeout_s=WITHIN_S)


def entry(name: str, version: str, digest: str, reference: Reference) -> Listed:
    """What is listed of a bundle's file that has just been put."""
    return Listed(name, version, digest, reference.spelled(), time.time())
