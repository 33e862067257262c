"""The machine and the site that a bundle is to run in, as far as a check asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gridlink.document import Document
from gridlink.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Host:
    """A machine: `python` (`3.11.2`), `platform` (`linux-aarch64`), its packages by normal name, with versions.

    `packages` is None where they aren't known: a bundle that is packed for another machine.
    """

    python: str
    platform: str
    packages: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """What runs there. `served`: the roles; `contracts`: the documents of roles and topics by `role storage`.

    `running`: the version that the bundle replaces, if any; `served_by_running`: what it alone serves (`role storage`).
    `older_allowed`: an operator asked for an older one. `own_mib`: the memory that what runs of it was promised.
    """

    modules: tuple[Manifest, ...] = ()
    served: frozenset[str] = frozenset()
    contracts: Mapping[str, Document] = field(default_factory=dict)
    running: Manifest | None = None
    served_by_running: frozenset[str] = frozenset()
    older_allowed: bool = False
    free_mib: float | None = None
    free_of: str = "this machine"
    own_mib: float = 0.0


def this_host() -> Host:
    """This machine. Loads importlib.metadata: for a process that ends soon."""
    import platform  # noqa: PLC0415 - 0.5 MiB, and for this alone
    from importlib.metadata import distributions  # noqa: PLC0415 - 0.9 MiB

    packages = {normal(found.name): found.version for found in distributions()}
    machine = platform.machine()
    return Host(platform.python_version(), f"{platform.system().lower()}-{machine}", packages)


def normal(distribution: str) -> str:
    """A distribution's name as it is compared: `Nats.py` is `nats-py`."""
    import re  # noqa: PLC0415 - small, and rarely

    return re.sub(r"[-_.]+", "-", distribution).lower()
