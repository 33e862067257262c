"""The dispatching `sys.modules`: a dict whose misses are answered by who asks. Shared names stay at C speed.

The real dict holds shared names alone; all others live in their space. So the class has `__missing__` and no
`__getitem__`: importing the stdlib costs what it always did. C code writes natural names into the real dict while
an extension initialises; only then `StrictModules` takes over (see `extension.py`).
"""

from __future__ import annotations

import sys
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from types import FrameType, ModuleType
from typing import Any, Final

from nodemanager.isolation.owner import IS_HOST, acting, is_importing, is_looking_into, kinds, owner
from nodemanager.isolation.space import HOST, MARK, Space, is_shared

MISSING: Final[Any] = object()
_get = dict.get
_getframe = sys._getframe


class Initialising:
    """Whose extension module is being initialised now, if any."""

    __slots__ = ("depth", "space")

    def __init__(self) -> None:
        self.space: Space | None = None
        self.depth = 0


initialising = Initialising()


def _caller() -> FrameType | None:
    try:
        return _getframe(2)
    except ValueError:  # called by C with no Python below it
        return None


def find(name: str, top: str, frame: FrameType | None) -> Any:
    """The module `name` as the code in `frame` sees it, or MISSING. For names that aren't shared."""
    space: Space = (frame is not None and frame.f_builtins.get(MARK)) or owner(frame, top)
    home = space.home(top, frame)
    if home is None:
        return MISSING
    if home is HOST and is_looking_into(frame, top):
        module = _on_behalf(name, top, frame)
        if module is not MISSING:
            return module
    module = home.modules.get(name, MISSING)
    if module is MISSING:
        if initialising.space is home:
            module = _get(sys.modules, name, MISSING)
        if module is MISSING and space is HOST and not is_importing(frame):
            return _on_behalf(name, top, frame)  # e.g. msgspec resolving the annotations of a bundle's class
    return module


def _on_behalf(name: str, top: str, frame: FrameType | None) -> Any:
    home = acting(frame).home(top, frame)
    return MISSING if home is None else home.modules.get(name, MISSING)


def writable(name: object, frame: FrameType | None) -> dict[str, ModuleType] | None:
    """The dict that holds `name` for the code in `frame`; None for the real one. A new name is whose code writes it."""
    if type(name) is not str:
        return None
    top = name.partition(".")[0]
    if is_shared(top):
        return None
    space = owner(frame, top)
    home = space.home(top, frame)
    if home is None:
        space.tops.add(top)
        home = space
    return home.modules


class Modules(dict[str, ModuleType]):
    """What `sys.modules` is while isolation is armed. Same layout as dict: an object's type is swapped for it."""

    __slots__ = ()

    def __missing__(self, name: str) -> ModuleType:
        try:
            frame: FrameType | None = (asking := _getframe(1))
        except ValueError:
            frame = None
        else:  # the common cases, quickly: a bundle's or the host's code asks for what it has
            space = asking.f_builtins.get(MARK)
            if space is None and kinds.get(asking.f_code.co_filename) is IS_HOST:
                space = HOST
            for modules in space.reach if space is not None else ():
                if name in modules:
                    return modules[name]  # type: ignore[no-any-return]
        top = name.partition(".")[0]
        module = MISSING if is_shared(top) else find(name, top, frame)
        if module is MISSING:
            raise KeyError(name)
        return module  # type: ignore[no-any-return]

    def _look(self, name: Any, frame: FrameType | None) -> Any:
        module = _get(self, name, MISSING)
        if module is not MISSING or type(name) is not str:
            return module
        top = name.partition(".")[0]
        return MISSING if is_shared(top) else find(name, top, frame)

    def get(self, name: str, default: Any = None) -> Any:
        """The module as the caller sees it, or `default`."""
        module = self._look(name, _caller())
        return default if module is MISSING else module

    def __contains__(self, name: object) -> bool:
        return self._look(name, _caller()) is not MISSING

    def __setitem__(self, name: str, module: ModuleType) -> None:
        modules = writable(name, _caller())
        if modules is None:
            dict.__setitem__(self, name, module)
        else:
            modules[name] = module

    def __delitem__(self, name: str) -> None:
        modules = writable(name, _caller())
        if modules is None:
            dict.__delitem__(self, name)
        else:
            del modules[name]

    def pop(self, name: str, *default: Any) -> Any:
        """Removes and returns the module as the caller sees it."""
        modules = writable(name, _caller())
        return dict.pop(self, name, *default) if modules is None else modules.pop(name, *default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The module as the caller sees it; where there is none, `default` from now on."""
        modules = writable(name, _caller())
        return dict.setdefault(self, name, default) if modules is None else modules.setdefault(name, default)

    def update(self, *others: Any, **named: Any) -> None:
        """Sets many modules for the caller."""
        frame = _caller()
        for name, module in dict(*others, **named).items():
            modules = writable(name, frame)
            dict.__setitem__(self, name, module) if modules is None else modules.__setitem__(name, module)

    def _view(self, frame: FrameType | None) -> dict[str, ModuleType]:
        known = list(dict.items(self))  # dict.copy would ask __iter__
        view = {name: module for name, module in known if is_shared(name.partition(".")[0])}
        view.update(owner(frame).seen())
        return view

    def copy(self) -> dict[str, ModuleType]:
        """A plain dict of what the caller sees."""
        return self._view(_caller())

    def __iter__(self) -> Iterator[str]:
        return iter(self._view(_caller()))

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """The names that the caller sees; a snapshot."""
        return self._view(_caller()).keys()

    def values(self) -> ValuesView[ModuleType]:  # type: ignore[override]
        """The modules that the caller sees; a snapshot."""
        return self._view(_caller()).values()

    def items(self) -> ItemsView[str, ModuleType]:  # type: ignore[override]
        """Names and modules that the caller sees; a snapshot."""
        return self._view(_caller()).items()

    def __len__(self) -> int:
        return len(self._view(_caller()))


class StrictModules(Modules):
    """Reads nothing from the real dict but shared names: there C code may just have written somebody's natural name."""

    __slots__ = ()

    def _look(self, name: Any, frame: FrameType | None) -> Any:
        if type(name) is not str:
            return _get(self, name, MISSING)
        top = name.partition(".")[0]
        return _get(self, name, MISSING) if is_shared(top) else find(name, top, frame)

    def __getitem__(self, name: str) -> ModuleType:
        module = self._look(name, _caller())
        if module is MISSING:
            raise KeyError(name)
        return module  # type: ignore[no-any-return]
