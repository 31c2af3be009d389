"""The Postgres protocol by hand: for what no driver would send, and for looking at every message."""
from __future__ import annotations

import socket
import struct
from typing import Iterable

PROTOCOL_3_0, PROTOCOL_3_2 = 3 << 16, 3 << 16 | 2
SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102

Message = tuple[str, bytes]


def framed(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack("!i", len(body) + 4) + body


def query(sql: str) -> bytes:
    return framed("Q", sql.encode() + b"\0")


def startup(parameters: dict[str, str], version: int = PROTOCOL_3_0) -> bytes:
    body = struct.pack("!i", version) + b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items()) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def request(code: int) -> bytes:
    return struct.pack("!ii", 8, code)


def error_of(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse by their letters."""
    return {field[:1].decode(): field[1:].decode(errors="replace") for field in body.split(b"\0") if field}


class Raw:
    def __init__(self, port: int, timeout_s: float = 30) -> None:
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self._input = b""
        self.parameters: dict[str, str] = {}
        self.pid, self.key = 0, b""
        self.negotiated: tuple[int, list[str]] | None = None

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def more(self) -> bool:
        """False: the other side has closed."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self._input += data
        return bool(data)

    def message(self) -> Message | None:
        while True:
            if len(self._input) >= 5:
                total = struct.unpack("!i", self._input[1:5])[0] + 1
                if len(self._input) >= total:
                    data, self._input = self._input[:total], self._input[total:]
                    return data[:1].decode(), data[5:]
            if not self.more():
                return None

    def until(self, kinds: Iterable[str]) -> list[Message]:
        """Messages up to the first of these kinds, or to the end of the connection."""
        seen: list[Message] = []
        while (message := self.message()) is not None:
            seen.append(message)
            if message[0] in kinds:
                break
        return seen

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        while self.more():
            pass
        data, self._input = self._input, b""
        return data

    def login(self, user: str = "app", database: str = "app", version: int = PROTOCOL_3_0, **parameters: str) -> dict[str, str]:
        """Without a password. The fields of the error, or nothing: logged in."""
        return self.login_with({"user": user, "database": database} | parameters, version)

    def login_with(self, parameters: dict[str, str], version: int = PROTOCOL_3_0) -> dict[str, str]:
        self.send(startup(parameters, version))
        for kind, body in self.until("EZ"):
            if kind == "E":
                return error_of(body)
            if kind == "K":
                self.pid, self.key = struct.unpack("!i", body[:4])[0], body[4:]
            elif kind == "S":
                name, value, _ = body.split(b"\0")
                self.parameters[name.decode()] = value.decode()
            elif kind == "v":
                self.negotiated = (struct.unpack("!i", body[:4])[0], [name.decode() for name in body[8:].split(b"\0")[:-1]])
            elif kind == "Z":
                return {}
        return {"M": "the connection was closed"}

    def ask(self, sql: str) -> list[Message]:
        self.send(query(sql))
        return self.until("Z")

    def value(self, sql: str) -> str:
        """First column of the first row."""
        for kind, body in self.ask(sql):
            if kind == "E":
                raise AssertionError(error_of(body))
            if kind == "D":
                length = struct.unpack("!i", body[2:6])[0]
                return body[6:6 + length].decode()
        raise AssertionError(f"no row for {sql}")

    def cancel(self, pid: int, key: bytes) -> None:
        """As a client does: through a connection of its own, until it is closed."""
        with Raw(self.port) as other:
            other.send(struct.pack("!iii", 12 + len(key), CANCEL_REQUEST, pid) + key)
            other.rest()
