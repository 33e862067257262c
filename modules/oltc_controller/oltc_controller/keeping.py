"""Keeps the mechanism's state in a file: counter, position, lock-out; the old state or the new one, whole,
after a power cut.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from gridlink.config import remove_temporaries, write_atomically
from oltc_controller.mechanism import Mechanism

FORMAT = 1


class KeptUnreadable(ValueError):
    """A kept state that can't be read: the counter is lost, the position is the grid's to tell."""


def encode(state: Mechanism) -> str:
    """The state as JSON text."""
    return json.dumps({"format": FORMAT, **msgspec.to_builtins(state)})


def decode(text: str) -> Mechanism:
    """The kept state, at rest: a step that was under way is not continued. Raises KeptUnreadable."""
    try:
        document: dict[str, Any] = json.loads(text)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}")
        reason = document["lock_out_reason"]
        return Mechanism(
            position=int(document["position"]),
            target=int(document["position"]),
            operations=int(document["operations"]),
            recent_s=tuple(float(time_s) for time_s in document["recent_s"]),
            lock_out_reason=None if reason is None else str(reason),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise KeptUnreadable(
            f"expected a mechanism's state of format {FORMAT}, came {text[:80]!r} ({error})"
        ) from error


def read_kept(path: Path) -> str | None:
    """The file's text, None when nothing was kept yet. Raises OSError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def write_kept(path: Path, text: str) -> None:
    """Replaces the file's text atomically and durably. Blocks; raises OSError."""
    remove_temporaries(path)  # of a process that was killed in here
    write_atomically(path, text.encode())
