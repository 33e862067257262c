"""Says whose a log record is where the running context doesn't: in a thread that a module has started by itself."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from gridlink.module import owner as context
from nodemanager.isolation.owner import owner
from nodemanager.isolation.space import HOST, LibSpace


def named_log_record(original: Callable[..., logging.LogRecord], node: str) -> Callable[..., logging.LogRecord]:
    """A log record factory that adds `gridlink_instance`, of the bundle whose code logs: see gridlink.node.logs."""

    def make(*args: object, **kwargs: object) -> logging.LogRecord:
        record = original(*args, **kwargs)
        if not context.owner.get():
            frame = sys._getframe(1)
            space = owner(frame)
            bundle = space.user(frame) if isinstance(space, LibSpace) else space
            if bundle is not None and bundle is not HOST:
                record.gridlink_instance = f"{bundle.name}@{node}"  # `instance` is a name that others give to `extra`
        return record

    return make
