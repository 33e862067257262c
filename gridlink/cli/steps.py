"""The steps of a command as they are begun: a bar on a terminal, lines of JSON for programs, else nothing."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

import click
import msgspec

from appmanager.orders import Begun, Word
from gridlink.cli.output import on_terminal, print_json

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

MIB = 1024 * 1024


class Steps:
    """Of one command, `kind` of a module. `with Steps(id, kind, module, as_json) as steps`."""

    def __init__(self, id: str, kind: Word, module: str, as_json: bool) -> None:
        self._id, self._kind, self._module, self._as_json = id, kind, module, as_json
        self._said, self._sent_bytes = "", 0
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
            print_json(msgspec.to_builtins(step), indent=False)
        elif self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step.percent, description=described(step))
        elif step.waits:
            self.waits(step.waits)

    def sent(self, done_bytes: int, of_bytes: int) -> None:
        """So much of the bundle is in the store: before the first step."""
        percent = 100 * done_bytes // of_bytes
        if percent == 100 or done_bytes - self._sent_bytes >= MIB:  # a line a MiB, not one a chunk
            self._sent_bytes = done_bytes
            self.begun(Begun(self._id, self._module, self._kind, "send", percent, done_bytes, of_bytes))

    def waits(self, reason: str) -> None:
        """It doesn't go on now; said once a reason."""
        if reason == self._said:
            return
        self._said = reason
        if self._as_json:
            print_json(Begun(self._id, self._module, self._kind, "", 0, waits=reason), indent=False)
        elif self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"waits: {reason}")
        else:
            click.echo(f"{self._kind} {self._module} waits: {reason}", err=True)


def described(step: Begun) -> str:
    """A step as people read it."""
    done = f" {step.done_bytes / MIB:.0f}" if step.done_bytes else ""
    of = f" of {step.of_bytes / MIB:.0f}" if done and step.of_bytes else ""
    waits = f", waits: {step.waits}" if step.waits else ""
    return f"{step.step}{done}{of}{' MiB' if done else ''}{waits}"
