"""What the AppManager is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Config:
    """Given by the guardian. `mode`: how all bundles are to run, whatever their manifests say."""

    managed: str
    control_fds: tuple[int, int]
    mode: str = ""
    nodemanager: bool = True
    json_logs: bool = False
    moved: dict[str, str] = field(default_factory=dict)  # modules that made the guardian replace the node, and how
