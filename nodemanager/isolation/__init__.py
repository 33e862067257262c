"""Import isolation: many bundles in one CPython interpreter, each with its own modules. Untouched until it is needed.

Names stay natural (`tp.target` is `tp.target` in every bundle). Each bundle's code runs with a private builtins dict
that names the bundle; `sys.modules` answers by who asks. See `isolation.py` for the way in.
"""

from nodemanager.isolation.bundle import LoadedBundle
from nodemanager.isolation.errors import NotHostable
from nodemanager.isolation.isolation import Isolation

__all__ = ["Isolation", "LoadedBundle", "NotHostable"]
