"""One temporary directory and everything that must be gone when the run ends, however it ends.

Closers run in reverse order of registration, then the directory is removed. That happens at normal exit, after Ctrl-C
and after SIGTERM; servers also die with this process through PR_SET_PDEATHSIG, so that even kill -9 leaves no daemon.
"""
from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import Callable, Iterator

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(death_signal: int) -> Callable[[], None]:
    """A preexec_fn. Runs after subprocess' setuid, which would otherwise clear the request."""

    def arrange() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, death_signal)

    return arrange


class Workspace:
    def __init__(self, keep: bool = False) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="turnout-e2e-", dir=os.environ.get("TURNOUT_E2E_TMP", "/tmp")))
        self.path.chmod(0o755)  # the servers run as another user when we are root
        self.keep = keep      # set it when all went well: then close() leaves everything as it is
        self.outlive = False  # set before anything is started: processes are not tied to the life of ours
        self._closers: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._owner = os.getpid()
        atexit.register(self.close)

    def tie(self, death_signal: int) -> Callable[[], None] | None:
        """The preexec_fn for a process that lives in this workspace."""
        return None if self.outlive else die_with_parent(death_signal)

    def directory(self, name: str) -> Path:
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)
        return path

    def on_close(self, closer: Callable[[], None]) -> None:
        with self._lock:
            self._closers.append(closer)

    def close(self) -> None:
        if os.getpid() != self._owner or self.keep:  # a forked child must not clean up for its parent
            return
        while True:
            with self._lock:
                if not self._closers:
                    break
                closer = self._closers.pop()
            try:
                closer()
            except Exception as error:  # one stubborn process must not keep the others alive
                print(f"cleanup: {error}", file=sys.stderr)
        shutil.rmtree(self.path, ignore_errors=True)


MEMORY_MIN = 8 << 30


def place_for_tests() -> str:
    """In memory where there is plenty: a copy of the pair is three thousand small files, which cost a disk's file system more
    than a second of a core. Not for what measures or shows durability."""
    memory = Path("/dev/shm")
    try:
        there = os.statvfs(memory)
        available = next(int(line.split()[1]) << 10 for line in Path("/proc/meminfo").read_text().splitlines()
                         if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return "/tmp"
    fits = min(there.f_bavail * there.f_frsize, available) >= MEMORY_MIN
    return str(memory) if fits and not there.f_flag & os.ST_NOEXEC and os.access(memory, os.W_OK) else "/tmp"


def exit_on_signals(leave_with: Callable[[int], object] = sys.exit) -> None:
    """SIGTERM and SIGHUP end the program the way Ctrl-C does, so that atexit runs."""

    def leave(number: int, _frame: object) -> None:
        leave_with(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


_PORTS = range(12000, 32000)  # below those that the system gives to clients
_PORTS_EACH = 2000
_ports_lock = threading.Lock()
_ports: Iterator[int] | None = None
_given_ports: set[int] = set()
_turf: socket.socket | None = None  # lives as long as this process


def _own_ports() -> Iterator[int]:
    """Of each run that goes on beside others its own, for servers are stopped and started again on their port; then, or
    where there are too many runs, whatever the system gives."""
    global _turf
    for first in range(_PORTS.start, _PORTS.stop, _PORTS_EACH):
        turf = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            turf.bind(f"\0turnout-e2e-ports-{first}")
        except OSError:
            turf.close()
            continue
        _turf = turf
        yield from range(first, first + _PORTS_EACH)
        break
    while True:
        yield 0


def free_port() -> int:
    """A loopback port nobody listens on now, never given twice by this process."""
    global _ports
    with _ports_lock:
        _ports = _ports or _own_ports()
        for wanted in _ports:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                try:
                    probe.bind(("127.0.0.1", wanted))
                except OSError:
                    continue
                port = int(probe.getsockname()[1])
            if port not in _given_ports:
                _given_ports.add(port)
                return port
    raise AssertionError("unreachable: the system has ports without end")


def keep_ports(*ports: int) -> None:
    """Chosen by an earlier run."""
    with _ports_lock:
        _given_ports.update(ports)
