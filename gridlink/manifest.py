"""The manifest of a bundle (`module.json`): what it may hold, and clear errors for what it may not. Pure.

The dataclass is the schema: the published `schemas/manifest.json` is made from it, and unknown fields are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Struct, field

from gridlink.errors import ManifestInvalid
from gridlink.restart import RestartHistory

Mode = Literal["node", "fork", "process"]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]*$(?!\n)", max_length=64)]
Version = Annotated[
    str,
    msgspec.Meta(  # https://semver.org, with digits that are ASCII alone
        pattern=r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
        r"(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?"
        r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$(?!\n)"
    ),
]
Entry = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$(?!\n)")]
_USED = r"^(role|topic) [A-Za-z0-9_-]+$(?!\n)"
_REQUIRED_KEYS = ("python", "gridlink", "platform")
Positive = Annotated[float, msgspec.Meta(gt=0)]


class Resources(Struct, frozen=True):
    """What an instance needs: MiB of memory, CPUs, MiB of disk."""

    memory_mib: Positive | None = None
    cpu: Positive | None = None
    disk_mib: Positive | None = None


class Restart(Struct, frozen=True):
    """See gridlink.restart.RestartHistory."""

    intensity: Annotated[int, msgspec.Meta(ge=0)] = 5
    period_s: Positive = 60.0
    backoff_s: tuple[Positive, Positive] = (0.2, 30.0)

    def history(self) -> RestartHistory:
        """A history without failures, for one child."""
        return RestartHistory(self.intensity, self.period_s, self.backoff_s)


class Manifest(Struct, frozen=True):
    """A bundle's `module.json`, whole.

    `requires`: version ranges (`>=1,<2`) of `python`, `gridlink` and of each of the host's libraries that the bundle
    imports, and under `platform` a list of platforms (`linux-aarch64`).
    `durable`: topics whose events are on disk when the bundle's `publish` returns, and which it hears at least once.
    """

    name: Name
    version: Version
    entry: Entry
    mode: Mode = "node"
    into: Name | None = None
    requires: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    uses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    durable: tuple[str, ...] = ()
    idempotent: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    replicas: Literal["one", "many", "standby"] = "one"
    restart: Restart = field(default_factory=Restart)
    trust: Literal["trusted", "untrusted"] = "trusted"

    @property
    def libraries(self) -> tuple[str, ...]:
        """The host's libraries that the bundle names in `requires`, and so may import."""
        return tuple(key for key in self.requires if key not in _REQUIRED_KEYS)

    @property
    def used_roles(self) -> tuple[str, ...]:
        """The roles that the module sends requests to."""
        return tuple(key.removeprefix("role ") for key in self.uses if key.startswith("role "))

    @property
    def used_topics(self) -> tuple[str, ...]:
        """The topics that the module listens to."""
        return tuple(key.removeprefix("topic ") for key in self.uses if key.startswith("topic "))


_NESTED: dict[str, type] = {"resources": Resources, "restart": Restart}


def parse(document: object, where: str) -> Manifest:
    """The manifest in `document` (JSON already read); `where` names the file in errors.

    Raises ManifestInvalid: not an object, a field missing, unknown or of a wrong form.
    """
    if not isinstance(document, Mapping):
        raise ManifestInvalid(f"{where}: expected a JSON object, got {type(document).__name__}")
    _refuse_unknown(document, Manifest, where, "")
    for name, cls in _NESTED.items():
        if isinstance(document.get(name), Mapping):
            _refuse_unknown(document[name], cls, where, f"{name}.")
    try:
        manifest = msgspec.convert(document, Manifest)
    except msgspec.ValidationError as error:
        raise ManifestInvalid(f"{where}: {_plain(str(error), document)}") from error
    for key, wanted in manifest.requires.items():
        if isinstance(wanted, str) == (key == "platform"):
            expected = "a list of platforms" if key == "platform" else "a version range such as '>=1,<2'"
            raise ManifestInvalid(f"{where}: requires.{key}: expected {expected}, got {wanted!r}")
    for key in manifest.uses:
        if not re.search(_USED, key):
            raise ManifestInvalid(f"{where}: uses: expected 'role NAME' or 'topic NAME', got {key!r}")
    return manifest


def schema() -> dict[str, Any]:
    """The JSON Schema of a manifest: it refuses what `parse` refuses, but for `5.0` where an integer is expected."""
    found = msgspec.json.schema(Manifest)
    for name in (Manifest.__name__, *(cls.__name__ for cls in _NESTED.values())):
        found["$defs"][name]["additionalProperties"] = False
    properties = found["$defs"][Manifest.__name__]["properties"]
    version_range, platforms = properties["requires"]["additionalProperties"]["anyOf"]
    properties["requires"] = {
        "type": "object",
        "properties": {"platform": platforms},
        "additionalProperties": version_range,
        "default": {},
    }
    properties["uses"]["propertyNames"] = {"pattern": _USED}
    return found


def _refuse_unknown(document: Mapping[Any, Any], cls: type[Struct], where: str, prefix: str) -> None:
    known = cls.__struct_fields__
    for name in document:
        if name not in known:
            raise ManifestInvalid(
                f"{where}: unknown field '{prefix}{name}'; expected {', '.join(prefix + k for k in known)}"
            )


_HINTS = {
    "$.version": "a version as SemVer writes it, e.g. 1.0.0",
    "$.name": "a name of lower-case letters, digits and '_' that starts with a letter",
    "$.entry": "package:Class, e.g. storage:Storage",
}


def _plain(text: str, document: Mapping[str, Any]) -> str:
    """msgspec's sentence, with what came and a human's words for the patterns."""
    missing = re.search(r"missing required field `(\w+)`", text)
    if missing:
        return f"the field '{missing.group(1)}' is missing: add it"
    path = text.rpartition(" - at `")[2].rstrip("`")
    hint = _HINTS.get(path)
    if hint is None:
        return text.replace("`", "'")
    return f"{path[2:]}: expected {hint}, got {document.get(path[2:])!r}"
