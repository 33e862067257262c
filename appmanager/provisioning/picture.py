"""The state machine as a picture (Mermaid), made from its own table. `python -m appmanager.provisioning.picture`."""

from __future__ import annotations

from collections.abc import Iterator

from appmanager.provisioning.machine import STEPS, TABLE, End, Event, Kind


def picture(kind: Kind) -> str:
    """The states of one kind of command, as a Mermaid diagram."""
    return "\n".join(["stateDiagram-v2", *_lines(kind)]) + "\n"


def _lines(kind: Kind) -> Iterator[str]:
    yield f"    [*] --> {STEPS[kind][0].upper()}"
    for (of, state, event), to in TABLE.items():
        if of is kind and (state, event) != (to, Event.CUT):
            label = "" if event is Event.OK else f": {event.value}"
            yield f"    {_named(state)} --> {_named(to)}{label}"
    yield from (f"    {_named(end)} --> [*]" for end in End)


def _named(state: str) -> str:
    return state.replace(" ", "_").upper()


def document() -> str:
    """All kinds, as they stand in docs/provisioning.md."""
    return "\n".join(f"### {kind.value}\n\n```mermaid\n{picture(kind)}```\n" for kind in Kind)


if __name__ == "__main__":
    print(document(), end="")  # noqa: T201 - a program's output
