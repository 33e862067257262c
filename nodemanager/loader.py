"""The bundles that are loaded into this interpreter, each with its own package and libraries (see isolation/)."""

from __future__ import annotations

from gridlink.module.module import Loaded
from gridlink.node.bundle import Bundle, checked
from nodemanager.isolation import Isolation, LoadedBundle


class Loader:
    """Loads bundles by name; one that is loaded again is unloaded first."""

    def __init__(self) -> None:
        self._isolation = Isolation()
        self._loaded: dict[str, LoadedBundle] = {}

    def load(self, bundle: Bundle) -> Loaded:
        """The bundle's class, and the context in which its code runs. Raises ModuleInvalid."""
        manifest = bundle.manifest
        self.unload(manifest.name, keep_lib=True)
        loaded = self._isolation.load(bundle.directory, manifest.entry, name=manifest.name, visible=manifest.libraries)
        self._loaded[manifest.name] = loaded
        return Loaded(checked(loaded.target, manifest.entry), loaded.context, loaded.call)

    def unload(self, name: str, *, keep_lib: bool = False) -> None:
        """Takes a bundle out of the interpreter, if it is there; its module must have ended.

        `keep_lib`: it will be loaded again, so an unchanged `lib/` needn't run again.
        """
        loaded = self._loaded.pop(name, None)
        if loaded is not None:
            loaded.unload(keep_lib=keep_lib)
