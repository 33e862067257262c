"""What the AppManager is told when it starts."""

from __future__ import annotations

from msgspec import Struct, field

from appmanager.offences import Offence


class Config(Struct, frozen=True):
    """Given by the guardian. `mode`: how all bundles are to run, whatever their manifests say."""

    managed: str
    control_fds: tuple[int, int]
    mode: str = ""
    nodemanager: bool = True
    json_logs: bool = False
    watched: tuple[str, ...] = ()  # modules that watchdog.json has limits of their own for
    moved: dict[str, str] = field(default_factory=dict)  # modules that made the guardian replace the node, and how
    offences: tuple[Offence, ...] = ()  # of which nobody has been told yet
    outside: tuple[Offence, ...] = ()  # by which modules aren't to be in a NodeManager's own process again
