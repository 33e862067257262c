"""The steps of a command at several sites: a bar a site of the wave on a terminal, lines of JSON, else nothing."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from appmanager.orders import Begun, Word
from gridlink.cli.output import on_terminal, print_json
from gridlink.cli.rollout import Rollout
from gridlink.cli.steps import Steps, described

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class SiteBars:
    """Of one command. A `with`."""

    def __init__(self, plan: Rollout, as_json: bool) -> None:
        self._plan, self._as_json = plan, as_json
        self._progress: Progress | None = None
        self._bars: dict[str, TaskID] = {}
        self._all: TaskID | None = None

    def __enter__(self) -> SiteBars:
        if not self._as_json and on_terminal():
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - for people

            columns = TextColumn("{task.fields[site]}"), BarColumn(), TextColumn("{task.description}")
            self._progress = Progress(*columns, TimeElapsedColumn(), transient=True)
            self._progress.start()
            self._all = self._progress.add_task("sites", total=len(self._plan.sites), site="all")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def wave(self, sites: Sequence[str]) -> None:
        """These are begun with."""
        if self._progress is not None:
            self._bars |= {site: self._progress.add_task("asked", total=100, site=site) for site in sites}

    def begun(self, site: str, step: Begun) -> None:
        """A step is begun at a site, or a part of it is done."""
        if self._as_json:
            print_json({"site": site, **msgspec.to_builtins(step)}, indent=False)
        elif self._progress is not None:
            self._progress.update(
                self._bars[site], completed=step.percent, description=f"{step.kind} {step.module}: {described(step)}"
            )

    def ended(self, site: str) -> None:
        """A site has ended; its bar goes."""
        if self._progress is not None and self._all is not None:
            self._progress.remove_task(self._bars.pop(site))
            self._progress.advance(self._all)


class SiteSteps(Steps):
    """The steps of one command at one of the sites."""

    def __init__(self, id: str, kind: Word, module: str, site: str, bars: SiteBars) -> None:
        super().__init__(id, kind, module, as_json=False)
        self._site, self._bars = site, bars

    def begun(self, step: Begun) -> None:
        """See Steps."""
        self._bars.begun(self._site, step)

    def waits(self, reason: str) -> None:
        """See Steps; said once a reason."""
        if reason != self._said:
            self._said = reason
            self.begun(Begun(self._id, self._module, self._kind, "", 0, waits=reason))
