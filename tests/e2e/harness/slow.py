"""A way to the server that is slow where a test wants it: new connections, cancel requests, or a certain statement."""
from __future__ import annotations

import socket
import struct
import threading
import time

from .raw import CANCEL_REQUEST


def _shut(end: socket.socket, how: int) -> None:
    try:
        end.shutdown(how)
    except OSError:
        pass  # it is closed


class SlowRoad:
    """Listens on a port of its own; what connects talks to 127.0.0.1:`target`."""

    def __init__(self, target: int, connect_s: float = 0, cancel_s: float = 0, late: bytes = b"",
                 late_s: float = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._target, self._connect_s, self._cancel_s = target, connect_s, cancel_s
        self._late, self._late_s = late, late_s  # what has these bytes comes so much later
        self._lock = threading.Lock()
        self._opening = 0
        self._clients: list[socket.socket] = []
        self.most_opening = 0  # connections that were on their way at the same time
        self.cancels = 0
        self.may_cancel = threading.Event()  # cleared: cancel requests are kept until it is set
        self.may_cancel.set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> "SlowRoad":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def tear(self) -> None:
        """Whoever talks hears a reset; who comes next finds the way open."""
        with self._lock:
            torn, self._clients = self._clients, []
        for client in torn:
            if client.fileno() >= 0:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            _shut(client, socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        first = client.recv(65536)
        if len(first) >= 8 and struct.unpack("!i", first[4:8])[0] == CANCEL_REQUEST:
            self.cancels += 1
            time.sleep(self._cancel_s)
            self.may_cancel.wait()
        else:
            with self._lock:
                self._opening += 1
                self.most_opening = max(self.most_opening, self._opening)
            time.sleep(self._connect_s)
            with self._lock:
                self._opening -= 1
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
            server.sendall(first)
        except OSError:
            client.close()
            return
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server)
        back.join()
        client.close()
        server.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if self._late and self._late in data:
                    time.sleep(self._late_s)
                sink.sendall(data)
        except OSError:
            pass
        _shut(sink, socket.SHUT_WR)
