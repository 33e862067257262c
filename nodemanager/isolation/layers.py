"""The `lib/` layers of this process. While the content is the same, only the bundle's own package runs again.

A layer with native libraries stays parked after its last bundle is gone: their C state stays anyway, and loading the
same file again breaks many. It goes when the bundle comes back with another `lib/`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from nodemanager.isolation.cleanup import clean
from nodemanager.isolation.errors import NotHostable
from nodemanager.isolation.layout import Native, digest, natives_below, top_level
from nodemanager.isolation.moving import rehome
from nodemanager.isolation.natives import mapped, refusal
from nodemanager.isolation.scratch import fresh_copy, remove_copy
from nodemanager.isolation.space import BundleSpace, LibSpace


def copied(name: str, root: str) -> str:
    """A fresh copy of a tree for a bundle. Raises NotHostable where there is no room for one."""
    try:
        return fresh_copy(root)
    except OSError as error:
        reason = f"its native libraries are loaded already and can't be copied: {error}"
        raise NotHostable(f"{name}: {reason}: run it in mode fork", reason=reason) from error


class Layers:
    """Hands out lib layers and takes them back. Not thread-safe: the Isolation's lock guards it."""

    def __init__(self) -> None:
        self._layers: dict[tuple[str, ...], LibSpace] = {}
        self._claims: dict[BundleSpace, list[tuple[int, int]]] = {}

    def attach(self, bundle: BundleSpace, root: str) -> None:
        """Gives a bundle the layer of its `lib/`: the kept one if nothing changed, else a new one.

        Raises NotHostable where its native libraries can't live in this process once more.
        """
        key = (bundle.name, digest(root), *sorted(bundle.visible))
        layer = self._layers.get(key)
        if layer is None:
            self._drop_parked(bundle.name)
            layer = self._layers[key] = self._new(bundle.name, root, key)
        elif not layer.users and layer.scratch is None:
            rehome(layer, layer.roots[0], root)
        layer.users.append(bundle)
        bundle.lib, bundle.reach = layer, (bundle.modules, layer.modules)

    def release(self, bundle: BundleSpace, keep: bool) -> None:
        """Takes a bundle off its layer; the last one takes a layer of pure Python along, unless it is to be kept."""
        layer, bundle.lib, bundle.reach = bundle.lib, None, (bundle.modules,)
        if layer is None:
            return
        layer.users = [user for user in layer.users if user is not bundle]
        if not layer.users and not (layer.modules and (keep or layer.natives)):
            self._drop(layer)

    def inodes(self) -> set[tuple[int, int]]:
        """The native libraries that present bundles have loaded or may still load."""
        lists = [*(layer.natives for layer in self._layers.values()), *self._claims.values()]
        return {inode for inodes in lists for inode in inodes}

    def claim(self, bundle: BundleSpace, natives: Iterable[Native]) -> None:
        """Writes down the native libraries of a bundle's own package."""
        self._claims[bundle] = [native.inode for native in natives]

    def disclaim(self, bundle: BundleSpace) -> None:
        """The bundle's own package is gone."""
        self._claims.pop(bundle, None)

    def clear(self) -> None:
        """Drops the parked layers."""
        for layer in [layer for layer in self._layers.values() if not layer.users]:
            self._drop(layer)

    def _drop_parked(self, name: str) -> None:
        for layer in [layer for layer in self._layers.values() if layer.name == name and not layer.users]:
            self._drop(layer)

    def _drop(self, layer: LibSpace) -> None:
        self._layers.pop(layer.key, None)
        clean(layer)
        layer.tops.clear()
        if layer.scratch is not None:
            remove_copy(layer.scratch)

    def _new(self, name: str, root: str, key: tuple[str, ...]) -> LibSpace:
        natives = list(natives_below(root))
        scratch = None
        if natives:
            now = mapped(also=self.inodes())
            reason = refusal(natives, now)
            if reason is not None:
                raise NotHostable(f"{name}: {reason}: run it in mode fork", reason=reason)
            if any(now.holds(native) for native in natives):
                scratch = copied(name, root)
                natives = list(natives_below(scratch))
        layer = LibSpace(
            name, scratch or root, (top for top, _ in top_level(root) if top not in sys.stdlib_module_names), key
        )
        layer.natives, layer.scratch = [native.inode for native in natives], scratch
        return layer
