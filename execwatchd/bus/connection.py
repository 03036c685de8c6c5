# SPDX-License-Identifier: GPL-2.0-or-later
"""A connection to the bus. No other connection can make it block the loop or grow without bound."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from execwatchd.bus import wire
from execwatchd.bus.wire import Call, ErrorReply, Header

log = logging.getLogger(__name__)

BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
MAX_BODY = 64 << 10  # bytes; a longer body is skipped
MAX_UNSENT = 16 << 20  # bytes; with more unread by the bus, the connection is given up
TIMEOUT = 25.0  # seconds for an answer, as in other D-Bus libraries
_CLOSE_SECONDS = 1.0  # for unsent bytes to go out before the connection is closed


class Disconnected(Exception):  # noqa: N818  a state, which ends waiting
    """The bus is not there, or hung up."""


class Connection:
    """An open connection. `receive` gets each method call, and must neither block nor raise."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        signatures: frozenset[str],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._signatures = signatures
        self.receive: Callable[[Call], None] = lambda call: None  # noqa: ARG005
        self._serial = 0
        self._waiting: dict[int, asyncio.Future[list[Any]]] = {}
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, address: str, signatures: frozenset[str]) -> "Connection":
        """Connects, authenticates and calls Hello. Only calls with one of `signatures` get arguments parsed.

        Raises Disconnected.
        """
        try:
            async with asyncio.timeout(TIMEOUT):
                streams = await asyncio.open_unix_connection(wire.socket_path(address))
                connection = cls(*streams, signatures)
                try:
                    await connection._authenticate()
                except BaseException:
                    await connection.close()
                    raise
                return connection
        except (OSError, EOFError, asyncio.LimitOverrunError, ErrorReply, ValueError) as error:
            raise Disconnected(str(error) or type(error).__name__) from None

    @property
    def closed(self) -> bool:
        """Whether the connection is gone, for whatever reason."""
        return self._reading is None or self._reading.done()

    async def wait_closed(self) -> None:
        """Returns when the connection is gone."""
        if self._reading:
            await asyncio.wait([self._reading])

    async def close(self) -> None:
        """Sends what is still to be sent, then hangs up."""
        if self._reading:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._writer.wait_closed()
        except OSError:  # TimeoutError too
            self._writer.transport.abort()

    async def call(
        self, address: wire.Address, signature: str = "", *arguments: object, seconds: float = TIMEOUT
    ) -> list[Any]:
        """The values that a method returns; raises ErrorReply, Disconnected or TimeoutError."""
        serial = self._next_serial()
        reply = asyncio.get_running_loop().create_future()
        self._send(wire.call(serial, address, signature, arguments))
        self._waiting[serial] = reply
        try:
            async with asyncio.timeout(seconds):
                values: list[Any] = await reply
                return values
        finally:
            del self._waiting[serial]

    def call_without_reply(self, address: wire.Address, signature: str, *arguments: object) -> None:
        """Calls a method and wants no reply."""
        self._try_send(wire.call(self._next_serial(), address, signature, arguments, wants_reply=False))

    def reply(self, call: Call, signature: str, values: Sequence[object]) -> None:
        """Answers a call, unless it wants no reply."""
        if call.wants_reply:
            self._try_send(wire.answer(self._next_serial(), call, signature, values))

    def refuse(self, call: Call, name: str, text: str) -> None:
        """Answers a call with an error, unless it wants no reply."""
        if call.wants_reply:
            self._try_send(wire.error(self._next_serial(), call, name, text))

    def emit(self, path: str, interface: str, member: str, signature: str, *values: object) -> None:
        """Broadcasts a signal."""
        self._try_send(wire.signal(self._next_serial(), (path, interface, member), signature, values))

    def _next_serial(self) -> int:
        self._serial = self._serial % 0xFFFFFFFF + 1
        return self._serial

    def _try_send(self, data: bytes) -> None:
        with contextlib.suppress(Disconnected):
            self._send(data)

    def _send(self, data: bytes) -> None:
        if self.closed or self._writer.is_closing():
            raise Disconnected("the connection is closed")
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size() > MAX_UNSENT:
            self._writer.transport.abort()

    async def _authenticate(self) -> None:
        # Without an identity in it, the bus takes the socket's, which is right in a user namespace too.
        self._writer.write(b"\0AUTH EXTERNAL\r\nDATA\r\n")
        for expected in (b"DATA", b"OK "):
            answer = await self._reader.readuntil(b"\r\n")
            if not answer.startswith(expected):
                raise ValueError(f"the bus refused to authenticate: {answer[:80]!r}")
        self._writer.write(b"BEGIN\r\n")
        self._reading = asyncio.create_task(self._read_all(), name="bus connection")
        await self.call((*BUS, "Hello"))

    async def _read_all(self) -> None:
        try:
            while True:
                await self._read_message()
                await asyncio.sleep(0)  # a read of what is buffered doesn't yield to other tasks
        except (OSError, EOFError) as error:
            log.debug("The bus hung up: %r", error)
        except Exception:
            log.exception("The connection to the bus is given up")
        finally:
            for reply in self._waiting.values():
                if not reply.done():
                    reply.set_exception(Disconnected("the bus hung up"))
            self._writer.close()

    async def _read_message(self) -> None:
        header = Header.parse(await self._reader.readexactly(wire.FIXED_HEADER))
        fields = await self._read(header.fields)
        body = await self._read(header.body)
        message = None if fields is None else header.message(fields)
        if message is None:
            return
        if wire.is_call(message):
            self.receive(wire.parse_call(message, header, body, self._signatures))
        elif message.reply_serial in self._waiting:
            self._resolve(self._waiting[message.reply_serial], wire.parse_reply(message, header, body or b""))

    @staticmethod
    def _resolve(waiting: asyncio.Future[list[Any]], reply: list[Any] | ErrorReply) -> None:
        if waiting.done():
            return
        if isinstance(reply, ErrorReply):
            waiting.set_exception(reply)
        else:
            waiting.set_result(reply)

    async def _read(self, size: int) -> bytes | None:
        """The next bytes. None: they were more than MAX_BODY, and are skipped."""
        if size <= MAX_BODY:
            return await self._reader.readexactly(size)
        while size:
            size -= len(await self._reader.readexactly(min(size, MAX_BODY)))
        return None
