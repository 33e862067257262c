"""The interpreter's own module of signals, as `signal`: the standard library's adds enums, 0.8 MiB in a guardian."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

__all__ = ["name_of", "signal"]


def name_of(number: int) -> str:
    """`SIGKILL` for 9; the number where it has no name."""
    names = (name for name in dir(signal) if name.startswith("SIG") and "_" not in name)
    return next((name for name in names if getattr(signal, name) == number), str(number))
