"""`python -m gridlink.cli.schemas`: writes the published JSON Schemas (`schemas/`) from the types. See `make schemas`.

What is written depends on the types alone, so that a test can compare it with the files.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

import appmanager
import nodemanager
from appmanager.packed import contents
from gridlink import manifest
from gridlink.bus import headers
from gridlink.cli import declared
from gridlink.codec import dumps
from gridlink.contract import Contract, contract_of, schema_of
from gridlink.document import Document, Exchange, event_document, events, exchanges, request_document, schema_document
from gridlink.errors import GridlinkError, ModuleInvalid
from gridlink.manifest import Manifest
from gridlink.node.bundle import Bundle, find_bundles, load_alone, load_installed, read_bundle
from gridlink.proxies import site_schema
from gridlink.registry.entry import KINDS

ROOT = Path(__file__).resolve().parents[2]
Described = tuple[Manifest, Contract, str]  # the string says what the module is for


def shipped(modules: Path = ROOT / "modules") -> list[Described]:
    """The bundles in `modules`, imported into this interpreter, and the two modules that Gridlink itself has."""
    own = [Path(str(package.__file__)).parent for package in (appmanager, nodemanager)]
    found = [_described(read_bundle(directory)) for directory in find_bundles(modules)]
    return found + [_described(read_bundle(directory)) for directory in own]


def _described(bundle: Bundle) -> Described:
    package = bundle.manifest.entry.partition(":")[0]
    here = importlib.util.find_spec(package) is not None
    cls = (load_installed if here else load_alone)(bundle).target
    return bundle.manifest, contract_of(cls), inspect.getdoc(cls) or ""


def documents(modules: Sequence[Described]) -> dict[str, Document]:
    """Every published document by the path of its file. Raises ModuleInvalid for two that contradict each other."""
    found = {
        "headers.json": headers.document(),
        "site.json": site_schema.document(),
        "bundle.json": schema_document("bundle", "a line of a packed bundle's .contents.json", contents.schema()),
        "apply.json": declared.schema_of_file(),
        "manifest.json": schema_document("manifest", "a bundle's module.json", manifest.schema()),
        "registry.json": event_document(
            "registry",
            "registry",
            "What nodes tell each other on gl.<site>.registry.<type>.",
            {kind: schema_of(payload) for kind, payload in KINDS.items()},
        ),
    }
    for kind, name, text, requests in _receivers(modules):
        path = f"{kind}/{name}.json"
        if path in found:
            raise ModuleInvalid(f"two modules serve {kind} {name}: its document can't be made of both")
        found[path] = request_document(kind, name, text, requests)
    return {**found, **_topics(modules)}


def _receivers(modules: Iterable[Described]) -> Iterable[tuple[str, str, str, dict[str, Exchange]]]:
    """What takes requests: roles, and the instances of a module that has requests and no role."""
    for description, contract, text in modules:
        requests = exchanges(contract, description.idempotent)
        for role in contract.roles:
            yield "role", role, text, requests
        if requests and not contract.roles:
            yield "instance", description.name, text, requests


def _topics(modules: Iterable[Described]) -> dict[str, Document]:
    payloads: dict[str, dict[str, Any]] = {}
    publishers: dict[str, list[str]] = {}
    for description, contract, _ in modules:
        for topic, published in events(contract).items():
            known = payloads.setdefault(topic, {})
            for type_, schema in published.items():
                if known.setdefault(type_, schema) != schema:
                    raise ModuleInvalid(f"topic {topic}: {description.name} publishes another {type_!r} than others")
            publishers.setdefault(topic, []).append(description.name)
    return {
        f"topic/{topic}.json": event_document(
            f"topic:{topic}", f"topic {topic}", f"Published by {', '.join(publishers[topic])}.", known
        )
        for topic, known in payloads.items()
    }


def write(found: dict[str, Document], directory: Path) -> list[str]:
    """Makes `directory` hold these documents and no other; the paths of what was changed or removed."""
    changed = []
    for path, document in found.items():
        file, body = directory / path, spelled(document)
        if not file.is_file() or file.read_bytes() != body:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
            changed.append(path)
    for path in sorted(published(directory) - found.keys()):
        (directory / path).unlink()
        changed.append(path)
    return changed


def spelled(document: Document) -> bytes:
    """The text of a document's file."""
    return dumps(document, indent=True) + b"\n"


def published(directory: Path) -> set[str]:
    """The paths of the documents in a directory."""
    return {file.relative_to(directory).as_posix() for file in directory.rglob("*.json")}


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "schemas", help="Where to. [schemas]")
@click.option(
    "--modules",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=ROOT / "modules",
    help="The bundles. [modules]",
)
def main(out: Path, modules: Path) -> None:
    """Write the published JSON Schemas from the types."""
    try:
        changed = write(documents(shipped(modules)), out)
    except GridlinkError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(changed) if changed else f"{out}: up to date")


if __name__ == "__main__":
    main()
