"""Spaces of module names: the host's, a bundle's own package, a `lib/` layer. A module lives in exactly one of them.

Code of a space runs with `space.builtins` as its builtins. Functions, lazy imports and exec'd code inherit that dict,
so a frame's `f_builtins[MARK]` names the space, whoever called it. There is one host space, as there is one
`sys.modules`.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from types import FrameType, FunctionType, ModuleType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

MARK = "__gridlink_space__"
HANDLER_OF = "_gridlink_space"
SHARED_BESIDE_STDLIB = frozenset(
    {
        "gridlink",
        "__main__",
        "__mp_main__",
        f"_sysconfigdata_{sys.abiflags}_{sys.platform}_{getattr(sys.implementation, '_multiarch', '')}",
    }
)
DATA_OF_STDLIB = frozenset({"tzdata"})  # zoneinfo imports it in the bundle's name
exiled: dict[str, int] = {}
"""Top-level names of the stdlib that this many bundles use for a package of their own."""

CURRENT: ContextVar[BundleSpace | None] = ContextVar("gridlink_bundle", default=None)
"""The bundle that a task works for, where no frame of it is on the stack."""


def is_shared(top: str) -> bool:
    """Whether a top-level name means the same module to everybody, so that it stays in the real `sys.modules`."""
    return (top in sys.stdlib_module_names or top in SHARED_BESIDE_STDLIB) and top not in exiled


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return function(*args, **kwargs)


class Space:
    """Module names and the modules behind them. Not thread-safe by itself: CPython's import locks guard it."""

    __slots__ = (
        "__weakref__",
        "builtins",
        "exit_callbacks",
        "finders",
        "left_behind",
        "modules",
        "name",
        "reach",
        "roots",
        "tops",
    )

    def __init__(self, name: str, roots: Iterable[str], tops: Iterable[str]) -> None:
        self.name = name
        self.roots = list(roots)
        self.tops = set(tops)
        self.modules: dict[str, ModuleType] = {}
        self.reach: tuple[dict[str, ModuleType], ...] = (self.modules,)  # where its code finds most of what it asks for
        self.builtins: dict[str, Any] = {**vars(builtins), MARK: self}
        self.finders: list[Any] = []
        self.left_behind: list[Callable[[], object]] = []  # undone at unload, last first
        self.exit_callbacks = 0  # how many atexit had been given before this space's code ran

    def home(self, top: str, frame: FrameType | None) -> Space | None:
        """The space that answers for `top` when this space's code in `frame` asks; None where it may not see it."""
        raise NotImplementedError

    def seen(self) -> Iterator[tuple[str, ModuleType]]:
        """The modules beside the shared ones that this space's code sees in `sys.modules`."""
        raise NotImplementedError

    @property
    def lock_prefix(self) -> str:
        """What keeps this space's import locks apart from those of others."""
        return f"[{self.name}:{id(self):x}]"

    def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls `function` as if this space's code did."""
        call = FunctionType(_call.__code__, {"__builtins__": self.builtins, "__name__": "__gridlink__"})
        result: R = call(function, args, kwargs)
        return result

    def owns(self, thing: object) -> bool:
        """Whether a class or function was defined by this space's code."""
        function = getattr(thing, "__func__", thing)
        if isinstance(function, FunctionType):
            return self.marks(function)
        cls = thing if isinstance(thing, type) else type(thing)
        found: Any = self.modules.get(cls.__module__)
        for name in cls.__qualname__.split("."):
            found = vars(found).get(name) if hasattr(found, "__dict__") else None
        return found is cls or any(self.marks(member) for member in vars(cls).values())

    def marks(self, function: object) -> bool:
        """Whether a function runs with this space's builtins."""
        return isinstance(function, FunctionType) and getattr(function, "__builtins__", {}).get(MARK) is self


class HostSpace(Space):
    """What is neither shared nor a bundle's: the host's site-packages. Host code sees all of it."""

    __slots__ = ()

    def __init__(self) -> None:
        self.name, self.roots, self.tops, self.modules = "host", [], set(), {}
        self.builtins, self.finders, self.left_behind, self.reach = {}, [], [], (self.modules,)

    @property
    def lock_prefix(self) -> str:
        """The host's locks keep their natural names."""
        return ""

    def home(self, top: str, frame: FrameType | None) -> Space:
        """Always the host itself."""
        return self

    def seen(self) -> Iterator[tuple[str, ModuleType]]:
        """All modules of the host."""
        return iter(list(self.modules.items()))

    def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls `function`: the host's code is unmarked."""
        return function(*args, **kwargs)


HOST = HostSpace()


class BundleSpace(Space):
    """A bundle's own package, with its `lib/` layer and what it may see of the host."""

    __slots__ = ("isolated", "lib", "visible")

    def __init__(self, name: str, roots: Iterable[str], tops: Iterable[str], visible: Iterable[str]) -> None:
        super().__init__(name, roots, tops)
        self.visible = DATA_OF_STDLIB.union(visible)
        self.lib: LibSpace | None = None
        self.isolated = False

    def home(self, top: str, frame: FrameType | None) -> Space | None:
        """Its own names first, then its `lib/`, then what it may see of the host."""
        if top in self.tops:
            return self
        if self.lib is not None and top in self.lib.tops:
            return self.lib
        return HOST if top in self.visible or top in exiled else None

    def seen(self) -> Iterator[tuple[str, ModuleType]]:
        """Its own modules, its `lib/`'s and those it may see of the host."""
        for space in (HOST, self.lib, self):
            for name, module in list(space.modules.items()) if space is not None else ():
                if self.home(name.partition(".")[0], None) is space:
                    yield name, module


class LibSpace(Space):
    """A bundle's `lib/`: kept while its content is the same, also when the bundle's own package is run again.

    Usually one bundle uses it; two while an update loads the new version beside the old.
    """

    __slots__ = ("key", "natives", "scratch", "users")

    def __init__(self, name: str, root: str, tops: Iterable[str], key: tuple[str, ...]) -> None:
        super().__init__(name, [root], tops)
        self.key = key
        self.users: list[BundleSpace] = []
        self.natives: list[tuple[int, int]] = []
        self.scratch: str | None = None

    def user(self, frame: FrameType | None) -> BundleSpace | None:
        """The bundle that the layer's code in `frame` works for."""
        while len(self.users) > 1 and frame is not None:
            found = frame.f_builtins.get(MARK)
            if found in self.users:
                return found  # type: ignore[no-any-return]
            frame = frame.f_back
        current = CURRENT.get()
        if current is not None and current.lib is self:
            return current
        return self.users[-1] if self.users else None

    def home(self, top: str, frame: FrameType | None) -> Space | None:
        """Its own names first, then whatever the bundle it works for sees."""
        if top in self.tops:
            return self
        user = self.user(frame)
        return None if user is None else user.home(top, frame)

    def seen(self) -> Iterator[tuple[str, ModuleType]]:
        """What the bundle it works for sees."""
        user = self.user(sys._getframe(1))
        return iter(self.modules.items()) if user is None else user.seen()
