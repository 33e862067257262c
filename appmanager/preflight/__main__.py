"""`python -m appmanager.preflight FD DIRECTORY CONFIG`: imports a bundle and writes what it found to a pipe, as JSON.

It doesn't make an instance of the module: a constructor may open what the running version holds. CONFIG is the file
to check; the bundle's own if it is empty. The limits were set by whoever started it.
"""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path
from typing import Any

from gridlink.codec import dumps
from gridlink.config import read_json, typed
from gridlink.contract import Contract, contract_of
from gridlink.document import Document, event_document, events, exchanges, request_document
from gridlink.errors import ANYTHING, ConfigInvalid, GridlinkError, raised_at
from gridlink.manifest import Manifest
from gridlink.module.module import Module, config_type
from gridlink.node.bundle import CONFIG, load_alone, load_installed, read_bundle

LONGEST_S = 86400.0  # JSON has no infinity
HOSTS_OWN = ("appmanager", "nodemanager")


def tried(directory: Path, config: Path | None) -> dict[str, Any]:
    """What `Tried` has of a bundle. Raises GridlinkError."""
    bundle = read_bundle(directory)
    installed = bundle.manifest.entry.partition(":")[0].partition(".")[0] in HOSTS_OWN
    target = (load_installed if installed else load_alone)(bundle).target
    contract = contract_of(target)
    _check_config(target, config or directory / CONFIG, f"{CONFIG} of {bundle.manifest.name}")
    documents = _documents(bundle.manifest, contract, inspect.getdoc(target) or "")
    return {"documents": documents, "start_within_s": _declared(target)}


def _declared(target: Any) -> float:
    """How long its start may take, where its author says so; else 0."""
    asked = any("start_within_s" in vars(cls) for cls in target.__mro__ if cls is not Module)
    return min(float(target.start_within_s), LONGEST_S) if asked else 0.0


def _check_config(target: Any, file: Path, where: str) -> None:
    """`where`: what it is called to an operator, who knows nothing of the directory in which it is tried."""
    document = read_json(file, where) if file.exists() else {}
    wanted = config_type(target)
    if wanted is not None:
        typed(document, wanted, where)
    elif document:
        raise ConfigInvalid(f"{where}: the module takes no settings: remove {', '.join(document)}")


def _documents(manifest: Manifest, contract: Contract, description: str) -> dict[str, Document]:
    requests = exchanges(contract, manifest.idempotent)
    found = {f"role {role}": request_document("role", role, description, requests) for role in contract.roles}
    for topic, payloads in events(contract).items():
        found[f"topic {topic}"] = event_document(f"topic:{topic}", f"topic {topic}", "", payloads)
    return found


def main() -> None:
    """Writes `{"documents": …, "start_within_s": …}`, or `{"error": class, "message": …}`."""
    fd, directory, config = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    try:
        answer = tried(directory, Path(config) if config else None)
    except GridlinkError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    except ANYTHING as error:  # an annotation may run the author's code too
        answer = {"error": "ModuleInvalid", "message": f"{type(error).__name__}: {error}{raised_at(error)}"}
    with os.fdopen(fd, "wb") as out:
        out.write(dumps(answer))
    os._exit(0)  # threads that the import has started are nobody's business


if __name__ == "__main__":
    main()
