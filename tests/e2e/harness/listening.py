"""Clients that LISTEN, and how long to wait for what they hear."""
from __future__ import annotations

import select
import threading
import time
from typing import Any

import psycopg

from .waiting import eventually

Heard = tuple[str, str, int]  # channel, payload, pid


class Ear:
    """One session; whatever it hears is kept in the order of its arrival."""

    def __init__(self, conninfo: str, *channels: str, autocommit: bool = True) -> None:
        self.connection = psycopg.connect(conninfo, autocommit=autocommit)
        self.connection.add_notify_handler(lambda note: self.heard.append((note.channel, note.payload, note.pid)))
        self.heard: list[Heard] = []
        for channel in channels:
            self.run(f"LISTEN {channel}")

    def run(self, sql: str, *values: Any) -> Any:
        cursor = self.connection.execute(sql, values or None)
        return cursor.fetchall() if cursor.description else None

    @property
    def pid(self) -> int:
        return self.connection.info.backend_pid

    @property
    def payloads(self) -> list[str]:
        return [payload for _, payload, _ in self.heard]

    def look(self, wait_s: float = 0.0) -> None:
        """Takes what has arrived, without asking the server for anything."""
        if self._take():  # libpq may have read it with an answer: then there is nothing more to be seen at the socket
            return
        readable, _, _ = select.select([self.connection.fileno()], [], [], wait_s)
        if readable:
            self.connection.pgconn.consume_input()
            self._take()

    def _take(self) -> bool:
        before, pgconn = len(self.heard), self.connection.pgconn
        while (note := pgconn.notifies()) is not None:
            self.heard.append((note.relname.decode(), note.extra.decode(), note.be_pid))
        return len(self.heard) > before

    def wait(self, *payloads: str, timeout_s: float = 20) -> None:
        """Until exactly these were heard since the last wait, in this order."""
        wanted = list(payloads)
        deadline = time.monotonic() + timeout_s
        while len(self.heard) < len(wanted) and time.monotonic() < deadline:
            self.look(0.1)
        assert self.payloads == wanted, f"heard {self.payloads}, wanted {wanted}"
        self.heard.clear()

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> "Ear":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Senders:
    """Threads that notify, each with its own count; what was committed is known afterwards."""

    def __init__(self, conninfo: str, channel: str, count: int, pause_s: float = 0.002) -> None:
        self.sent = [0] * count
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(conninfo, channel, number, pause_s), daemon=True)
                         for number in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, conninfo: str, channel: str, number: int, pause_s: float) -> None:
        try:
            with psycopg.connect(conninfo, autocommit=True) as connection:
                while not self._stop.is_set():
                    payload = f"{number}:{self.sent[number] + 1}"
                    if self.sent[number] % 3 == 0:
                        connection.execute("SELECT pg_notify(%s, %s)", (channel, payload))
                    else:
                        with connection.transaction():
                            connection.execute("INSERT INTO notes (body) VALUES (%s)", (payload,))
                            connection.execute(f"NOTIFY {channel}, '{payload}'")
                    self.sent[number] += 1
                    self._stop.wait(pause_s)
        except psycopg.Error as error:
            self.errors.append(f"sender {number}: {error}")

    def stop(self) -> list[int]:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        return self.sent


class Listeners:
    """Threads that only listen; each keeps, by sender, what it heard."""

    def __init__(self, conninfo: str, channel: str, count: int) -> None:
        self.ears = [Ear(conninfo, channel) for _ in range(count)]
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(ear,), daemon=True) for ear in self.ears]
        for thread in self._threads:
            thread.start()

    def _run(self, ear: Ear) -> None:
        try:
            while not self._stop.is_set():
                ear.look(0.05)
        except psycopg.Error as error:
            self.errors.append(str(error))

    def by_sender(self, ear: Ear) -> dict[int, list[int]]:
        numbers: dict[int, list[int]] = {}
        for payload in ear.payloads:
            sender, _, number = payload.partition(":")
            numbers.setdefault(int(sender), []).append(int(number))
        return numbers

    def assert_heard_all(self, sent: list[int]) -> None:
        """Each exactly once and in the order of its sender."""
        wanted = {number: list(range(1, count + 1)) for number, count in enumerate(sent) if count}
        try:
            eventually(lambda: bool(self.errors) or all(len(ear.heard) >= sum(sent) for ear in self.ears), "all is heard")
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(10)
        assert not self.errors, self.errors
        for ear in self.ears:
            heard = self.by_sender(ear)
            for number in wanted:
                assert heard.get(number) == wanted[number], (
                    f"sender {number}: {len(heard.get(number, []))} heard of {sent[number]}, "
                    f"missing {sorted(set(wanted[number]) - set(heard.get(number, [])))[:5]}")
            ear.close()
