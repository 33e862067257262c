"""Log records: one line each, bounded, and nobody writes in another's name."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from pathlib import Path

import pytest

from gridlink.node.logs import FILE_BYTES, TEXT_CHARACTERS, BoundedFile, JsonLines, Lines


def record(text: str) -> logging.LogRecord:
    """A record of a module."""
    return logging.LogRecord("module.storage", logging.INFO, __file__, 1, text, None, None)


def test_a_text_with_line_breaks_stays_one_line() -> None:
    """Else a module could write a record that looks like another module's."""
    line = Lines().format(record("fine\n2026-11-21T00:00:00.000Z ERROR   guardian: forged\x00"))
    assert "\n" not in line
    assert "fine\\n2026" in line
    assert line.endswith("\\x00")


def test_a_text_without_end_is_cut() -> None:
    """A record must fit the file that is bounded."""
    for formatter in (Lines(), JsonLines()):
        line = formatter.format(record("x" * 1_000_000))
        assert len(line) < TEXT_CHARACTERS + 300
        assert "1000000 characters" in line
    assert json.loads(JsonLines().format(record("a\nb")))["text"] == "a\nb"


def test_a_full_file_in_another_users_directory_starts_anew(tmp_path: Path) -> None:
    """A module that runs as another user may write its log file, and not rename it: the log goes on all the same."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        path = Path(directory) / "guest.log"
        path.write_bytes(b"x" * (FILE_BYTES - 10))
        Path(directory).chmod(0o755)
        path.chmod(0o666)
        child = os.fork()
        if child == 0:
            try:
                os.setuid(65534)
                handler = BoundedFile(path)
                handler.emit(logging.LogRecord("guest", logging.INFO, "", 0, "it goes on", None, None))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert path.read_text() == "it goes on\n"
        assert [found.name for found in Path(directory).iterdir()] == ["guest.log"]
