"""Where provisioning keeps what, below a managed directory. Pure.

managed/
  voltage_guard/                the version that runs
  .gridlink/
    waiting/00000001-…          a command that waits for the one before it
    journal/voltage_guard       what is being done to it; gone when it is done
    incoming/voltage_guard.glb  as it is received
    staged/voltage_guard/       unpacked and verified, not running yet
    versions/voltage_guard/     the last versions, oldest first
      000001/ bundle/ state version.json
              accepted.json       what it took last, where a rollback to one without a config.json followed
    accepted/voltage_guard.json the configuration that it took last
    states/voltage_guard        its checkpoint
    dry_run/                    the copy that a dry run looks at; gone when it has ended
    record                      every command and its outcome, the newest
    record.00000001             the same, the older ones: see appmanager.store.segments
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

BUNDLE, STATE, ABOUT, CONFIG = "bundle", "state", "version.json", "config.json"
ACCEPTED = "accepted.json"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one managed directory. `states`: where a module's checkpoint is, if elsewhere (another user's).

    `dry`: for a dry run, which receives and stages in a directory of its own.
    """

    managed: Path
    states: Mapping[str, Path] = field(default_factory=dict)
    dry: bool = False

    @property
    def own(self) -> Path:
        """Gridlink's own directory in it."""
        return self.managed / ".gridlink"

    @property
    def record(self) -> Path:
        """The record of all commands: its newest file."""
        return self.own / "record"

    @property
    def journals(self) -> Path:
        """A journal a module that something is done to."""
        return self.own / "journal"

    @property
    def waiting(self) -> Path:
        """Commands that were taken in, and have not ended: see appmanager.store.waiting."""
        return self.own / "waiting"

    @property
    def directories(self) -> tuple[Path, ...]:
        """What has to be there before anything is done."""
        return tuple(self.own / name for name in ("journal", "incoming", "staged", "versions", "accepted", "states"))

    @property
    def dry_run(self) -> Path:
        """All that a dry run writes."""
        return self.own / "dry_run"

    @property
    def _work(self) -> Path:
        return self.dry_run if self.dry else self.own

    def place(self, directory: str) -> Path:
        """The version that runs; its directory is named as the module, or as whoever put it there named it."""
        return self.managed / directory

    def incoming(self, module: str) -> Path:
        """The bundle as it is received."""
        return self._work / "incoming" / f"{module}.glb"

    def staged(self, module: str) -> Path:
        """What is going to run."""
        return self._work / "staged" / module

    def versions(self, module: str) -> Path:
        """The versions that are kept."""
        return self.own / "versions" / module

    def version(self, module: str, number: str) -> Path:
        """One of them."""
        return self.versions(module) / number

    def accepted(self, module: str) -> Path:
        """The configuration that the module took last."""
        return self.own / "accepted" / f"{module}.json"

    def state(self, module: str) -> Path:
        """The module's checkpoint."""
        return self.states.get(module, self.own / "states") / module

    def data(self, module: str) -> Path:
        """The module's own files."""
        return self.own / "data" / module
