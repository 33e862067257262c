"""Settings from the environment and from JSON files, read when asked for and never at import."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson
from msgspec import Struct

from gridlink.errors import ConfigInvalid


class Credentials(Struct, frozen=True):
    """How to prove to a nats-server who we are; file names and words as the nats command line has them."""

    creds: str | None = None
    nkey: str | None = None
    user: str | None = None
    password: str | None = None
    token: str | None = None
    cert: str | None = None
    key: str | None = None
    ca: str | None = None
    inbox_prefix: str | None = None  # the subjects on which they may get replies; _INBOX if not given
    tls_name: str | None = None  # the name to expect in the servers' certificates; the host of the URL if not given


def credentials(environ: Mapping[str, str] = os.environ) -> Credentials:
    """The credentials in NATS_CREDS, NATS_NKEY, NATS_USER, NATS_PASSWORD, NATS_TOKEN, NATS_CERT, NATS_KEY, NATS_CA.

    Two are ours: NATS_TLS_NAME, the name that the certificates of a site's servers have in common, and
    NATS_INBOX_PREFIX, the subjects on which these credentials may get replies.
    """
    return Credentials(**{name: environ.get(f"NATS_{name.upper()}") or None for name in Credentials.__struct_fields__})


def machine_name() -> str:
    """This machine's host name as a token of an address."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname().partition(".")[0]) or "machine"


def read_json(path: Path, where: str = "") -> Any:
    """The JSON in a file. Raises ConfigInvalid that names it (as `where`), line and column, and FileNotFoundError."""
    body = path.read_bytes()
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ConfigInvalid(f"{where or path}: expected JSON: {error}") from error


def write_atomically(path: Path, body: bytes) -> None:
    """Replaces a file so that a reader, or the next start after a power cut, finds the old or the new one, whole."""
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")  # (tempfile would be 0.6 MiB)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def remove_temporaries(path: Path) -> None:
    """Removes what a process that was killed in `write_atomically` has left of a file that nobody is writing now."""
    left = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{12}}")
    for file in path.parent.glob(".*"):
        if left.fullmatch(file.name):
            file.unlink(missing_ok=True)


def typed(document: Any, type_: Any, where: str) -> Any:
    """`document` as a `type_`; unknown fields of a dataclass or Struct are refused.

    Raises ConfigInvalid that names `where`.
    """
    known = _fields(type_)
    if known is not None:
        if not isinstance(document, Mapping):
            raise ConfigInvalid(f"{where}: expected a JSON object, got {type(document).__name__}")
        _refuse_unknown(document, known, where, "")
    try:
        value = msgspec.convert(document, type_)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise ConfigInvalid(f"{where}: {str(error).replace('`', chr(39))}") from error
    _refuse_unknown_inside(document, value, where, "")
    return value


def _fields(value: Any) -> dict[str, str] | None:
    """The attributes of a dataclass or Struct by their names in a document; None for anything else."""
    if (named := getattr(value, "__struct_encode_fields__", None)) is not None:
        return dict(zip(named, value.__struct_fields__, strict=True))
    named = getattr(value, "__dataclass_fields__", None)
    return {name: name for name in named} if named is not None else None


def _refuse_unknown(document: Mapping[str, Any], known: Iterable[str], where: str, prefix: str) -> None:
    unknown = sorted(set(document).difference(known))
    if unknown:
        expected = ", ".join(prefix + name for name in known) or "no field at all"
        raise ConfigInvalid(f"{where}: unknown setting '{prefix}{unknown[0]}'; expected {expected}")


def _refuse_unknown_inside(document: Any, value: Any, where: str, prefix: str) -> None:
    """The same at any depth: `value` is what `document` was read into."""
    known = _fields(value)
    if isinstance(document, Mapping):
        if known is not None:
            _refuse_unknown(document, known, where, prefix)
        for name, part in document.items():
            inside = getattr(value, known[name]) if known is not None else _item(value, name)
            _refuse_unknown_inside(part, inside, where, f"{prefix}{name}.")
    elif isinstance(document, list) and isinstance(value, list | tuple):
        for part, inside in zip(document, value, strict=False):
            _refuse_unknown_inside(part, inside, where, prefix)


def _item(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None
