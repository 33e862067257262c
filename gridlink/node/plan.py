"""Which bundles of a managed directory run, how, and in which order. Pure, but for reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gridlink.errors import GridlinkError
from gridlink.manifest import Manifest
from gridlink.node.bundle import find_bundles, read_bundle

NODEMANAGER_ENTRY = "nodemanager:NodeManager"


@dataclass(frozen=True, slots=True)
class Planned:
    """One directory of a managed directory. `refused` says why it doesn't run."""

    directory: Path
    name: str
    manifest: Manifest | None
    mode: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """How bundles are to run here. `mode`: for all of them, whatever their manifests say."""

    mode: str = ""
    nodemanager: bool = True
    processes: bool = True  # whether there is a bus that other processes can reach


def read_plan(managed: Path, policy: Policy) -> list[Planned]:
    """Reads the bundles of a managed directory and plans them, by name of their directories."""
    found: list[tuple[Path, Manifest | GridlinkError]] = []
    for directory in find_bundles(managed):
        try:
            found.append((directory, read_bundle(directory).manifest))
        except GridlinkError as error:
            found.append((directory, error))
    return plan(found, policy)


def plan(found: Sequence[tuple[Path, Manifest | GridlinkError]], policy: Policy) -> list[Planned]:
    """What becomes of each bundle that was found. Of two that bear the same name the second is refused."""
    planned: list[Planned] = []
    holders: dict[str, Path] = {}
    for directory, manifest in found:
        if isinstance(manifest, GridlinkError):
            planned.append(Planned(directory, directory.name, None, refused=str(manifest)))
            continue
        holder = holders.setdefault(manifest.name, directory)
        if holder is not directory:
            refused = (
                f"{directory}/module.json names it {manifest.name!r}, and so does {holder}: remove one, or rename it"
            )
            planned.append(Planned(directory, directory.name, None, refused=refused))
            continue
        mode, refused = _mode(manifest, policy)
        planned.append(Planned(directory, manifest.name, manifest, mode, refused))
    return planned


def _mode(manifest: Manifest, policy: Policy) -> tuple[str, str]:
    """The mode in which a bundle runs, or why it can't."""
    own_process = manifest.entry == NODEMANAGER_ENTRY
    mode = manifest.mode if own_process else policy.mode or manifest.mode
    if own_process or mode == "fork" or not policy.nodemanager:
        mode = "process"  # fork needs the zygote, which is not there yet
    if mode == "process" and not policy.processes:
        return mode, "it runs in a process of its own, which the in-process bus can't reach: leave --bus local out"
    return mode, ""


def startable(waiting: Mapping[str, Sequence[str]], available: frozenset[str], starting: int) -> list[str]:
    """Which of the waiting modules (name -> roles it uses) can start now, given the roles that are served.

    A module waits for the roles it uses. Where nothing is starting any more and nothing can, the rest starts all the
    same: a role that nobody serves, or a cycle, must not keep a module from running.
    """
    ready = [name for name, roles in waiting.items() if available.issuperset(roles)]
    if not ready and starting == 0:
        return list(waiting)
    return ready
