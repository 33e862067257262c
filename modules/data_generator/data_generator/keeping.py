"""Keeps the replay's position in a file: the old one or the new one, whole, whenever the power fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from data_generator.grid import Position
from data_generator.violations import DayAccount
from gridlink.config import remove_temporaries, write_atomically

FORMAT = 1


class KeptUnreadable(ValueError):
    """A kept position that can't be read; the replay has to begin anew."""


def encode(position: Position, replay: str) -> str:
    """The position as JSON text. `replay` names what is replayed (start and days): it fits no other."""
    return json.dumps({"format": FORMAT, "replay": replay, **msgspec.to_builtins(position)})


def decode(text: str, replay: str) -> Position | None:
    """The position kept for this replay; None when it was another's. Raises KeptUnreadable."""
    try:
        document: dict[str, Any] = json.loads(text)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}")
        if document["replay"] != replay:
            return None
        return Position(
            elapsed_s=float(document["elapsed_s"]),
            tap=int(document["tap"]),
            account=DayAccount(**document["account"]),
            finished=tuple(DayAccount(**account) for account in document["finished"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise KeptUnreadable(f"expected a replay position of format {FORMAT}, came {text[:80]!r} ({error})") from error


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
