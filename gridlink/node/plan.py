"""Which bundles of a managed directory run, how, and in which order. Pure, but for reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from gridlink.errors import GridlinkError
from gridlink.manifest import Manifest
from gridlink.node.bundle import find_bundles, read_bundle

NODEMANAGER_ENTRY = "nodemanager:NodeManager"
NODEMANAGER = "nodemanager"  # the one that a node has of its own
CHOSEN = "an operator moved it here"


class Planned(Struct, frozen=True):
    """One directory of a managed directory. `refused` says why it doesn't run, `note` why not in the mode asked for."""

    directory: Path
    name: str
    manifest: Manifest | None
    mode: str = ""
    refused: str = ""
    note: str = ""
    into: str = ""  # in mode node: the name of the NodeManager
    within: str = ""  # the bundle of a NodeManager in whose own directory it lies


class Choice(Struct, frozen=True):
    """How an operator has decided that a module runs: `gridlink move`."""

    mode: Literal["node", "fork", "process"]
    into: str = ""


class Policy(Struct, frozen=True):
    """How bundles are to run here. What an operator chose counts most, then `mode`, `modes`, the manifest."""

    mode: str = ""  # for all bundles
    nodemanager: bool = True
    processes: bool = True  # whether there is a bus that other processes can reach
    moved: Mapping[str, str] = field(default_factory=dict)  # modules that can't be in a node any more, and why
    chosen: Mapping[str, Choice] = field(default_factory=dict)
    modes: Mapping[str, str] = field(default_factory=dict)  # the site's, by module
    untrusted: str = "fork"  # what becomes of a bundle that would share a process with what it isn't trusted with
    trust: str = "trusted"  # of the NodeManager whose bundles these are, and of the AppManager's own


def read_plan(managed: Path, policy: Policy) -> list[Planned]:
    """Reads the bundles of a managed directory and plans them, by name of their directories."""
    found: list[tuple[Path, Manifest | GridlinkError]] = []
    for directory in find_bundles(managed):
        try:
            found.append((directory, read_bundle(directory).manifest))
        except GridlinkError as error:
            found.append((directory, error))
    return plan(found, policy)


def is_provisioned(managed: Path) -> bool:
    """Whether commands have put bundles there: then it may hold none, as after an uninstall or in a power cut."""
    own = managed / ".gridlink"
    return (own / "record").exists() or (own / "journal").exists()


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
        planned.append(_planned(directory, manifest, policy))
    return [trusted(one, planned, policy) for one in planned]


def _planned(directory: Path, manifest: Manifest, policy: Policy) -> Planned:
    mode, refused = _mode(manifest, policy)
    choice = policy.chosen.get(manifest.name)
    into = (choice.into if choice is not None else "") or manifest.into or NODEMANAGER
    note = policy.moved.get(manifest.name, "") if mode == "fork" else ""
    if not note and choice is not None and choice.mode == mode:
        note = CHOSEN
    return Planned(directory, manifest.name, manifest, mode, refused, note, into if mode == "node" else "")


def trusted(one: Planned, others: Sequence[Planned], policy: Policy) -> Planned:
    """The bundle, forked or refused where it would share a process with modules of another trust than its own.

    A NodeManager hosts modules of its own trust alone: `untrusted` in its bundle's manifest makes one for those.
    """
    if one.manifest is None or one.mode != "node" or one.refused:
        return one
    host = next((p.manifest for p in others if p.name == one.into and p.manifest is not None), None)
    of_host = host.trust if host is not None else policy.trust
    if one.manifest.trust == of_host:
        return one
    why = f"it is {one.manifest.trust}, and {one.into} hosts what is {of_host}: the two never share a process"
    if policy.untrusted == "fork" and policy.processes:
        return replace(one, mode="fork", note=why, into="")
    return replace(one, refused=f"{why}: run it in mode fork or process, or in a NodeManager that is as it is")


def _mode(manifest: Manifest, policy: Policy) -> tuple[str, str]:
    """The mode in which a bundle runs, or why it can't."""
    own_process = manifest.entry == NODEMANAGER_ENTRY
    choice = policy.chosen.get(manifest.name)
    mode = choice.mode if choice is not None else policy.mode or policy.modes.get(manifest.name, "") or manifest.mode
    if own_process:
        mode = manifest.mode
    if mode == "node" and (own_process or not policy.nodemanager):
        mode = "process"
    if mode == "node" and manifest.name in policy.moved:
        if not policy.processes:
            return mode, policy.moved[manifest.name]
        mode = "fork"
    if mode != "node" and not policy.processes:
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
