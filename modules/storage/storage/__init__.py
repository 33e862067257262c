"""The bundle `storage`: a durable store of measurements; the store itself can be used without gridlink.

`Storage` is looked up when it is asked for, so that `storage.store` imports neither the module nor gridlink.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.module import Storage

__all__ = ["Storage"]


def __getattr__(name: str) -> object:
    """Import the module's class on first use (PEP 562); AttributeError for any other name."""
    if name == "Storage":
        from storage.module import Storage  # noqa: PLC0415

        return Storage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
