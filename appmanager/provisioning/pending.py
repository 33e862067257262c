"""Whether a start has something to mend. Imports nothing: most starts have not, and load no more of provisioning."""

from __future__ import annotations

import os


def pending(managed: str) -> bool:
    """Whether something was being done to a module here when it was cut off, or was to be, or was tried."""
    return any(_holds(os.path.join(managed, ".gridlink", name)) for name in ("journal", "waiting", "dry_run"))


def _holds(directory: str) -> bool:
    try:
        return any(not name.startswith(".") for name in os.listdir(directory))
    except FileNotFoundError:
        return False
    except OSError:
        return True  # whoever mends says why it can't be listed
