"""One client's connection: HTTP/1.1 by h11, read and written with asyncio. Everything awaited has a deadline.

h11 does the protocol (its errors become 4xx here); this file does the I/O. Its maker cancels it.
"""

import asyncio
import socket
from contextlib import suppress
from http import HTTPStatus
from typing import Protocol

import h11
from msgspec import Struct

from dashboard_interface.problem import ProblemError
from dashboard_interface.request import Request
from dashboard_interface.response import EVENTS, Answer, EventStream, Response, of_problem
from dashboard_interface.sse import Hub, Subscription

CHUNK = 4096
SAFE_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


class Limits(Struct, frozen=True):
    """Bytes and real seconds that one connection may take."""

    max_header_bytes: int = 8192
    max_body_bytes: int = 4096
    request_timeout_s: float = 10.0
    keep_alive_s: float = 15.0
    send_timeout_s: float = 10.0
    comment_every_s: float = 15.0
    linger_s: float = 1.0


class Answering(Protocol):
    """Who answers whole requests."""

    async def answer(self, request: Request) -> Answer:
        """The answer; raises nothing but CancelledError."""


class Connection:
    """Serves the requests of one connection in their order until either side ends it.

    `serve` closes the connection however it ends; cancelling it drops the client at once. While `busy` is
    False no request is in work and nothing is lost by cancelling.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        door: Answering,
        hub: Hub,
        limits: Limits,
    ) -> None:
        self.busy = False
        self.requests = 0
        self._reader, self._writer = reader, writer
        self._door, self._hub, self._limits = door, hub, limits
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.max_header_bytes)
        self._last = False

    async def serve(self) -> None:
        """Serves until the connection ends."""
        try:
            while await self._cycle() and not self._last:
                self.busy = False
        except (OSError, TimeoutError):
            self._writer.transport.abort()  # the client is gone or doesn't read: nobody is left to tell
        except asyncio.CancelledError:
            self._writer.transport.abort()
            raise
        finally:
            self._writer.close()

    def last(self) -> None:
        """Ends the connection after the request in work, if any."""
        self._last = True

    async def _cycle(self) -> bool:
        if not self._h11.trailing_data[0] and not await self._first_bytes():
            return False
        self.busy = True
        try:
            async with asyncio.timeout(self._limits.request_timeout_s):
                request = await self._request()
        except ProblemError as error:
            await self._refuse(error)
            return False
        except h11.RemoteProtocolError as error:
            await self._refuse(_malformed(error))
            return False
        except TimeoutError:
            await self._refuse(self._late())
            return False
        if request is None:
            return False
        self.requests += 1
        return await self._answer(request)

    async def _first_bytes(self) -> bool:
        try:
            async with asyncio.timeout(self._limits.keep_alive_s):
                data = await self._reader.read(CHUNK)
        except TimeoutError:
            return False
        if data:
            self._h11.receive_data(data)
        return bool(data)

    async def _request(self) -> Request | None:
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        self._check_head(head)
        body = bytearray()
        while isinstance(part := await self._event(), h11.Data):
            body += part.data
            if len(body) > self._limits.max_body_bytes:
                raise self._too_large("more")
        if isinstance(part, h11.ConnectionClosed):
            return None
        headers: dict[str, str] = {}
        for raw_name, raw_value in head.headers:
            name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return Request(head.method.decode("ascii"), head.target.decode("ascii"), headers, bytes(body))

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            if self._h11.they_are_waiting_for_100_continue:
                self._write(h11.InformationalResponse(status_code=100, headers=[]))
            self._h11.receive_data(await self._reader.read(CHUNK))
        return event  # type: ignore[return-value]

    def _check_head(self, head: h11.Request) -> None:
        if head.http_version not in (b"1.1", b"1.0"):
            came = head.http_version.decode("ascii")
            raise ProblemError(505, expected="HTTP/1.1", came=came, do="use HTTP/1.1")
        for name, value in head.headers:
            if name == b"content-length" and int(value) > self._limits.max_body_bytes:
                raise self._too_large(f"{int(value)}")

    async def _answer(self, request: Request) -> bool:
        answer = await self._door.answer(request)
        if isinstance(answer, EventStream):
            await self._stream(answer)
            return False
        await self._send(answer, close=self._last, head_only=request.method == "HEAD")
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    async def _send(self, response: Response, *, close: bool, head_only: bool = False) -> None:
        headers = [("Content-Type", response.content_type), *SAFE_HEADERS, *response.headers]
        if response.status != 304:
            headers.append(("Content-Length", str(len(response.body))))
        if close:
            headers.append(("Connection", "close"))
        reason = HTTPStatus(response.status).phrase
        head = h11.Response(status_code=response.status, headers=headers, reason=reason)
        body = b"" if head_only else response.body
        self._write(head, h11.Data(data=body), h11.EndOfMessage())
        await self._drain()

    async def _stream(self, answer: EventStream) -> None:
        client = answer.subscription
        try:
            headers = [("Content-Type", EVENTS), ("Connection", "close"), *SAFE_HEADERS, *answer.headers]
            self._write(h11.Response(status_code=200, headers=headers, reason="OK"))
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._until_gone(client))
                await self._pump(client)
                watch.cancel()
            self._write(h11.EndOfMessage())
            await self._drain()
        finally:
            self._hub.leave(client)

    async def _pump(self, client: Subscription) -> None:
        while (text := await client.next(self._limits.comment_every_s)) is not None:
            self._write(h11.Data(data=text))
            try:
                await self._drain()
            except TimeoutError:
                self._hub.drop(client)
                self._writer.transport.abort()
            except OSError:
                client.close()

    async def _until_gone(self, client: Subscription) -> None:
        """Reads and forgets what a client sends on a stream; closes the stream when the client does."""
        with suppress(OSError):
            while await self._reader.read(CHUNK):
                pass
        client.close()

    async def _refuse(self, error: ProblemError) -> None:
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        await self._send(of_problem(error), close=True)
        await self._linger()

    async def _linger(self) -> None:
        """Reads a little of what still comes, else closing resets the connection before the client read."""
        with suppress(OSError, TimeoutError):
            self._writer.write_eof()
            async with asyncio.timeout(self._limits.linger_s):
                for _ in range(64):
                    if not await self._reader.read(CHUNK):
                        return

    def _write(self, *events: h11.Event) -> None:
        data = b"".join(self._h11.send(event) or b"" for event in events)
        if data:
            self._writer.write(data)

    async def _drain(self) -> None:
        async with asyncio.timeout(self._limits.send_timeout_s):
            await self._writer.drain()

    def _too_large(self, came: str) -> ProblemError:
        expected = f"a body of at most {self._limits.max_body_bytes} bytes"
        return ProblemError(413, expected=expected, came=f"{came} bytes", do="send less, see /openapi.json")

    def _late(self) -> ProblemError:
        return ProblemError(
            408,
            expected=f"a whole request within {self._limits.request_timeout_s} s",
            came="a part of one",
            do="send the request in one go",
        )


def _malformed(error: h11.RemoteProtocolError) -> ProblemError:
    status = error.error_status_hint if error.error_status_hint in (400, 414, 431, 501) else 400
    return ProblemError(status, expected="an HTTP/1.1 request", came=str(error), do="use an HTTP client")


def shrink_buffers(sock: socket.socket, send_bytes: int = 65536, receive_bytes: int = 16384) -> None:
    """Bounds what the kernel holds for a client, and so what asyncio reads at once; else it is megabytes."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_bytes)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
