"""`gridlink run`: one bundle in a process of its own, joined to a running site, and started anew on each save."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType

import click

from gridlink.address import token
from gridlink.cli.options import Options, Where, find
from gridlink.cli.run_process import BundleProcess
from gridlink.cli.saves import saved_files
from gridlink.config import machine_name
from gridlink.errors import GridlinkError, ManifestInvalid
from gridlink.node.bundle import Bundle, read_bundle
from gridlink.node.settings import HostSetting, LogSetting, NodeSettings

TICK_S = 0.3


class _Ended(Exception):
    """Ctrl-C or SIGTERM."""


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="The log as JSON, one record a line.")
@click.pass_obj
def command(options: Options, directory: Path, as_json: bool) -> None:
    """Join the bundle in DIR to a running site, in a process of its own, and load it again on each save.

    Its log is shown. Ctrl-C stops the module and ends. Its own files are kept in DIR/.gridlink/data.
    """
    if not directory.is_dir():
        raise ManifestInvalid(f"{directory}: there is no such directory: `gridlink new NAME` makes a bundle")
    where = find(options)
    machine = token(options.machine or machine_name(), "--machine")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    runner = _Runner(directory.resolve(), where, machine, as_json)
    try:
        runner.run()
    except _Ended:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it is being ended, in order
        runner.stop()


def _end(number: int, frame: FrameType | None) -> None:
    raise _Ended


class _Runner:
    """Keeps the newest version of a bundle running."""

    def __init__(self, directory: Path, where: Where, machine: str, json_logs: bool) -> None:
        self._directory, self._where, self._machine, self._json_logs = directory, where, machine, json_logs
        self._process: BundleProcess | None = None

    def run(self) -> None:
        """Runs until a signal comes."""
        saved = saved_files(self._directory)
        self._start()
        while True:
            self._look()
            now = saved_files(self._directory)
            if now == saved:
                continue
            while (later := self._settled()) != now:  # an editor or git is still writing
                now = later
            saved = now
            _say("saved: it is loaded again")
            self.stop()
            self._start()

    def _settled(self) -> dict[Path, tuple[int, int]]:
        time.sleep(TICK_S / 3)
        return saved_files(self._directory)

    def _start(self) -> None:
        try:
            bundle = read_bundle(self._directory)
            self._process = BundleProcess(self._settings(bundle), self._where.environment)
        except GridlinkError as error:
            _say(f"it did not start: {error}: it is tried again at the next save")

    def _look(self) -> None:
        """Waits a moment, and says what became of the process meanwhile."""
        process = self._process
        if process is None:
            time.sleep(TICK_S)
            return
        was_ready = process.ready
        process.listen(TICK_S)
        if process.ready and not was_ready:
            _say(f"it runs as {process.instance}: save to load it again, Ctrl-C to end")
        status = process.ended()
        if status is not None:
            self._process = None
            process.close()
            what = "it ended" if process.ready else "it did not start"
            _say(f"{what}: {process.reason or f'exit status {status}'}: it is tried again at the next save")

    def stop(self) -> None:
        """Ends the process in order, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    def _settings(self, bundle: Bundle) -> NodeSettings:
        name = bundle.manifest.name
        data = self._directory / ".gridlink" / "data"
        return NodeSettings(
            site=self._where.site,
            node=f"{self._machine}-run-{name}",
            machine=self._machine,
            url=self._where.url,
            hosts=(HostSetting(str(self._directory), str(data), mode="process"),),
            log=LogSetting(json=self._json_logs),
        )


def _say(text: str) -> None:
    print(f"gridlink run: {' '.join(text.split())}", file=sys.stderr, flush=True)
