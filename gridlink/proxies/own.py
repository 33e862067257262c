"""Proxies that a bundle, or a package of this Python, brings: found by `package.module:Class`, and kept from harm.

A bundle's proxy wraps the messages of that bundle's own module; one of an installed package those of every module.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gridlink.errors import ConfigInvalid, GridlinkError, ProxyFailed
from gridlink.message import Call, Message
from gridlink.proxies.chain import Proxy

log = logging.getLogger("gridlink.proxies")


def bundles_with(package: str, managed: Path) -> list[Path]:
    """The bundles of a managed directory (and of NodeManagers in it) that hold the package."""
    return [path for pattern in ("*", "*/managed/*") for path in managed.glob(pattern) if holds(path, package)]


def holds(bundle: Path, package: str) -> bool:
    """Whether a bundle's directory holds a package or module of that name."""
    return (bundle / package).is_dir() or (bundle / f"{package}.py").is_file()


def is_installed(package: str) -> bool:
    """Whether this Python has a package of that name; it isn't imported."""
    return importlib.util.find_spec(package) is not None


def load(name: str, run: Callable[..., Any], where: str) -> type[Proxy]:
    """The class that `package.module:Class` names, imported by `run`. Raises ConfigInvalid."""
    module, _, attribute = name.partition(":")
    try:
        found = getattr(run(importlib.import_module, module), attribute, None)
    except Exception as error:  # it is the author's code: it may raise anything
        raise ConfigInvalid(f"{where}: {module} can't be imported: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Proxy)):
        raise ConfigInvalid(f"{where}: expected a class derived from gridlink.Proxy in {name}, got {found!r}")
    return found


def make(cls: type[Proxy], arguments: Sequence[Any], where: str) -> Proxy:
    """An instance of an author's proxy. Raises ConfigInvalid."""
    try:
        return cls(*arguments)
    except Exception as error:  # it is the author's code: it may raise anything
        raise ConfigInvalid(f"{where}: the proxy can't be made: {type(error).__name__}: {error}") from error


class Guarded(Proxy):
    """An author's proxy. What it raises fails the message as ProxyFailed, which names it; errors from inside pass."""

    def __init__(self, proxy: Proxy, name: str) -> None:
        self._proxy, self._name = proxy, name

    def outgoing(self, call: Call) -> Call:
        """See Proxy."""
        return self._guarded(self._proxy.outgoing, call)

    def incoming(self, call: Call) -> Call:
        """See Proxy."""
        return self._guarded(self._proxy.incoming, call)

    def _guarded(self, wrap: Callable[[Call], Call], call: Call) -> Call:
        async def inside(message: Message) -> Any:
            return await call(message)

        try:
            wrapped = wrap(inside)
        except Exception as error:  # it is the author's code: it may raise anything
            raise self._failed(error, "while it was put into place") from error

        async def guarded(message: Message) -> Any:
            try:
                return await wrapped(message)
            except GridlinkError:
                raise
            except Exception as error:
                if _passed(inside, error):
                    raise
                raise self._failed(error, f"on {message.type}") from error

        return guarded

    def _failed(self, error: Exception, when: str) -> ProxyFailed:
        log.error("the proxy %s raised %s", self._name, when, exc_info=error)
        text = f"the proxy {self._name} raised {when}: {type(error).__name__}: {error}: that message alone has failed"
        return ProxyFailed(text, proxy=self._name)


def _passed(inside: Callable[..., Any], error: Exception) -> bool:
    """Whether an error came from inside of the proxy: from the handler, or from a proxy further in."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is inside.__code__:
            return True
        trace = trace.tb_next
    return False
