"""JetStream's API over plain requests: JSON in, JSON out. nats-py's own client of it would cost a node 1.4 MiB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gridlink.bus.durable.settings import DOMAIN
from gridlink.bus.raw import Raw
from gridlink.codec import dumps, loads
from gridlink.errors import PayloadInvalid, StoreRefused

STREAM_EXISTS = 10058  # with another configuration


class JetStream:
    """The JetStream server of a domain, as one node reaches it."""

    def __init__(self, raw: Raw, domain: str = DOMAIN) -> None:
        self.raw = raw
        self.prefix = f"$JS.{domain}.API"

    async def call(self, verb: str, document: Mapping[str, Any] | None = None, *, timeout_s: float = 2.0) -> Any:
        """Asks for `verb` (`STREAM.INFO.topic-oltc`) and returns the reply's document.

        Raises StoreRefused where the server says no, and what Raw.request raises: StoreUnavailable where no server of
        the domain is there, RequestTimeout, ConnectionLost.
        """
        body = dumps(document) if document is not None else b""
        return checked(await self.raw.request(f"{self.prefix}.{verb}", body, timeout_s=timeout_s), verb)

    async def ensure_stream(self, config: Mapping[str, Any]) -> Any:
        """Makes a stream, or gives one that is there these settings; returns what the server says of it."""
        try:
            return await self.call(f"STREAM.CREATE.{config['name']}", config)
        except StoreRefused as error:
            if error.err_code != STREAM_EXISTS:
                raise
        return await self.call(f"STREAM.UPDATE.{config['name']}", config)

    async def ensure_consumer(self, stream: str, config: Mapping[str, Any]) -> Any:
        """Makes a durable consumer, or finds the one that is there; returns what the server says of it."""
        document = {"stream_name": stream, "config": config}
        return await self.call(f"CONSUMER.CREATE.{stream}.{config['name']}", document)


def checked(body: bytes, what: str) -> Any:
    """The document in a reply of JetStream. Raises StoreRefused for an error, or for what is no such reply."""
    try:
        found = loads(body)
    except PayloadInvalid:
        found = None
    if not isinstance(found, dict):
        raise StoreRefused(f"{what}: expected an answer of JetStream, got {body[:80]!r}")
    error = found.get("error")
    if isinstance(error, dict):
        text = error.get("description", "no reason given")
        raise StoreRefused(f"{what}: JetStream refuses: {text}", err_code=int(error.get("err_code", 0)))
    return found
