"""What a benchmark can fail with."""

from __future__ import annotations

from gridlink.errors import GridlinkError


class BenchFailed(GridlinkError):
    """A benchmark that could not be run or measured. The message says what was expected, what came, what to do."""
