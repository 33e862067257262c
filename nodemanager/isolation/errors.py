"""The errors of isolation. Each says which bundle, what was found and what to do instead."""

from __future__ import annotations

from gridlink.errors import ModuleInvalid


class NotHostable(ModuleInvalid):
    """A bundle that can't share this interpreter. Nothing of it was loaded: run it in `fork` and say `reason` aloud."""

    fields = ("reason",)

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message
