"""What a bundle's process may take, as its manifest and the site say, in the words that the guardian understands. Pure.

See appmanager.guardian.limits for what becomes of them.
"""

from __future__ import annotations

from gridlink.manifest import Resources

MIB = 1024 * 1024
PROCESS_MIB = 24.0  # an interpreter with Gridlink takes 16; the manifest counts the module alone


def words(resources: Resources, user: str = "") -> str:
    """`memory=BYTES cpu=CPUS user=NAME:UID:GID`, each only where it is limited; empty where nothing is."""
    found = []
    if resources.memory_mib is not None:
        found.append(f"memory={int((resources.memory_mib + PROCESS_MIB) * MIB)}")
    if resources.cpu is not None:
        found.append(f"cpu={resources.cpu:g}")
    if user:
        found.append(f"user={user}")
    return " ".join(found)
