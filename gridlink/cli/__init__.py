"""`gridlink`: the commands of authors and operators. A command's own file is imported when it is called."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """The entry point."""
    from gridlink.cli.commands import gridlink  # noqa: PLC0415 - `gridlink-node` lives in this package too

    gridlink(prog_name="gridlink")
    raise SystemExit(0)
