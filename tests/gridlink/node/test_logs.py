"""Log records: one line each, bounded, and nobody writes in another's name."""

from __future__ import annotations

import json
import logging

from gridlink.node.logs import TEXT_CHARACTERS, JsonLines, Lines


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
