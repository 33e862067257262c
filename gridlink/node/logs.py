"""Logging of a node process: one line a record, in people's words or JSON, each tagged with the module it belongs to.

The file is bounded: when it is full it becomes `.1`, and the former `.1` goes.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

import orjson

from gridlink.module.owner import owner
from gridlink.node.settings import LogSetting

FILE_BYTES = 256 * 1024
TEXT_CHARACTERS = 8192
_ON_ONE_LINE = {number: f"\\x{number:02x}" for number in range(32)} | {9: "\t", 10: "\\n"}  # no forged records


class Lines(logging.Formatter):
    """`2026-11-21T07:00:00.123Z INFO  storage@board7: text`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line; a traceback follows on lines of its own."""
        text = f"{_stamp(record)} {record.levelname:<7} {whose(record)}: {_cut(record).translate(_ON_ONE_LINE)}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, module, logger, text and, where there is one, error."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a JSON object."""
        document = {
            "time": _stamp(record),
            "level": record.levelname,
            "module": whose(record),
            "logger": record.name,
            "text": _cut(record),
        }
        if record.exc_info:
            document["error"] = self.formatException(record.exc_info)
        return orjson.dumps(document).decode()


class BoundedFile(logging.Handler):
    """Appends to a file of at most FILE_BYTES, and keeps one older file of that size."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._size = path.stat().st_size

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record; a full disk is reported by logging's own error handling."""
        try:
            line = self.format(record).encode("utf-8", "replace") + b"\n"
            if self._size + len(line) > FILE_BYTES:
                self._turn()
            self._file.write(line)
            self._size += len(line)
        except OSError:
            self.handleError(record)

    def _turn(self) -> None:
        self._file.close()
        try:
            self._path.replace(self._path.with_name(self._path.name + ".1"))
        except PermissionError:  # the directory is another user's: then without an older file
            self._path.write_bytes(b"")
        self._file = self._path.open("ab", buffering=0)
        self._size = 0

    def close(self) -> None:
        """Closes the file; may be called twice."""
        self._file.close()
        super().close()


def _cut(record: logging.LogRecord) -> str:
    """The record's text, at most TEXT_CHARACTERS of it."""
    text = record.getMessage()
    return text if len(text) <= TEXT_CHARACTERS else f"{text[:TEXT_CHARACTERS]}… ({len(text)} characters)"


def whose(record: logging.LogRecord) -> str:
    """The instance a record belongs to: the one whose code logs, in a thread of its own too, else the logger's name."""
    return owner.get() or getattr(record, "gridlink_instance", "") or record.name


def _stamp(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def set_up(setting: LogSetting) -> None:
    """Sends this process's log records where the setting says."""
    formatter = JsonLines() if setting.json else Lines()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if setting.file:
        handlers.append(BoundedFile(Path(setting.file)))
    root = logging.getLogger()
    for handler in [*root.handlers]:
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(setting.level)
    logging.captureWarnings(True)
    logging.getLogger("nats").setLevel(logging.CRITICAL)  # the bus reports what its client meets
