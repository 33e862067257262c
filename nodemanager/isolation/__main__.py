"""`python -m nodemanager.isolation`: whether this Python can keep bundles apart, tried in earnest; 1: it can't.

For a process of its own: what it arms and loads is gone with it.
"""

import sys

from nodemanager.isolation import Isolation


def main() -> int:
    """Says why not."""
    reason = Isolation().self_check()
    if reason is not None:
        sys.stdout.write(f"{reason}\n")
    return 0 if reason is None else 1


if __name__ == "__main__":
    sys.exit(main())
