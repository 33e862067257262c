"""The NATS service discovery protocol (ADR-32): each role of each instance is a service, so that `nats service` and
any micro client see Gridlink. Pure: from what runs to the replies.

A node holds one subscription, `$SRV.>`; a PING, INFO or STATS for all, for a name or for a name and id is answered once
by each service that it means.
"""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec import Struct

from gridlink import address
from gridlink.codec import encode
from gridlink.module.counters import Counters, RequestCounters
from gridlink.registry import Entry

SUBJECTS = "$SRV.>"


class Service(Struct, frozen=True):
    """One role of one running instance. `started` is RFC 3339 in UTC; `boot` differs with each start of the node."""

    role: str
    entry: Entry
    counters: Counters
    started: str
    boot: str

    @property
    def id(self) -> str:
        """Unique among all services, and the same as long as the node runs."""
        text = f"{self.role} {self.entry.instance} {self.boot}"
        return hashlib.blake2b(text.encode(), digest_size=11).hexdigest().upper()


def answers(asked: str, services: list[Service], site: str) -> list[bytes]:
    """The replies to a request on the subject `asked`: one a service that it means; none where it means nothing."""
    _, _, rest = asked.partition("$SRV.")
    verb, _, who = rest.partition(".")
    name, _, identity = who.partition(".")
    document = {"PING": _ping, "INFO": _info, "STATS": _stats}.get(verb)
    if document is None:
        return []
    return [
        encode(document(service, site))
        for service in services
        if name in ("", service.role) and identity in ("", service.id)
    ]


def _ping(service: Service, site: str) -> dict[str, Any]:
    return {"type": "io.nats.micro.v1.ping_response", **_common(service, site)}


def _info(service: Service, site: str) -> dict[str, Any]:
    endpoints = [
        {**_endpoint(service, site, name), "metadata": {f"schema.{part}": digest for part, digest in digests.items()}}
        for name, digests in service.entry.requests.items()
    ]
    described = {"description": service.entry.description, "endpoints": endpoints}
    return {"type": "io.nats.micro.v1.info_response", **_common(service, site), **described}


def _stats(service: Service, site: str) -> dict[str, Any]:
    endpoints = [
        {**_endpoint(service, site, name), **_numbers(service.counters.by_type.get(name, RequestCounters()))}
        for name in service.entry.requests
    ]
    counted = {"started": service.started, "endpoints": endpoints}
    return {"type": "io.nats.micro.v1.stats_response", **_common(service, site), **counted}


def _common(service: Service, site: str) -> dict[str, Any]:
    entry = service.entry
    about = {"instance": entry.instance, "module": entry.name, "machine": entry.machine, "site": site}
    metadata = {f"gridlink.{name}": value for name, value in about.items()}
    return {"name": service.role, "id": service.id, "version": entry.version, "metadata": metadata}


def _endpoint(service: Service, site: str, type: str) -> dict[str, Any]:
    where = address.role(service.role)
    return {"name": type, "subject": address.subject(site, where, type), "queue_group": where}


def _numbers(counters: RequestCounters) -> dict[str, Any]:
    average_ns = counters.processing_ns // counters.requests if counters.requests else 0
    return {
        "num_requests": counters.requests,
        "num_errors": counters.errors,
        "last_error": counters.last_error,
        "processing_time": counters.processing_ns,
        "average_processing_time": average_ns,
    }
