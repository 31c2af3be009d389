"""A name server of a few lines on loopback, and a forwarder that puts another server behind an address."""
from __future__ import annotations

import ipaddress
import socket
import struct
import threading

_A, _NO_ERROR, _NO_SUCH_NAME = 1, 0, 3


class NameServer:
    """Answers A questions from `records`; after die() it says nothing at all, as one whose network is gone."""

    def __init__(self, ttl_s: int = 1) -> None:
        self.ttl_s = ttl_s
        self.records: dict[str, list[str]] = {}
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._is_dead = self._is_closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def die(self) -> None:
        self._is_dead = True

    def rise(self) -> None:
        self._is_dead = False

    def __enter__(self) -> "NameServer":
        return self

    def __exit__(self, *_: object) -> None:
        # A socket that is closed under a recvfrom lives on until that returns, so it is told.
        self._is_closing = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, client = self._socket.recvfrom(4096)
            if self._is_closing:
                return
            self.asked += 1
            if not self._is_dead:
                self._socket.sendto(self._answer(question), client)

    def _answer(self, question: bytes) -> bytes:
        end, labels = 12, []
        while question[end]:
            labels.append(question[end + 1:end + 1 + question[end]].decode())
            end += 1 + question[end]
        kind = struct.unpack("!H", question[end + 1:end + 3])[0]
        addresses = self.records.get(".".join(labels).lower())
        rows = [ipaddress.IPv4Address(one).packed for one in addresses or []] if kind == _A else []
        code = _NO_SUCH_NAME if addresses is None else _NO_ERROR
        header = question[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(rows), 0, 0)
        answers = b"".join(struct.pack("!HHHiH", 0xC00C, _A, 1, self.ttl_s, 4) + row for row in rows)
        return header + question[12:end + 5] + answers


def hosts_of(local_ports: set[int], port: int) -> set[str]:
    """Where connections of this machine to `port` lead that come from one of those ports."""
    found = set()
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table.readlines()[1:]:
            local, remote, state = line.split()[1:4]
            host, remote_port = remote.split(":")
            if state == "01" and int(remote_port, 16) == port and int(local.split(":")[1], 16) in local_ports:
                found.add(socket.inet_ntoa(bytes.fromhex(host)[::-1]))
    return found


_IP_LOCAL_PORT_RANGE = 51  # linux/in.h, since 6.3


def connect_from(local_port: int | None, port: int) -> socket.socket:
    """To 127.0.0.1:`port`; from a port that other connections to other places may have as well."""
    made = socket.socket()
    if local_port is not None:
        made.setsockopt(socket.IPPROTO_IP, _IP_LOCAL_PORT_RANGE, struct.pack("I", local_port | local_port << 16))
    made.connect(("127.0.0.1", port))
    return made


class Forwarder:
    """What connects to (host, port) talks to 127.0.0.1:`target`, which sees it come from `local_port`."""

    def __init__(self, host: str, port: int, target: int, local_port: int | None = None) -> None:
        self._listener = socket.create_server((host, port))
        self._target, self._local_port = target, local_port
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Forwarder":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # closed alone it would listen until the next one came
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            server = connect_from(self._local_port, self._target)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
