"""Says whose a log record is where the running context doesn't: in a thread that a module has started by itself."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from gridlink.module import owner as context
from nodemanager.isolation.owner import owner
from nodemanager.isolation.space import HOST, LibSpace


def named_log_record(original: Callable[..., logging.LogRecord], node: str) -> Callable[..., logging.LogRecord]:
    """A log record factory that adds `record.instance`, of the bundle whose code logs: see gridlink.node.logs.whose."""

    def make(*args: object, **kwargs: object) -> logging.LogRecord:
        record = original(*args, **kwargs)
        if not context.owner.get():
            frame = sys._getframe(1)
            space = owner(frame)
            bundle = space.user(frame) if isinstance(space, LibSpace) else space
            record.instance = "" if bundle is None or bundle is HOST else f"{bundle.name}@{node}"
        return record

    return make
