"""`gridlink` and `gridlink-node`: the commands of authors and operators.

A command's own file is imported when it is called. Ctrl-C before that ends the process by the signal, as it ends `ls`:
Python alone would print a traceback of whatever was being imported.
"""

from __future__ import annotations

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """The entry point of `gridlink`."""
    _replace_handler(signal.default_int_handler, signal.SIG_DFL)
    from gridlink.cli.commands import gridlink  # noqa: PLC0415 - `gridlink-node` lives in this package too

    _replace_handler(signal.SIG_DFL, signal.default_int_handler)  # from here a command ends in order
    gridlink(prog_name="gridlink")
    raise SystemExit(0)


def run_node() -> None:
    """The entry point of `gridlink-node`, which has nothing to end in order until it is the guardian."""
    _replace_handler(signal.default_int_handler, signal.SIG_DFL)
    from gridlink.cli.node import main  # noqa: PLC0415 - see above

    main()


def _replace_handler(now: object, to: object) -> None:
    """Handles SIGINT by `to`; one that is ignored (a shell does so for what it starts with `&`) stays ignored."""
    if signal.getsignal(signal.SIGINT) == now:
        signal.signal(signal.SIGINT, to)  # type: ignore[arg-type]
