"""The guardian's few log lines, in the form of gridlink.node.logs, without the logging package (2 MiB)."""

from __future__ import annotations

import os
import time

KEPT_BYTES = 64 * 1024


class Log:
    """Writes lines to stderr and to a file, which starts anew when it is full."""

    def __init__(self, path: str, as_json: bool) -> None:
        self._path, self._as_json = path, as_json
        self._lost = 0  # lines that neither stderr nor the file took

    def info(self, text: str) -> None:
        """What is as it should be."""
        self._write("INFO", text)

    def error(self, text: str) -> None:
        """What somebody should look at."""
        self._write("ERROR", text)

    def _write(self, level: str, text: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1_000_000 % 1000:03d}Z"
        line = f"{stamp} {level:<7} guardian: {text}\n"
        if self._as_json:
            from json import dumps  # noqa: PLC0415 - 0.4 MiB for those who want it

            fields = {"time": stamp, "level": level, "module": "guardian", "logger": "guardian", "text": text}
            line = dumps(fields) + "\n"
        try:
            os.write(2, line.encode())
        except OSError:  # whoever read it is gone; the plant matters more than the line
            self._lost += 1
        try:
            with open(self._path, "w" if self._is_full() else "a", encoding="utf-8") as file:
                file.write(line)
        except OSError:  # a full disk must not end the guardian
            self._lost += 1

    def _is_full(self) -> bool:
        try:
            return os.path.getsize(self._path) > KEPT_BYTES
        except FileNotFoundError:
            return False
