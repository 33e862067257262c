"""What a bundle that was unpacked has to pass before anything is changed for it: a list of small checks."""

from appmanager.packed.candidate import Candidate, read_candidate
from appmanager.packed.checks.check import Check, refuse, verify
from appmanager.packed.checks.of_files import Contained, Digests, Layout, Natives
from appmanager.packed.checks.of_host import Libraries, Memory, Python
from appmanager.packed.checks.of_site import Contracts, NewerVersion, Uses
from appmanager.packed.target import Host, Site, this_host

FILES: tuple[Check, ...] = (Digests(), Contained(), Layout(), Natives(), Python(), Libraries())
"""What can be told without the site: by `gridlink pack` too, but for the digests."""
ALL: tuple[Check, ...] = (*FILES, NewerVersion(), Uses(), Contracts(), Memory())

__all__ = [
    "ALL",
    "FILES",
    "Candidate",
    "Check",
    "Contained",
    "Contracts",
    "Digests",
    "Host",
    "Layout",
    "Libraries",
    "Memory",
    "Natives",
    "NewerVersion",
    "Python",
    "Site",
    "Uses",
    "read_candidate",
    "refuse",
    "this_host",
    "verify",
]
