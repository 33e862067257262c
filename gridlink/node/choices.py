"""What operators have decided on how modules run (`gridlink move`): `.gridlink/modes.json`, replaced whole."""

from __future__ import annotations

from pathlib import Path

from gridlink.codec import dumps
from gridlink.config import read_json, typed, write_atomically
from gridlink.node.plan import Choice

FILE = "modes.json"


def read_choices(state: Path) -> dict[str, Choice]:
    """The choices, by module; none where there is no file. `state`: `.gridlink`. Raises ConfigInvalid, OSError."""
    path = state / FILE
    try:
        document = read_json(path)
    except FileNotFoundError:
        return {}
    return dict(typed(document, dict[str, Choice], str(path)))


def write_choices(state: Path, choices: dict[str, Choice]) -> None:
    """Replaces the file; it is on disk when this returns. Raises OSError."""
    write_atomically(state / FILE, spelled(choices))


def spelled(choices: dict[str, Choice]) -> bytes:
    """The file's content."""
    document = {name: {"mode": choice.mode, "into": choice.into} for name, choice in sorted(choices.items())}
    return dumps(document, indent=True) + b"\n"


def put_choices_aside(state: Path) -> str:
    """Moves a file that can't be read to where an operator finds it, and says where; or why the disk refuses that."""
    aside = state / "damaged" / FILE
    try:
        aside.parent.mkdir(exist_ok=True)
        (state / FILE).replace(aside)
    except OSError as error:
        return f"left where it is: {error}"
    return f"put aside as {aside}"
