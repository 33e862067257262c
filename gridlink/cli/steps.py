"""The steps of a command as they are begun: a bar on a terminal, lines of JSON for programs, else nothing."""

from __future__ import annotations

from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING

from appmanager.orders import Begun
from gridlink.cli.output import on_terminal, print_json

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

MIB = 1024 * 1024


class Steps:
    """Of one command. `with Steps(module, as_json) as steps`."""

    def __init__(self, module: str, as_json: bool) -> None:
        self._module, self._as_json = module, as_json
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Steps:
        if not self._as_json and on_terminal():
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - for people

            columns = TextColumn("{task.fields[module]}"), BarColumn(), TextColumn("{task.description}")
            self._bar = Progress(*columns, TimeElapsedColumn(), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("asked", total=100, module=self._module)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begun(self, step: Begun) -> None:
        """A step is begun, or a part of it is done."""
        if self._as_json:
            print_json(asdict(step), indent=False)
        elif self._bar is not None and self._task is not None:
            done = f" {step.done_bytes / MIB:.0f} MiB" if step.done_bytes else ""
            self._bar.update(self._task, completed=step.percent, description=f"{step.step}{done}")
