"""A statement prepared by the protocol, which PyMySQL does not have: whole numbers in, one column of text out."""
from __future__ import annotations

import struct
from typing import Any

from pymysql import err


class Prepared:
    def __init__(self, connection: Any, sql: str) -> None:
        self._connection = connection
        connection._execute_command(0x16, sql)
        packet = connection._read_packet()
        self.number, columns, parameters = struct.unpack_from("<IHH", packet._data, 1)
        for count in (parameters, columns):
            for _ in range(count + (1 if count else 0)):  # definitions, and what ends them
                connection._read_packet()

    def run(self, *parameters: int) -> Any:
        types = b"\x01" + b"\x08\x00" * len(parameters) if parameters else b""
        return self.run_with(types, *(struct.pack("<q", value) for value in parameters))

    def run_with(self, types: bytes, *values: bytes) -> Any:
        """`types` b"\\0": those of the execution before, which the server remembers."""
        bits = b"\x00" * ((len(values) + 7) // 8)
        self._connection._execute_command(0x17, struct.pack("<IBI", self.number, 0, 1) + bits + types + b"".join(values))
        packet = self._connection._read_packet()
        if packet.is_ok_packet():
            return None
        columns = packet.read_length_encoded_integer()
        assert columns == 1
        for _ in range(columns + 1):
            self._connection._read_packet()
        value: Any = None
        while True:
            packet = self._connection._read_packet()
            if packet.is_error_packet():
                err.raise_mysql_exception(packet._data)
            if packet.is_eof_packet():
                return value
            is_null = packet._data[1] & 4
            packet.advance(2)
            value = None if is_null else packet.read_length_coded_string().decode()
