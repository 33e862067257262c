"""The guardian as a zygote: it loads what every node loads, once, and forks bundles' processes that share its pages.

It stays without loop and thread. Frozen, so that no garbage collection writes into the pages that are shared. It loads
nothing until a bundle asks for mode `fork`: most boards never do, and a guardian that has loaded all of it is 10 MiB.
"""

from __future__ import annotations

import gc
import sys

from appmanager.guardian import merging
from appmanager.guardian.child import fresh_interpreter
from gridlink.errors import ANYTHING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from appmanager.guardian.log import Log


class Zygote:
    """Warms itself when the first child is asked for, or before."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._tried = self.is_warm = False

    def child(self, settings: str, keys: str = "") -> Callable[[int, int], int]:
        """What a forked child does to become a node; `settings` is its NodeSettings as JSON, `keys` its Warrants'.

        Where warming has failed, it becomes a fresh interpreter instead: larger and slower, but it runs.
        """
        self.warm_up()
        if not self.is_warm:
            return fresh_interpreter(settings, keys)

        def run(say_fd: int, held_fd: int) -> int:
            from gridlink.node.process import run_child  # noqa: PLC0415 - it is loaded

            return run_child(settings, say_fd, held_fd, keys)

        return run

    def warm_up(self) -> None:
        """Loads what a node loads, and freezes it. Tried once; what goes wrong is logged, and never raised."""
        if self._tried:
            return
        self._tried = True
        try:
            from gridlink import lean  # noqa: PLC0415 - see above

            lean.find_packages()
            lean.import_libraries()
            from gridlink.node import warm  # noqa: PLC0415

            warm.load()
            warm.prepare()
            if merging.is_on():
                merging.allow()
        except ANYTHING as error:  # whatever an import may raise: the guardian goes on
            self._log.error(
                f"mode fork isn't to be had, its modules run in mode process: loading what they share failed: "
                f"{type(error).__name__}: {error}"
            )
            return
        self.is_warm = True
        sys._clear_type_cache()  # what importing has left there would be pushed out in each child, name by name
        gc.collect()
        gc.freeze()
