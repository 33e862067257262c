"""What is wrong with a packed bundle. Nothing of it is left on disk then, and nothing was changed."""

from __future__ import annotations

from gridlink.errors import GridlinkError, ModuleInvalid


class BundleInvalid(ModuleInvalid):
    """A file that is no bundle, or one that must not be unpacked: damaged, hostile, or for another machine."""


class BundleRefused(GridlinkError):
    """A bundle that is whole and doesn't fit here. `check` names what it didn't pass, `reasons` are all of them."""

    code = 422
    fields = ("check", "reasons")

    def __init__(self, message: str, *, check: str = "", reasons: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.check, self.reasons = check, reasons
