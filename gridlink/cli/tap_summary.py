"""Who talks to whom: counts and latencies of what a tap has heard, as a table, JSON or a Mermaid diagram. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gridlink.address import readable
from gridlink.cli.listening import Passed
from gridlink.registry import Entry

MAX_ROWS = 1000  # programs outside may call themselves anything
MAX_SAMPLES = 10_000  # latencies of a row: the last ones
OTHERS = ("(others)", "", "")

COLUMNS = ("from", "to", "type", "count", "errors", "p50 ms", "p99 ms", "max ms")


@dataclass(slots=True)
class Traffic:
    """The messages of one type from one sender to one address."""

    count: int = 0
    errors: int = 0
    elapsed_us: deque[int] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))

    def quantile_ms(self, part: float) -> float | None:
        """The latency in ms that `part` (0 to 1) of the replies don't exceed; None where there was none."""
        if not self.elapsed_us:
            return None
        ordered = sorted(self.elapsed_us)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] / 1000


class Summary:
    """What has been heard, by sender, address and type."""

    def __init__(self) -> None:
        self.left_out = 0  # messages that nobody has counted
        self._rows: dict[tuple[str, str, str], Traffic] = {}

    def add(self, passed: Passed) -> None:
        """Counts a message; a reply counts for the request that it answers."""
        seen = passed.seen
        key = (seen.source or "?", readable(seen.address), seen.type)
        if key not in self._rows and len(self._rows) >= MAX_ROWS:
            key = OTHERS
        row = self._rows.setdefault(key, Traffic())
        if seen.kind in ("request", "event"):
            row.count += 1
            return
        row.errors += seen.kind == "error"
        row.elapsed_us.append(seen.elapsed_us)

    def _ordered(self) -> list[tuple[tuple[str, str, str], Traffic]]:
        return sorted(self._rows.items(), key=lambda item: (-item[1].count, item[0]))

    def document(self, entries: Sequence[Entry]) -> dict[str, Any]:
        """For programs. Latencies are from the arrival at the node that serves to its reply, in ms."""
        rows = []
        for (source, to, type_name), row in self._ordered():
            one: dict[str, Any] = {"from": source, "to": to, "type": type_name, "count": row.count}
            if to.startswith("topic "):
                one["subscribers"] = subscribers(to, type_name, entries)
            else:
                one |= {"errors": row.errors, "answered": len(row.elapsed_us)}
                one |= {f"{name}_ms": row.quantile_ms(part) for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1))}
            rows.append(one)
        return {"messages": rows, "left_out": self.left_out}

    def table(self) -> list[tuple[str, ...]]:
        """For people, under COLUMNS."""
        return [
            (*key, str(row.count), "" if key[1].startswith("topic ") else str(row.errors), *_latencies(row))
            for key, row in self._ordered()
        ]

    def mermaid(self, entries: Sequence[Entry]) -> str:
        """A flow chart: who asks whom (`-->`, with p50), who publishes (`-.->`), and who subscribes."""
        names: dict[str, str] = {}
        edges = []
        for (source, to, type_name), row in self._ordered():
            arrow, label = ("-.->" if to.startswith("topic ") else "-->"), f"{type_name} {row.count}x"
            if (p50_ms := row.quantile_ms(0.5)) is not None:
                label += f", {p50_ms:.1f} ms"
            if row.errors:
                label += f", {row.errors} errors"
            edges.append(f'  {_node(names, source)} {arrow}|"{_text(label)}"| {_node(names, to)}')
            heard = subscribers(to, type_name, entries)
            edges.extend(f"  {_node(names, to)} -.-> {_node(names, who)}" for who in heard)
        boxes = [_box(text, name) for text, name in names.items()]
        return "\n".join(["flowchart LR", *boxes, *dict.fromkeys(edges)])


def subscribers(to: str, type_name: str, entries: Iterable[Entry]) -> list[str]:
    """The instances that an event of the type on the topic (`topic NAME`) reaches."""
    topic = to.removeprefix("topic ")
    if topic == to:
        return []
    return sorted(e.instance for e in entries if {type_name, "*"} & set(e.subscribes.get(topic, ())))


def _latencies(row: Traffic) -> list[str]:
    found = (row.quantile_ms(part) for part in (0.5, 0.99, 1.0))
    return ["" if ms is None else f"{ms:.2f}" for ms in found]


def _node(names: dict[str, str], text: str) -> str:
    return names.setdefault(text, f"n{len(names) + 1}")


def _box(text: str, name: str) -> str:
    left, right = ("([", "])") if text.startswith("topic ") else ("[", "]")
    return f'  {name}{left}"{_text(text)}"{right}'


def _text(text: str) -> str:
    """Text between quotation marks in Mermaid: a sender's name may be anybody's."""
    return "".join(c if c.isalnum() or c in " @_-.,()?" else f"#{ord(c)};" for c in text)
