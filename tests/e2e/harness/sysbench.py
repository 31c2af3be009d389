"""sysbench as it is, against a MySQL endpoint. Of itself it begins anew after a deadlock; any other error ends it."""
from __future__ import annotations

import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .mariadb import DATABASE, PASSWORD
from .workspace import die_with_parent

_REPORT = re.compile(r"\[ \d+s \] thds: \d+ tps: ([\d.]+) .*err/s: ([\d.]+) reconn/s: ([\d.]+)")
TABLES, ROWS = 4, 10_000


@dataclass
class SysbenchResult:
    transactions: int
    errors: list[str]
    deadlocks: int  # a server's own, which sysbench answers by doing it again


def command(port: int, script: str, verb: str, *options: str) -> list[str]:
    # Uniform: the default favours few rows, on which transactions deadlock.
    return ["sysbench", script, "--mysql-host=127.0.0.1", f"--mysql-port={port}", "--mysql-user=app", f"--mysql-password={PASSWORD}",
            f"--mysql-db={DATABASE}", f"--tables={TABLES}", f"--table-size={ROWS}", "--rand-type=uniform", *options, verb]


def fill(port: int) -> None:
    """Makes the tables, at the server itself."""
    done = subprocess.run(command(port, "oltp_read_write", "prepare"), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"sysbench made no tables, it ended with {done.returncode}:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")


class Sysbench:
    def __init__(self, port: int, home: Path, script: str = "oltp_read_write", threads: int = 8, rate: int = 0,
                 options: tuple[str, ...] = ()) -> None:
        """`script`: one of sysbench's own, or the path of another one."""
        self._output = home / f"sysbench-{Path(script).stem}-{time.monotonic_ns()}.out"
        words = command(port, script, "run", f"--threads={threads}", f"--rate={rate}", "--time=3600", "--report-interval=1", *options)
        with open(self._output, "wb") as output:
            self._process = subprocess.Popen(words, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                                             preexec_fn=die_with_parent(signal.SIGKILL))

    def transactions(self) -> int:
        """Of the full seconds so far."""
        return round(sum(float(tps) for tps, _, _ in _REPORT.findall(self._output.read_text(errors="replace"))))

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> SysbenchResult:
        """Ends the run. A SIGTERM that we sent is not an error of it."""
        ended_itself = self.has_ended()
        if not ended_itself:
            self._process.terminate()
        code = self._process.wait(20)
        text = self._output.read_text(errors="replace")
        errors = [line for line in text.splitlines() if line.startswith(("FATAL", "ALERT", "Error"))]
        reports = _REPORT.findall(text)
        errors += [f"{reconnected} new connections a second" for _, _, reconnected in reports if float(reconnected)]
        if ended_itself or code != -signal.SIGTERM:
            errors.append(f"sysbench ended by itself with {code}")
        return SysbenchResult(self.transactions(), errors, round(sum(float(failed) for _, failed, _ in reports)))
