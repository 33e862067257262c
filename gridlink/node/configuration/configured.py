"""The configuration of one instance: what it can start with, what it has, and why it hasn't what its file says."""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context
from typing import Any

import orjson

from gridlink.config import typed
from gridlink.errors import ConfigInvalid, ManifestInvalid, StartFailed, StateInvalid
from gridlink.module.module import HostSpec, Module, config_type
from gridlink.node.bundle import CONFIG, read_bundle
from gridlink.node.configuration.accepted import Accepted
from gridlink.node.configuration.stamp import stamp

log = logging.getLogger("gridlink.node")


class Configured:
    """Keeps what belongs together. `file` is None where the document was given instead.

    `value` is what the module has, `content` the bytes that it came from, `document` what they say, `refused` why it
    hasn't what the file says: empty where it has. `lock`: one change at a time.
    """

    def __init__(self, spec: HostSpec, target: type[Module[Any]], context: Context, accepted: Accepted | None) -> None:
        self.module = spec.manifest.name
        self.file = spec.directory / CONFIG if spec.config is None else None
        self.where = str(spec.directory / CONFIG)
        self.value: Any = None
        self.content = b""
        self.document: Any = {}
        self.refused = ""
        self.lock = asyncio.Lock()
        self.task: asyncio.Task[None] | None = None  # that waits until the file has settled, and takes it
        self.seen = None if self.file is None else stamp(self.file)
        self._spec, self._type, self._context, self._accepted = spec, config_type(target), context, accepted

    @property
    def reason(self) -> str:
        """What whoever looks at the instance should know."""
        return "; ".join(part for part in (self._spec.note, self.refused) if part)

    def for_start(self) -> None:
        """Has in `value` what to start with: what the file says, else what was taken last. Raises ConfigInvalid."""
        if self.file is None:
            self.value, self.document = self.read(self._spec.config), self._spec.config
            return
        kept = self._accepted.read(self.module) if self._accepted is not None else None
        if kept is None:
            self._has(*self._from_file())
            return
        gone = not self.file.exists()
        try:
            if gone:
                raise ConfigInvalid(f"{self.file} is gone: put it back (`{{}}` has the defaults)")
            self._has(*self._from_file())
        except ConfigInvalid as error:
            try:
                self._instead(kept, error)
            except ConfigInvalid:
                if not gone:
                    raise
                self._has(*self._from_file())  # there is nothing else: the defaults

    def instead(self, error: StartFailed) -> bool:
        """Whether there is something else to start with, after the start with what the file says has failed."""
        kept = self._accepted.read(self.module) if self._accepted is not None and self.file is not None else None
        if kept is None or kept == self.content or self.refused or isinstance(error.__cause__, StateInvalid):
            return False
        try:
            before = self.value
            self._instead(kept, error)
        except ConfigInvalid:
            return False
        return bool(self.value != before)

    def _instead(self, kept: bytes, error: Exception) -> None:
        """Has what was taken last. Raises the error where that can't be had either."""
        try:
            self._has(*self._parsed(kept))
        except ConfigInvalid:
            raise ConfigInvalid(str(error)) from error
        self.refused = f"{CONFIG} is refused, it has what it took last: {error}"
        log.error("%s: %s", self.module, self.refused)

    def keep(self) -> None:
        """Remembers what the module has: it runs with that."""
        if self._accepted is not None and self.content and not self.refused:
            self._accepted.keep(self.module, self.content)

    def read_file(self) -> tuple[Any, bytes, Any]:
        """What the file says now: value, content, document. Raises ConfigInvalid."""
        if self.file is not None and self.content and not self.file.exists():
            raise ConfigInvalid(f"{self.file} is gone: put it back (`{{}}` has the defaults)")
        return self._from_file()

    def read(self, document: Any) -> Any:
        """A document as the module's Config. Raises ConfigInvalid."""
        if self._type is not None:
            return self._context.run(typed, document, self._type, self.where)
        if document:
            named = ", ".join(document) if isinstance(document, dict) else repr(document)
            raise ConfigInvalid(f"{self.where}: {self.module} takes no settings: remove {named}")
        return None

    def take(self, value: Any, content: bytes, document: Any) -> None:
        """The module has it now."""
        self._has(value, content, document)
        self.refused = ""
        self.keep()

    def is_anothers(self) -> bool:
        """Whether the file belongs to another version, which was put here and isn't this instance's business."""
        try:
            found = read_bundle(self._spec.directory).manifest
        except ManifestInvalid:
            return True  # the bundle is gone, or is being put here
        return (found.name, found.version) != (self._spec.manifest.name, self._spec.manifest.version)

    def _has(self, value: Any, content: bytes, document: Any) -> None:
        self.value, self.content, self.document = value, content, document

    def _from_file(self) -> tuple[Any, bytes, Any]:
        try:
            content = self.file.read_bytes() if self.file is not None else b""
        except FileNotFoundError:
            return self.read({}), b"", {}
        except OSError as error:
            raise ConfigInvalid(f"{self.where} can't be read: {error}") from error
        return self._parsed(content)

    def _parsed(self, content: bytes) -> tuple[Any, bytes, Any]:
        try:
            document = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise ConfigInvalid(f"{self.where}: expected JSON: {error}") from error
        return self.read(document), content, document
