"""A way to a MySQL server on which KILL QUERY is kept until a test lets it go."""
from __future__ import annotations

import socket
import threading


class KeptKills:
    """Listens on a port of its own; what connects talks to 127.0.0.1:`target`, without TLS, or nothing is seen."""

    def __init__(self, target: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._target = target
        self.has_one = threading.Event()
        self.may_pass = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> "KeptKills":
        return self

    def __exit__(self, *_: object) -> None:
        self.may_pass.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if b"KILL QUERY" in data:
                    self.has_one.set()
                    self.may_pass.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one of them is closed
