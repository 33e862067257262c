"""Imports asyncio and nats-py without what they bring along and a node on loopback never uses.

`ssl`, `asyncio.sslproto` and `nats.js` are deferred: a module in their place loads the real one when something of it
is first used, so that TLS and JetStream work as ever. aiohttp (9 MiB, for websockets) is hidden from nats-py, and the
version that it looks up in its metadata (through email and zipfile) is read from the name of its directory. hashlib,
which `random` and `secrets` load, has CPython's own SHA and BLAKE2; what only OpenSSL has is loaded when it is asked
for.
What each saves is in `docs/decisions/0002`; a test shows that TLS still works. Imports next to nothing.
"""

from __future__ import annotations

import sys
from types import ModuleType


class Deferred(ModuleType):
    """Stands in for a module until something of it is used."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "SSLSocket" and self.__name__ == "ssl" and "ssl" not in sys.modules:
            return _NoSocket  # asyncio asks of every socket whether it is one: before ssl is loaded, none can be
        from importlib import import_module  # noqa: PLC0415 - only when something is used

        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        self.__dict__.update(import_module(self.__name__).__dict__)
        return getattr(self, name)


class _NoSocket:
    """What no socket is."""


def find_packages() -> None:
    """Looks up where packages are installed, in a process that was started without (`python -S`)."""
    if sys.flags.no_site and "site" not in sys.modules:
        import site  # noqa: PLC0415 - the guardian does without: 0.3 MiB

        site.main()


def import_libraries() -> None:
    """Imports what every node loads, without what that brings along: before anything else imports any of it."""
    import_asyncio()
    if "ipaddress" not in sys.modules:
        with _InPlace({"ipaddress": Deferred("ipaddress")}):
            import urllib.parse  # noqa: F401, PLC0415 - addresses in brackets alone need it: 0.4 MiB
    with ImportingMsgspec():
        import msgspec  # noqa: F401, PLC0415 - this is what it is for


def import_asyncio() -> None:
    """Imports asyncio without ssl, and hashlib without OpenSSL. Does nothing where either has been imported already."""
    _import_hashlib()
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    deferred = [name for name in ("ssl", "asyncio.sslproto", "locale") if name not in sys.modules]
    with _InPlace({name: Deferred(name) for name in deferred}):
        import asyncio  # noqa: PLC0415 - this is what it is for

        vars(asyncio)["sslproto"] = sys.modules["asyncio.sslproto"]


def _import_hashlib() -> None:
    if "hashlib" in sys.modules or "_hashlib" in sys.modules:
        return
    with _InPlace({"_hashlib": None}):
        import hashlib  # noqa: PLC0415 - this is what it is for
        import hmac  # noqa: F401, PLC0415 - it asks for OpenSSL too

    own = hashlib.new

    def from_openssl(name: str) -> object:
        if name.startswith("__"):  # the import system asks for these
            raise AttributeError(name)
        import _hashlib  # noqa: PLC0415 - only for what hashlib itself lacks

        return getattr(_hashlib, name)

    def new(name: str, data: bytes = b"", **options: bool) -> object:
        try:
            return own(name, data, **options)
        except ValueError:
            import _hashlib  # noqa: PLC0415 - an algorithm of OpenSSL's

            return _hashlib.new(name, data, **options)

    vars(hashlib).update(__getattr__=from_openssl, new=new)  # scrypt, pbkdf2_hmac; ripemd160 and the like


class ImportingNats:
    """`with ImportingNats(): import nats.aio.client` leaves aiohttp, ssl, JetStream and email out."""

    def __init__(self) -> None:
        hidden: dict[str, ModuleType | None] = {"aiohttp": None, "multidict": None}
        hidden |= {name: Deferred(name) for name in ("nats.js", "ssl", "ipaddress") if name not in sys.modules}
        if "importlib.metadata" not in sys.modules:
            hidden["importlib.metadata"] = _metadata()
        self._hidden = _InPlace(hidden)

    def __enter__(self) -> None:
        self._hidden.__enter__()

    def __exit__(self, *error: object) -> None:
        js = sys.modules.get("nats.js")
        if js is not None and "nats" in sys.modules:
            vars(sys.modules["nats"])["js"] = js
        self._hidden.__exit__()


class ImportingMsgspec:
    """`with ImportingMsgspec(): import msgspec` leaves typing_extensions out: typing has all that it takes of it."""

    def __init__(self) -> None:
        hidden: dict[str, ModuleType | None] = {} if "typing_extensions" in sys.modules else {"typing_extensions": None}
        self._hidden = _InPlace(hidden)

    def __enter__(self) -> None:
        self._hidden.__enter__()

    def __exit__(self, *error: object) -> None:
        self._hidden.__exit__()


class _InPlace:
    """Puts modules into sys.modules, and afterwards what was there before. (contextlib would be 0.6 MiB.)"""

    def __init__(self, modules: dict[str, ModuleType | None]) -> None:
        self._modules = modules
        self._before = {name: sys.modules[name] for name in modules if name in sys.modules}

    def __enter__(self) -> None:
        sys.modules.update(self._modules)  # type: ignore[arg-type]

    def __exit__(self, *_: object) -> None:
        for name in self._modules:
            sys.modules.pop(name, None)
        sys.modules.update(self._before)


def _metadata() -> ModuleType:
    module = ModuleType("importlib.metadata")
    module.version = _version  # type: ignore[attr-defined]
    return module


def _version(distribution: str) -> str:
    """The version of an installed distribution, from the name of its `.dist-info` directory."""
    import os  # noqa: PLC0415 - already loaded by the interpreter

    prefix = distribution.replace("-", "_") + "-"
    for place in sys.path:
        if os.path.isdir(place):
            for name in os.listdir(place):
                if name.startswith(prefix) and name.endswith(".dist-info"):
                    return name.removeprefix(prefix).removesuffix(".dist-info")
    return "unknown"
