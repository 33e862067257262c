"""Encryption of payloads end to end: sealed by the sender's process, opened by the receiver's, and sealed in between.

Replies and the errors of handlers are sealed like the request they answer, and are bound to it. A message in the scope
that isn't sealed is refused, and so is an unsealed reply. A sealed message is opened wherever its key is known.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from msgspec.structs import replace

from gridlink.address import readable
from gridlink.codec import dumps, encode, loads
from gridlink.errors import ConfigInvalid, FailedSealed, GridlinkError, HandlerFailed, Unreadable, from_wire
from gridlink.message import Call, Message
from gridlink.proxies.around import Around
from gridlink.proxies.chain import Proxy
from gridlink.proxies.keys import Key, key_in_environment, key_in_file
from gridlink.proxies.scope import Coverage
from gridlink.proxies.sealing import Keyring, Sealed, read_sealed

log = logging.getLogger("gridlink.proxies")

_REPLY, _ERROR = b"reply", b"error"


@dataclass(frozen=True, slots=True)
class EncryptionSettings:
    """One key to seal with, from a file or the environment, and others that are still, or already, accepted."""

    key_file: str = ""
    key_env: str = ""
    accept_key_files: tuple[str, ...] = ()
    accept_key_envs: tuple[str, ...] = ()


class Encryption(Proxy):
    """Seals what the instance sends and opens what it gets."""

    settings_type = EncryptionSettings
    scopes_itself = True

    @classmethod
    def prepare(cls, settings: EncryptionSettings, directory: Path, where: str) -> Keyring:
        """Reads the keys. Raises ConfigInvalid."""
        if bool(settings.key_file) == bool(settings.key_env):
            got = "both" if settings.key_file else "neither"
            raise ConfigInvalid(f"{where}: expected either key_file or key_env, got {got}")
        files = [name for name in (settings.key_file, *settings.accept_key_files) if name]
        names = [name for name in (settings.key_env, *settings.accept_key_envs) if name]
        in_files: list[Key] = [key_in_file(directory / name, where) for name in files]
        in_environment: list[Key] = [key_in_environment(name, where) for name in names]
        return Keyring([*in_files, *in_environment] if settings.key_file else [*in_environment, *in_files])

    def __init__(self, ring: Keyring) -> None:
        self._ring = ring
        self._around: Around
        self._coverage: Coverage

    def attach(self, around: Around, coverage: Coverage) -> None:
        """See Proxy."""
        self._around, self._coverage = around, coverage

    def outgoing(self, call: Call) -> Call:
        """Seals messages in the scope; opens their replies."""
        covers = self._coverage.outgoing

        async def sealed(message: Message) -> Any:
            if not covers(message):
                return await call(message)
            context = self._context(message)
            body, nonce = self._ring.seal(message.payload, context)
            try:
                reply = await call(replace(message, payload=body))
            except FailedSealed as error:
                failed = self._open(error.sealed.encode(), context + nonce + _ERROR, message)
                raise _error_in(failed) from None
            return self._open(reply, context + nonce + _REPLY, message) if message.wants_reply else reply

        return sealed

    def _open(self, body: bytes, context: bytes, message: Message) -> bytes:
        found = read_sealed(body)
        if found is None:
            raise Unreadable(
                f"the reply of {readable(message.address)} to {message.type}: expected a sealed one, got a plain one",
                expected=self._ring.ids,
                got="plain",
            )
        return self._ring.open(found, context)

    def incoming(self, call: Call) -> Call:
        """Opens messages and seals their replies; refuses those of the scope that aren't sealed."""
        covers = self._coverage.incoming

        async def opened(message: Message) -> Any:
            found = read_sealed(message.payload)
            if found is None or found.key not in self._ring:
                if covers(message):
                    self._refuse(message, found)
                return await call(message)
            context = self._context(message)
            try:
                plain = replace(message, payload=self._ring.open(found, context))
            except Unreadable:
                self._around.refused()
                raise
            if message.address.startswith("topic."):
                return await call(plain)
            return await self._answered(call, plain, found, context + found.nonce)

        return opened

    async def _answered(self, call: Call, message: Message, asked: Sealed, context: bytes) -> bytes:
        try:
            reply = await call(message)
        except GridlinkError as error:
            raise self._sealed_error(error, asked, context) from error
        except Exception as error:  # a handler is the author's code: it may raise anything, and must not say it plainly
            self._around.failed()
            log.exception("%s: the handler of %s raised", self._around.instance, message.type)
            failed = HandlerFailed(f"{self._around.instance}, {message.type}: {type(error).__name__}: {error}")
            raise self._sealed_error(failed, asked, context) from error
        return self._ring.seal(reply, context + _REPLY, asked.key)[0]

    def _sealed_error(self, error: GridlinkError, asked: Sealed, context: bytes) -> FailedSealed:
        plain = encode({"error": type(error).__name__, "message": str(error), **error.details})
        body = self._ring.seal(plain, context + _ERROR, asked.key)[0]
        return FailedSealed("the error is sealed: it is for the sender alone", sealed=body.decode())

    def _refuse(self, message: Message, found: Sealed | None) -> NoReturn:
        self._around.refused()
        if found is not None:
            raise self._ring.unknown(found.key)
        raise Unreadable(
            f"{readable(message.address)} {message.type}: expected a payload sealed with key {self._ring.ids}, got a "
            f"plain one of {message.source or 'a program without a name'}: configure encryption for the sender, too",
            expected=self._ring.ids,
            got="plain",
        )

    def _context(self, message: Message) -> bytes:
        """What a sealed payload is bound to; unambiguous, and the same on both sides."""
        return dumps([self._around.site, message.address, message.type, message.source, message.id])


def _error_in(plain: bytes) -> GridlinkError:
    details = loads(plain)
    return from_wire(str(details.get("error", "")), str(details.get("message", "")), details)
