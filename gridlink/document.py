"""The published document (JSON Schema 2020-12) of a role, an instance or a topic, made from contracts. Pure.

A document is annotation with schemas in it: `requests` or `events` by type, each with the schema of its payload (and
reply), and `$defs` that they share. `urn:gridlink:schema:role:storage#/requests/addMeasurement/payload` names one.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gridlink.contract import Contract, schema_of
from gridlink.errors import ModuleInvalid

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PREFIX = "urn:gridlink:schema:"
REFERENCE = "#/$defs/"

Schema = dict[str, Any]
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request: the schemas of its payload and its reply, each whole, with its own `$defs`."""

    payload: Schema
    reply: Schema
    description: str = ""
    idempotent: bool = False  # may be done twice


def exchanges(contract: Contract, idempotent: tuple[str, ...] = ()) -> dict[str, Exchange]:
    """The requests of a contract; `idempotent` is the manifest's."""
    return {
        served.type: Exchange(schema_of(served.payload), schema_of(served.reply), served.doc, served.type in idempotent)
        for served in contract.requests.values()
    }


def events(contract: Contract) -> dict[str, dict[str, Schema]]:
    """The events that a contract publishes: topic -> type -> schema of the payload."""
    return {
        topic: {type_: schema_of(payload) for type_, payload in published.items()}
        for topic, published in contract.published.items()
    }


def request_document(kind: str, name: str, description: str, requests: Mapping[str, Exchange]) -> Document:
    """What a `kind` ("role", "instance") of that name answers."""
    shared = _Definitions()
    served: dict[str, Any] = {}
    for type_, exchange in sorted(requests.items()):
        entry: dict[str, Any] = {"description": exchange.description} if exchange.description else {}
        if exchange.idempotent:
            entry["idempotent"] = True
        entry["payload"], entry["reply"] = shared.take(exchange.payload), shared.take(exchange.reply)
        served[type_] = entry
    return {**envelope(f"{kind}:{name}", f"{kind} {name}", description), "requests": served, "$defs": shared.sorted()}


def event_document(name: str, title: str, description: str, payloads: Mapping[str, Schema]) -> Document:
    """What is published: `name` is `topic:measurement`, or `registry`."""
    shared = _Definitions()
    published = {type_: {"payload": shared.take(payload)} for type_, payload in sorted(payloads.items())}
    return {**envelope(name, title, description), "events": published, "$defs": shared.sorted()}


def schema_document(name: str, title: str, schema: Schema) -> Document:
    """A document that is one schema."""
    shared = _Definitions()
    body = shared.take(schema)
    return {**envelope(name, title, ""), **body, **({"$defs": shared.sorted()} if shared.sorted() else {})}


def envelope(name: str, title: str, description: str) -> Document:
    """How each document begins. No host serves it: `$id` is a name (a URN), not a place."""
    head = {"$schema": DIALECT, "$id": PREFIX + name, "title": title}
    return {**head, "description": description} if description else head


def payload_of(document: Document, type_: str, part: str = "payload") -> Schema:
    """The schema of one payload (or `reply`) of a document, whole: with the definitions it refers to."""
    entry = (document.get("requests") or document.get("events") or {}).get(type_)
    if entry is None or part not in entry:
        raise ModuleInvalid(f"{document.get('title', 'the document')} has no {part} of {type_!r}")
    return {**entry[part], "$defs": document.get("$defs", {})}


class _Definitions:
    """The `$defs` that several schemas share. Two different ones of one name are kept apart by a number."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    def take(self, schema: Schema) -> Schema:
        """The schema without its `$defs`, which are kept here."""
        own = {name: _tidy(body) for name, body in schema.get("$defs", {}).items()}
        renamed = self._clashing(own)
        for name, body in own.items():
            self._kept[renamed.get(name, name)] = _renamed(body, renamed)
        rest = {key: value for key, value in schema.items() if key != "$defs"}
        result: Schema = _renamed(rest, renamed)
        return result

    def sorted(self) -> dict[str, Any]:
        """All of them, by name."""
        return dict(sorted(self._kept.items()))

    def _clashing(self, own: dict[str, Any]) -> dict[str, str]:
        """New names for a schema's definitions: where one is taken by another body, all of the schema's get a number.

        All, because two definitions of one text differ where a definition that they refer to differs.
        """
        number, renamed = 1, dict[str, str]()
        while any(
            self._kept.get(renamed.get(name, name), body_now) != body_now
            for name, body in own.items()
            for body_now in (_renamed(body, renamed),)
        ):
            number += 1
            renamed = {name: f"{name}_{number}" for name in own}
        return renamed


def _tidy(definition: Schema) -> Schema:
    """A docstring comes with the indentation of its source."""
    description = definition.get("description")
    return {**definition, "description": inspect.cleandoc(description)} if description else definition


def _renamed(part: Any, names: Mapping[str, str]) -> Any:
    if not names:
        return part
    if isinstance(part, list):
        return [_renamed(item, names) for item in part]
    if not isinstance(part, dict):
        return part
    found = {key: _renamed(value, names) for key, value in part.items()}
    target = part.get("$ref")
    if isinstance(target, str) and target.startswith(REFERENCE):
        name = target.removeprefix(REFERENCE)
        found["$ref"] = REFERENCE + names.get(name, name)
    return found
