"""What changed between two readings of the registry; pure."""

from collections.abc import Mapping

from dashboard_interface.api import ModuleChange, ModuleEntry

GONE = "GONE"


def changes(before: Mapping[str, ModuleEntry], after: Mapping[str, ModuleEntry]) -> list[ModuleChange]:
    """New instances, changed states and reasons, and instances that left, by instance name."""
    found = []
    for instance, entry in sorted(after.items()):
        old = before.get(instance)
        if old is None or (old.state, old.reason) != (entry.state, entry.reason):
            previous = None if old is None else old.state
            found.append(ModuleChange(instance, entry.name, entry.state, previous, entry.reason))
    for instance, old in sorted(before.items()):
        if instance not in after:
            found.append(ModuleChange(instance, old.name, GONE, old.state, ""))
    return found
