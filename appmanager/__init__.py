"""The AppManager: supervises processes, and knows what runs on this machine. Its class is imported when it is used."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from appmanager.appmanager import AppManager

__all__ = ["AppManager"]


def __getattr__(name: str) -> object:
    if name != "AppManager":
        raise AttributeError(f"appmanager has no {name!r}")
    from appmanager import appmanager  # noqa: PLC0415 - not for the guardian, which imports this file

    return appmanager.AppManager
