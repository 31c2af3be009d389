"""MySQL's protocol by hand, packet by packet, and a way to a server that seems to be another one.

PyMySQL logs in; then `Wire` writes and reads every packet itself, with its number. `OtherFace` stands before a real
server and takes capabilities out of its greeting, as an older server would have it, and keeps how it is answered.
"""
from __future__ import annotations

import hashlib
import select
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Any, Iterator

from .workspace import Workspace

PACKET_MAX = 0xFFFFFF
LONG_PASSWORD, COMPRESS, LOCAL_FILES = 1 << 0, 1 << 5, 1 << 7
MULTI_STATEMENTS, CONNECT_ATTRIBUTES, DEPRECATE_EOF = 1 << 16, 1 << 20, 1 << 24
MORE_RESULTS, CURSOR_EXISTS, NO_BACKSLASH_ESCAPES = 1 << 3, 1 << 6, 1 << 9
QUERY, PING, PREPARE, EXECUTE, SET_OPTION, FETCH = b"\x03", b"\x0e", b"\x16", b"\x17", b"\x1b", b"\x1c"


def packet(payload: bytes, number: int = 0) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


def message(payload: bytes) -> bytes:
    """In as many packets as it takes: one that is full is followed by another."""
    parts = [payload[at:at + PACKET_MAX] for at in range(0, len(payload) + 1, PACKET_MAX)]
    return b"".join(packet(part, number % 256) for number, part in enumerate(parts))


def execute(statement: int, flags: int = 0, *values: int) -> bytes:
    """Of whole numbers. Flag 1: with a cursor."""
    bits = bytes((len(values) + 7) // 8) + b"\x01" + b"\x08\x00" * len(values) if values else b""
    return EXECUTE + struct.pack("<IBI", statement, flags, 1) + bits + b"".join(struct.pack("<q", value) for value in values)


def length_at(payload: bytes, at: int) -> tuple[int, int]:
    """A length-encoded integer, and what is behind it."""
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(payload[at], 0)
    return (int.from_bytes(payload[at + 1:at + 1 + size], "little"), at + 1 + size) if size else (payload[at], at + 1)


@dataclass
class Answer:
    """All messages of it, and the numbers of all their packets."""

    messages: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def ends(self) -> list[str]:
        """How its results ended: with rows, without any, or with the number of an error."""
        known = {0x00: "ok", 0xFE: "rows", 0xFF: "error"}
        return [known[one[0]] + (f" {struct.unpack_from('<H', one, 1)[0]}" if one[0] == 0xFF else "") for one in self.messages
                if one[0] == 0xFF or (one[0] in known and len(one) < 64)]

    def in_short(self) -> list[tuple[int, bytes, str]]:
        """To be compared: long messages by their sums."""
        return [(len(one), one[:24], hashlib.sha1(one).hexdigest()) for one in self.messages]

    def status(self) -> int:
        """What the last message tells of its session."""
        last = self.messages[-1]
        if last[0] == 0xFE and len(last) == 5:
            return int(struct.unpack_from("<H", last, 3)[0])
        assert last[0] in (0x00, 0xFE), last[:40]
        at = length_at(last, length_at(last, 1)[1])[1]
        return int(struct.unpack_from("<H", last, at)[0])


class Wire:
    def __init__(self, client: Any) -> None:
        """`client`: of PyMySQL, logged in. The form of answers is what it asked for."""
        self.client, self.socket = client, client._sock
        self.deprecates_eof = bool(client.client_flag & DEPRECATE_EOF)
        self.socket.settimeout(20)
        self._asked, self._answer = b"", Answer()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.client._force_close()

    def send(self, payload: bytes) -> None:
        self.socket.sendall(message(payload))
        self._asked = payload[:1]

    def ask(self, payload: bytes) -> Answer:
        self.send(payload)
        return self.answer()

    def has_answer(self) -> bool:
        """Some of it, or the end of the session."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def answer(self) -> Answer:
        """To what was sent last."""
        self._answer = Answer()
        if self._asked == PREPARE:
            self._take_prepared()
        elif self._asked == FETCH:
            self._take_rows()
        else:
            while self._take_result():
                pass
        return self._answer

    def query(self, sql: str) -> Answer:
        return self.ask(QUERY + sql.encode())

    def prepare(self, sql: str) -> int:
        """The number of the statement."""
        first = self.ask(PREPARE + sql.encode()).messages[0]
        assert first[0] == 0, first
        return int(struct.unpack_from("<I", first, 1)[0])

    def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            part = self.socket.recv(min(count - len(data), 1 << 20))
            assert part, f"the session has ended, after {self._answer.in_short()}"
            data += part
        return bytes(data)

    def _take(self) -> bytes:
        """The next message, of however many packets."""
        whole = b""
        while True:
            head = self._read(4)
            length = int.from_bytes(head[:3], "little")
            self._answer.numbers.append(head[3])
            whole += self._read(length)
            if length < PACKET_MAX:
                self._answer.messages.append(whole)
                return whole

    def _take_result(self) -> bool:
        """True: another one follows."""
        first = self._take()
        if first[0] in (0x00, 0xFE):
            return bool(self._answer.status() & MORE_RESULTS)
        if first[0] in (0xFF, 0xFB):  # an error, or a wish for a file
            return False
        for _ in range(length_at(first, 0)[0]):
            self._take()
        if not self.deprecates_eof:
            self._take()
            if self._answer.status() & CURSOR_EXISTS:
                return False  # its rows are fetched
        return self._take_rows()

    def _take_rows(self) -> bool:
        while True:
            row = self._take()
            if row[0] == 0xFF:
                return False
            if row[0] == 0xFE and len(row) < PACKET_MAX:
                return bool(self._answer.status() & MORE_RESULTS)

    def _take_prepared(self) -> None:
        first = self._take()
        if first[0] == 0xFF:
            return
        columns, parameters = struct.unpack_from("<HH", first, 5)
        for count in (parameters, columns):
            for _ in range(count + (1 if count and not self.deprecates_eof else 0)):
                self._take()


@dataclass
class Greeting:
    """Of a server, as far as it matters here."""

    capabilities: int
    nonce: bytes


def parse_greeting(data: bytes) -> Greeting:
    """Header and all."""
    at = data.index(b"\0", 5) + 5  # behind the version and the number of the connection
    low, = struct.unpack_from("<H", data, at + 9)
    high, = struct.unpack_from("<H", data, at + 14)
    extended = 0 if low & LONG_PASSWORD else struct.unpack_from("<I", data, at + 23)[0]
    return Greeting(low | high << 16 | extended << 32, data[at:at + 8] + data[at + 27:at + 39])


def greeting_of(port: int) -> Greeting:
    """What whoever connects is told first."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        return parse_greeting(connection.recv(4096))


class OtherFace:
    """Listens on a port of its own; what connects talks to the server at `target`, whose greeting lacks `lacks`."""

    def __init__(self, workspace: Workspace, target: int, lacks: int = 0, claims: int = 0) -> None:
        """`claims`: what the server believes its clients can, whatever they say."""
        self.workspace, self._target, self._lacks, self._claims = workspace, target, lacks, claims
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.answers: list[tuple[bytes, int, int]] = []  # of each login: who, what was offered, and what was taken
        workspace.on_close(self._listener.close)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, socket.create_connection(("127.0.0.1", self._target)) as server:
                self._meet(client, server)
                back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                back.start()
                self._pump(client, server)
                back.join()
        except (OSError, StopIteration):
            pass  # one of them went away

    def _meet(self, client: socket.socket, server: socket.socket) -> None:
        greeting = bytearray(next(self._packets(server)))
        at = greeting.index(b"\0", 5) + 5
        for place, mask in ((at + 9, self._lacks), (at + 14, self._lacks >> 16)):
            struct.pack_into("<H", greeting, place, struct.unpack_from("<H", greeting, place)[0] & ~mask & 0xFFFF)
        client.sendall(greeting)
        response = bytearray(next(self._packets(client)))
        low, = struct.unpack_from("<I", response, 4)
        extended = 0 if low & LONG_PASSWORD else struct.unpack_from("<I", response, 32)[0]
        user = bytes(response[36:]).split(b"\0")[0]  # empty: TLS comes first
        self.answers.append((user, parse_greeting(bytes(greeting)).capabilities, low | extended << 32))
        struct.pack_into("<I", response, 4, low | self._claims)
        server.sendall(response)

    @staticmethod
    def _packets(source: socket.socket) -> Iterator[bytes]:
        data = b""
        while True:
            while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:3], "little"):
                part = source.recv(65536)
                if not part:
                    return
                data += part
            yield data  # of a login: nothing is behind it until it is answered
            data = b""

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 20):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
