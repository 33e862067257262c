"""What `gridlink top` knows: two looks at the nodes of a site, made into rows of rates. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gridlink.node.footprint.process import ProcessFootprint
from gridlink.node.footprint.report import ModuleFootprint, NodeFootprint
from gridlink.registry import Entry

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Look:
    """What the nodes said at a moment (monotonic seconds); one that didn't answer is not in it."""

    at_s: float
    nodes: Mapping[str, NodeFootprint] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """An instance for programs. Times in milliseconds of one step on the loop, since the look began; None: not known.

    `cpu_s`: since the look began, and of its threads since its start. `pss_mib`: of its whole process.
    """

    instance: str
    name: str
    state: str
    mode: str
    node: str
    machine: str
    pid: int
    cpu_percent: float | None = None
    cpu_s: float | None = None
    steps: int | None = None
    mean_ms: float | None = None
    p99_ms: float | None = None
    longest_ms: float | None = None
    messages: int | None = None
    messages_per_s: float | None = None
    errors: int | None = None
    declared_mib: float | None = None
    pss_mib: float | None = None
    shares_process_with: int = 0  # other modules


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process for programs; None: not known. `written_mib_per_day`: to flash, at the pace since its start.

    `own_percent`: of `cpu_percent`, what the node's own steps on the loop took: the bus, the registry.
    """

    process: str
    machine: str
    pid: int
    up_s: float
    cpu_percent: float | None
    own_percent: float | None
    cpu_s: float
    threads: int
    pss_mib: float | None
    uss_mib: float | None
    rss_mib: float
    written_mib: float | None
    written_mib_per_day: float | None


SORTS: Mapping[str, tuple[str, str]] = {  # how it may be sorted -> a module's field, a process's
    "cpu": ("cpu_percent", "cpu_percent"),
    "memory": ("pss_mib", "pss_mib"),
    "p99": ("p99_ms", "cpu_percent"),
    "longest": ("longest_ms", "cpu_percent"),
    "messages": ("messages_per_s", "cpu_percent"),
    "errors": ("errors", "cpu_percent"),
    "flash": ("cpu_percent", "written_mib_per_day"),
    "name": ("instance", "process"),
}


def module_rows(entries: Iterable[Entry], before: Look, now: Look) -> list[ModuleRow]:
    """A row an instance of the registry."""
    old = {one.instance: one for node in before.nodes.values() for one in node.modules}
    new = {one.instance: (node, one) for node in now.nodes.values() for one in node.modules}
    return [_module(entry, new.get(entry.instance), old.get(entry.instance), before, now) for entry in entries]


def _module(
    entry: Entry,
    found: tuple[NodeFootprint, ModuleFootprint] | None,
    old: ModuleFootprint | None,
    before: Look,
    now: Look,
) -> ModuleRow:
    known: dict[str, Any] = {}
    if found is not None:
        node, one = found
        known = {
            "messages": one.messages,
            "errors": one.errors,
            "declared_mib": one.declared_mib,
            "pss_mib": _mib(node.processes[0].pss_bytes),
            "shares_process_with": len(node.modules) - 1,
            **_loop(one, old, before, now),
        }
    return ModuleRow(
        instance=entry.instance,
        name=entry.name,
        state=entry.state.value,
        mode=entry.mode,
        node=entry.node,
        machine=entry.machine,
        pid=entry.pid,
        **known,
    )


def _loop(one: ModuleFootprint, old: ModuleFootprint | None, before: Look, now: Look) -> dict[str, Any]:
    loop, gap_s = one.loop, now.at_s - before.at_s
    if loop is None:
        return {}
    cpu_s = loop.cpu_s + one.thread_cpu_s
    found: dict[str, Any] = {"cpu_s": cpu_s, "steps": loop.steps}
    if loop.steps:
        found |= {"mean_ms": loop.mean_s * 1e3, "p99_ms": loop.p99_s * 1e3, "longest_ms": loop.longest_s * 1e3}
    if old is not None and old.messages <= one.messages and gap_s > 0:
        found["messages_per_s"] = (one.messages - old.messages) / gap_s
        if old.loop is not None and old.loop.steps <= loop.steps:
            found["cpu_percent"] = (cpu_s - old.loop.cpu_s - old.thread_cpu_s) / gap_s * 100
    return found


def process_rows(entries: Iterable[Entry], before: Look, now: Look) -> list[ProcessRow]:
    """A row a process of the nodes that answered."""
    machines = {entry.node: entry.machine for entry in entries if entry.pid}
    old = {(name, one.pid): one for name, node in before.nodes.items() for one in node.processes}
    gap_s = now.at_s - before.at_s
    rows = []
    for name, node in now.nodes.items():
        own_percent = _own_percent(before.nodes.get(name), node, gap_s)
        for one in node.processes:
            is_node = one is node.processes[0]
            found = _process(one, machines.get(name, ""), old.get((name, one.pid)), gap_s)
            rows.append(replace(found, own_percent=own_percent) if is_node else found)
    return rows


def _own_percent(before: NodeFootprint | None, now: NodeFootprint, gap_s: float) -> float | None:
    if before is None or before.own is None or now.own is None or before.own.steps > now.own.steps or gap_s <= 0:
        return None
    return (now.own.cpu_s - before.own.cpu_s) / gap_s * 100


def _process(one: ProcessFootprint, machine: str, old: ProcessFootprint | None, gap_s: float) -> ProcessRow:
    return ProcessRow(
        process=one.name,
        machine=machine,
        pid=one.pid,
        up_s=one.up_s,
        cpu_percent=(one.cpu_s - old.cpu_s) / gap_s * 100 if old is not None and gap_s > 0 else None,
        own_percent=None,
        cpu_s=one.cpu_s,
        threads=one.threads,
        pss_mib=_mib(one.pss_bytes),
        uss_mib=_mib(one.uss_bytes),
        rss_mib=one.rss_bytes / MIB,
        written_mib=_mib(one.written_bytes),
        written_mib_per_day=_mib(one.written_a_day),
    )


def _mib(size: float | None) -> float | None:
    return None if size is None else size / MIB


def ordered(rows: Sequence[Any], column: str, *, inverted: bool = False) -> list[Any]:
    """Rows by a column: the largest number first, names from a to z; what isn't known comes last either way."""
    is_name = column in ("instance", "process")
    known = [row for row in rows if getattr(row, column) is not None]
    known.sort(key=lambda row: getattr(row, column), reverse=is_name == inverted)
    return known + [row for row in rows if getattr(row, column) is None]


def states(entries: Iterable[Entry]) -> str:
    """How many modules are in which state, in words: `7 RUNNING, 1 FAILED`."""
    counted = Counter(entry.state.value for entry in entries)
    return ", ".join(f"{number} {state}" for state, number in counted.most_common()) or "no module"
