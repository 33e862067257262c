"""How long a version may take to start: while another one waits for it, and while none does. Pure."""

from __future__ import annotations

from appmanager.provisioning.machine import Kind
from gridlink.errors import Refused
from gridlink.node.succession import LEASE_S

WAITS_S = 1.5
"""So long the version that runs waits for an update's to restore its state and start, unless that declares more."""
LONGEST_S = LEASE_S - 6.0
"""More than that nobody waits: what is held goes on by itself, and in the rest of its time it has to hear that the
other one runs."""
ALONE_S = 60.0  # a version for which nobody waits has no more, whatever it declares


def start_within_s(module: str, kind: Kind, declared_s: float, somebody_waits: bool) -> float:
    """What `restore` and `start` have together while another version waits; 0: what they have at any start.

    `declared_s`: 0 where the version declares nothing. A version that is gone back to may, since it is kept as it is
    and nobody can declare it any more. Raises Refused: so long nobody waits.
    """
    if somebody_waits and declared_s > LONGEST_S:
        raise Refused(
            f"{module} declares start_within_s = {declared_s:g}: expected at most {LONGEST_S:g}, since the version "
            f"that runs can't wait for longer: `gridlink stop {module}` first, then {kind}: then nobody waits"
        )
    return declared_s or (0.0 if kind is Kind.ROLLBACK else WAITS_S)
