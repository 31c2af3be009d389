"""Thousands of sessions in one thread: the protocol by hand, on asyncio, with nothing between the test and the bytes."""
from __future__ import annotations

import asyncio
import resource
import struct

from .raw import CANCEL_REQUEST, error_of, framed, query, startup


class Refused(Exception):
    """An ErrorResponse; the connection goes on."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(f"{fields.get('C')}: {fields.get('M')}")
        self.sqlstate = fields.get("C", "")


class Lost(Exception):
    """The connection is gone."""


def allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


class Member(asyncio.Protocol):
    """One session. One request at a time; the answer is its rows, as text."""

    def __init__(self) -> None:
        self._input = bytearray()
        self._rows: list[tuple[str | None, ...]] = []
        self._error: dict[str, str] | None = None
        self._fatal: dict[str, str] | None = None
        self._waiting: asyncio.Future[list[tuple[str | None, ...]]] | None = None
        self._transport: asyncio.Transport | None = None
        self.pid, self.key, self.status = 0, b"", "?"

    @classmethod
    async def open(cls, port: int, user: str = "app", database: str = "app", **parameters: str) -> "Member":
        loop = asyncio.get_running_loop()
        _, member = await loop.create_connection(cls, "127.0.0.1", port)
        await member._ask(startup({"user": user, "database": database} | parameters))
        return member

    async def query(self, sql: str) -> list[tuple[str | None, ...]]:
        return await self._ask(query(sql))

    async def prepare(self, name: str, sql: str) -> None:
        await self._ask(framed("P", name.encode() + b"\0" + sql.encode() + b"\0" + b"\0\0") + framed("S"))

    async def execute(self, name: str, *values: str) -> list[tuple[str | None, ...]]:
        body = b"\0" + name.encode() + b"\0" + struct.pack("!hh", 0, len(values))
        body += b"".join(struct.pack("!i", len(value)) + value.encode() for value in values) + struct.pack("!h", 0)
        return await self._ask(framed("B", body) + framed("E", b"\0" + struct.pack("!i", 0)) + framed("S"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.write(framed("X"))
            self._transport.close()

    # ---- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Refused(self._fatal) if self._fatal else Lost(str(exc or "closed")))

    def data_received(self, data: bytes) -> None:
        self._input += data
        at = 0
        while len(self._input) - at >= 5:
            total = 1 + struct.unpack_from("!i", self._input, at + 1)[0]
            if len(self._input) - at < total:
                break
            self._message(chr(self._input[at]), bytes(self._input[at + 5:at + total]))
            at += total
        del self._input[:at]

    # ---- inside

    async def _ask(self, data: bytes) -> list[tuple[str | None, ...]]:
        assert self._transport is not None and self._waiting is None
        if self._transport.is_closing():
            raise Lost("closed")
        self._rows, self._error = [], None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        try:
            return await self._waiting
        finally:
            self._waiting = None

    def _message(self, kind: str, body: bytes) -> None:
        if kind == "D":
            self._rows.append(_columns(body))
        elif kind == "E":
            self._error = error_of(body)
            if self._error.get("V", self._error.get("S")) == "FATAL":
                self._fatal = self._error
        elif kind == "K":
            self.pid, self.key = struct.unpack("!i", body[:4])[0], body[4:]
        elif kind == "Z":
            self.status = body.decode()
            if self._waiting is not None and not self._waiting.done():
                if self._error:
                    self._waiting.set_exception(Refused(self._error))
                else:
                    self._waiting.set_result(self._rows)


def _columns(body: bytes) -> tuple[str | None, ...]:
    count, at, values = struct.unpack_from("!h", body)[0], 2, []
    for _ in range(count):
        size = struct.unpack_from("!i", body, at)[0]
        at += 4
        values.append(None if size < 0 else body[at:at + size].decode())
        at += max(size, 0)
    return tuple(values)


async def cancel(port: int, pid: int, key: bytes) -> None:
    """Returns when the other side has closed: then the request has had all the effect it will have."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(struct.pack("!iii", 12 + len(key), CANCEL_REQUEST, pid) + key)
        await reader.read()
    except ConnectionResetError:
        pass
    finally:
        writer.close()
