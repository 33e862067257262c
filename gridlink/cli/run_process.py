"""A bundle's process for `gridlink run`: a fresh interpreter with a lifeline, as the guardian's children have.

Its log goes to our stderr. It ends when we are gone, however we end.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from gridlink.codec import encode
from gridlink.node.bundle import read_bundle
from gridlink.node.lifeline import FAILURE, READY
from gridlink.node.settings import NodeSettings

STOP_GRACE_S = 15.0


class BundleProcess:
    """Starts at once. `ready` and `reason` are what it has said; `environment` has the credentials for the site."""

    def __init__(self, settings: NodeSettings, environment: Mapping[str, str]) -> None:
        self.instance = f"{read_bundle(Path(settings.hosts[0].directory)).manifest.name}@{settings.node}"
        self.ready, self.reason = False, ""
        self._heard, say = os.pipe()
        held, self._held = os.pipe()
        document = encode(settings).decode()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "gridlink.node", document, str(say), str(held)],
                pass_fds=(say, held),
                stdin=subprocess.DEVNULL,
                env={**environment, **os.environ},
                start_new_session=True,  # Ctrl-C is for us, who end it in order
            )
        finally:
            os.close(say)
            os.close(held)
        self._partial = b""
        self._open = True

    def listen(self, within_s: float) -> None:
        """Takes in what the process says, for at most so long."""
        if not select.select([self._heard], [], [], within_s)[0]:
            return
        received = os.read(self._heard, 4096)
        if not received:
            self._process.wait()  # its end of the pipe is closed: it is ending
        *lines, self._partial = (self._partial + received).split(b"\n")
        for line in lines:
            what, _, text = line.decode("utf-8", "replace").partition(" ")
            self.ready = self.ready or what == READY
            self.reason = text if what == FAILURE else self.reason

    def ended(self) -> int | None:
        """The exit status (negative: the signal) of a process that has ended."""
        return self._process.poll()

    def stop(self) -> None:
        """Asks it to end, kills it after STOP_GRACE_S, and returns when it has ended."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.close()

    def close(self) -> None:
        """Closes our ends of the lifeline; may be called twice."""
        if self._open:
            self._open = False
            os.close(self._heard)
            os.close(self._held)
