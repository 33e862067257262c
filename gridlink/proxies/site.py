"""The site file, `site.json` in the managed directory: which proxies wrap which messages, in which order.

(And parts that nothing here uses: `jetstream`, see docs/durable.md, `mqtt`, docs/outside.md, `users` and `hosting`,
docs/hosting.md, `operators` and `transfer`, docs/provisioning.md.)

{"proxies": [
    {"proxy": "access", "policy": [{"from": "voltage_problem_handler", "to": "role oltc"}], "for": {"role": "oltc"}},
    {"proxy": "encryption", "for": {"topic": "measurement"}, "key_file": "site.key"}
]}

The first is the outermost, nearest to the wire. It is read once a process, and only where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from gridlink.bus.durable.settings import JetStreamSettings
from gridlink.bus.mqtt import MqttSettings
from gridlink.config import read_json, typed
from gridlink.errors import AddressInvalid, ConfigInvalid
from gridlink.manifest import Mode, Name
from gridlink.nkey import public_key
from gridlink.proxies import own
from gridlink.proxies.around import Around
from gridlink.proxies.chain import Proxy
from gridlink.proxies.scope import Coverage, Scope, Scoped

_BUILT_IN = {
    "access": ("gridlink.proxies.access", "Access"),
    "encryption": ("gridlink.proxies.encryption", "Encryption"),
    "limits": ("gridlink.proxies.limits", "Limits"),
}
_ALWAYS_ON = ("tracing", "validation", "retry")
OPERATOR_NAME = r"[A-Za-z0-9_.@-]{1,64}"
OWN = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*"


@dataclass(frozen=True, slots=True)
class HostingSettings:
    """How modules run at this site, whatever their manifests say: see docs/hosting.md.

    `untrusted`: what becomes of a module that asks to be in a process with modules of another trust.
    """

    modes: dict[Name, Mode] = field(default_factory=dict)
    untrusted: Literal["fork", "refuse"] = "fork"


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """How bundles come to this site's machines from a store. `bytes_per_s`: so fast at most; 0: as fast as it goes."""

    bytes_per_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0


@dataclass(frozen=True, slots=True)
class Operator:
    """Who may have software changed at this site. `name`: as the record shows it; `nkey`: the public one (`U…`)."""

    name: str
    nkey: str

    def __post_init__(self) -> None:
        public_key(self.nkey)
        if not re.fullmatch(OPERATOR_NAME, self.name):
            raise ValueError(f"expected a name of 1 to 64 letters, digits and _ . @ -, got {self.name!r}")


@dataclass(frozen=True, slots=True)
class SiteDocument:
    """The file, as it is written."""

    proxies: tuple[dict[str, Any], ...] = ()
    jetstream: JetStreamSettings | None = None
    mqtt: MqttSettings | None = None
    users: dict[str, str] = field(default_factory=dict)  # of modules' own processes: see docs/hosting.md
    hosting: HostingSettings = field(default_factory=HostingSettings)
    transfer: TransferSettings = field(default_factory=TransferSettings)
    operators: tuple[Operator, ...] = ()  # none: anyone on the site's bus may

    def __post_init__(self) -> None:
        for field_name in ("name", "nkey"):
            given = [getattr(one, field_name) for one in self.operators]
            if len(set(given)) != len(given):
                raise ValueError(f"operators: each has a {field_name} of their own, got {', '.join(given)}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One proxy of the file. `cls` is None for a bundle's own, which is imported with its bundle."""

    name: str
    scope: Scope
    settings: Mapping[str, Any]
    where: str
    directory: Path
    cls: type[Proxy] | None
    arguments: tuple[Any, ...] = ()  # what `cls` is made with

    @property
    def package(self) -> str:
        """The top-level package of an author's proxy."""
        return self.name.partition(":")[0].partition(".")[0]

    def proxy(self, around: Around, bundle: Path, run: Callable[..., Any]) -> Proxy | None:
        """The proxy for an instance; None where it is another bundle's. `run` calls in the name of the bundle."""
        if self.cls is not None and self.name in _BUILT_IN:
            made = self.cls(*self.arguments)
        elif self.cls is not None:
            made = own.make(self.cls, self.arguments, self.where)
        elif own.holds(bundle, self.package):
            cls = own.load(self.name, run, self.where)
            made = own.make(cls, _prepared(cls, self.settings, self.directory, self.where), self.where)
        else:
            return None
        return self._scoped(made, around)

    def _scoped(self, made: Proxy, around: Around) -> Proxy:
        coverage = Coverage(self.scope, around)
        made.attach(around, coverage)
        guarded = made if self.name in _BUILT_IN else own.Guarded(made, self.name)
        return guarded if coverage.everything or made.scopes_itself else Scoped(guarded, coverage)


class SiteFile:
    """The proxies of a site, as its file has them, and what it says of the site's JetStream server."""

    def __init__(self, path: Path, entries: tuple[Entry, ...], document: SiteDocument | None = None) -> None:
        self.path, self.entries = path, entries
        self.document = document or SiteDocument()

    def proxies(self, around: Around, bundle: Path, run: Callable[..., Any] | None = None) -> tuple[Proxy, ...]:
        """The proxies of one instance, outermost first. Raises ConfigInvalid for a bundle's own that can't be made.

        `bundle`: its directory. `run`: calls a function in the bundle's name, so that it finds the bundle's packages.
        """
        made = (entry.proxy(around, bundle, run or _plainly) for entry in self.entries)
        return tuple(proxy for proxy in made if proxy is not None)


def read_site_file(path: Path) -> SiteFile:
    """Reads and checks the file, keys and all. Raises ConfigInvalid with the file, what was expected and what came."""
    try:
        written = read_json(path)
    except OSError as error:
        raise ConfigInvalid(f"{path}: expected the site's proxies, got: {error.strerror}: restore the file") from error
    document = _typed(written, SiteDocument, str(path))
    entries = tuple(_entry(one, path, number) for number, one in enumerate(document.proxies))
    return SiteFile(path, entries, document)


def _entry(document: Mapping[str, Any], path: Path, number: int) -> Entry:
    name = document.get("proxy")
    where = f"{path}: proxies[{number}]"
    if not isinstance(name, str):
        raise ConfigInvalid(f"{where}: expected 'proxy' to name one ({', '.join(_BUILT_IN)}), got {name!r}")
    where = f"{where} ({name})"
    scope = _scope(document.get("for", {}), where)
    settings = {key: value for key, value in document.items() if key not in ("proxy", "for")}
    cls = _class(name, path.parent, where)
    arguments = _prepared(cls, settings, path.parent, where) if cls is not None else ()
    return Entry(name, scope, settings, where, path.parent, cls, arguments)


def _class(name: str, managed: Path, where: str) -> type[Proxy] | None:
    if name in _BUILT_IN:
        module, attribute = _BUILT_IN[name]
        try:
            found: type[Proxy] = getattr(import_module(module), attribute)
        except ImportError as error:
            raise ConfigInvalid(
                f"{where}: expected PyNaCl, it isn't installed ({error}): `pip install gridlink[encryption]`"
            ) from error
        return found
    if name in _ALWAYS_ON:
        raise ConfigInvalid(f"{where}: {name} is always there: remove the entry")
    if not re.fullmatch(OWN, name):
        expected = f"{', '.join(_BUILT_IN)}, or package.module:Class of a bundle"
        raise ConfigInvalid(f"{where}: unknown proxy '{name}'; expected {expected}")
    package = name.partition(":")[0].partition(".")[0]
    if own.bundles_with(package, managed):
        return None
    if not own.is_installed(package):
        raise ConfigInvalid(f"{where}: expected the package {package!r} in a bundle of {managed}, or installed")
    return own.load(name, _plainly, where)


def _scope(document: Any, where: str) -> Scope:
    try:
        scope = msgspec.convert(document, Scope)
        _ = scope.addresses
    except msgspec.ValidationError as error:
        text = str(error).replace("`", "'")
        raise ConfigInvalid(f"{where}: for: {text}; expected role, topic and module, got {document!r}") from error
    except AddressInvalid as error:
        raise ConfigInvalid(f"{where}: for: {error}") from error
    return scope


def _prepared(cls: type[Proxy], settings: Mapping[str, Any], directory: Path, where: str) -> tuple[Any, ...]:
    """What a proxy of the class is made with."""
    if cls.settings_type is None:
        if settings:
            raise ConfigInvalid(f"{where}: it takes no settings: remove {', '.join(settings)}")
        return ()
    return (cls.prepare(_typed(settings, cls.settings_type, where), directory, where),)


def _typed(document: Any, type_: Any, where: str) -> Any:
    """See gridlink.config.typed; the error also says what came."""
    try:
        return typed(document, type_, where)
    except ConfigInvalid as error:
        raise ConfigInvalid(f"{error}{_got(str(error), document)}") from error


def _got(text: str, document: Any) -> str:
    """What came, where the sentence has its path and doesn't say it yet."""
    path = re.search(r" - at '\$([^']*)'", text)
    if path is None or ", got " in text:
        return ""
    for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", path[1]):
        try:
            document = document[name] if name else document[int(index)]
        except (LookupError, TypeError):
            return ""
    return f", got {document!r}"


def _plainly(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)
