"""What the guardian's tests ask of the operating system and of a running node."""

from __future__ import annotations

from pathlib import Path

from gridlink.errors import GridlinkError
from gridlink.lifecycle import State
from gridlink.registry import Entry
from tests.acceptance.running import Running


def alive(pid: int) -> bool:
    """Whether a process runs (one that nobody has waited for yet doesn't)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def zombies_of(pid: int) -> list[int]:
    """Of those, the ones that have ended and that nobody has waited for."""
    return [child for child in children_of(pid) if not alive(child)]


def entry(node: Running, name: str) -> Entry | None:
    """The entry of a module that is RUNNING."""
    return next((e for e in node.registry.instances() if e.name == name and e.state is State.RUNNING), None)


def pid(node: Running, name: str) -> int:
    """The process that runs a module; 0 where it doesn't run."""
    found = entry(node, name)
    return found.pid if found is not None else 0


async def answers(node: Running, role: str) -> bool:
    """Whether a role answers `ping`."""
    try:
        return bool(await node.sender.request(role, "ping", timeout_s=1) == "pong")
    except GridlinkError:
        return False
