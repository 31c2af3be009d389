"""A running Turnout: its configuration file, its process, its command line and its event stream."""
from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import psycopg

from .pair import DATABASE, Pair
from .workspace import Workspace, free_port

ROOT = Path(__file__).resolve().parents[3]

# Exit codes of the command line (README, "Exit codes").
DONE, USAGE, INVALID, REFUSED, REVERTED, ABORTED, UNREACHABLE, DENIED, CONFLICT, UNKNOWN = 0, 2, 3, 4, 5, 6, 7, 8, 9, 10


def binary() -> Path:
    path = Path(os.environ.get("TURNOUT_BINARY") or ROOT / "build/release/turnout")
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: build it with ./dev build, or set TURNOUT_BINARY")
    return path


def yaml(value: Any, indent: int = 0) -> str:
    """Just enough YAML for our configurations; scalars are JSON, which YAML contains."""
    pad = "  " * indent
    lines = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            lines.append(f"{pad}{key}:\n{yaml(item, indent + 1)}")
        else:
            lines.append(f"{pad}{key}: {json.dumps(item)}\n")
    return "".join(lines)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Deep merge; a value of None removes the key."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


@dataclass
class Outcome:
    """What one call of the command line gave."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self) -> Any:
        """The last JSON document of the output: progress lines may stand before the report."""
        decoder, text, last, found = json.JSONDecoder(), self.stdout, None, False
        position = 0
        while position < len(text):
            if text[position] in "{[":
                try:
                    last, position = decoder.raw_decode(text, position)
                    found = True
                    continue
                except json.JSONDecodeError:
                    pass
            position += 1
        if not found:
            raise AssertionError(f"no JSON in the answer (exit {self.code}):\n{self.stdout}\n{self.stderr}")
        return last

    def __str__(self) -> str:
        return f"exit {self.code} after {self.seconds:.2f} s\n{self.stdout}{self.stderr}"


class Turnout:
    deployment = "app"

    def __init__(self, workspace: Workspace, pair: Pair, name: str = "turnout", changes: dict[str, Any] | None = None) -> None:
        """`changes` is merged into the deployment's section."""
        self.workspace, self.pair = workspace, pair
        self.home = workspace.directory(name)
        self.port, self.control_port = free_port(), free_port()
        self.config_file = self.home / "turnout.yaml"
        self.log_file = self.home / "turnout.log"
        self.state_dir = workspace.directory(f"{name}/state")
        self.environment: dict[str, str] = {}  # of the process, besides ours
        self._process: subprocess.Popen[bytes] | None = None
        self.config = {
            "deployments": {self.deployment: merged({
                "protocol": "postgres",
                "listen": [f"127.0.0.1:{self.port}"],
                "blue": f"127.0.0.1:{pair.blue.port}",
                "green": f"127.0.0.1:{pair.green.port}",
                "admin": {"user": "turnout"},
                "auth": "trust",
                "databases": [DATABASE],
                "pool": {"mode": "transaction", "size": 20},
                # A machine that also runs both servers and the load stalls for longer than replication needs.
                "cutover": {"lag_time": "1s"},
            }, changes or {})},
            "control": {"listen": f"127.0.0.1:{self.control_port}", "state_dir": str(self.state_dir)},
        }
        self.write_config()
        workspace.on_close(self.stop)

    def write_config(self) -> None:
        self.config_file.write_text(yaml(self.config))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.control_port}"

    # ---- life

    def start(self, wait_ready: bool = True, timeout_s: float = 20) -> None:
        """Must be called from a thread that lives as long as the process (PR_SET_PDEATHSIG looks at the thread)."""
        assert self._process is None, "turnout is already running"
        with open(self.log_file, "ab") as log:
            self._process = subprocess.Popen([str(binary()), "run", "-c", str(self.config_file), "--grace", "3s"], stdout=log, stderr=log,
                                             stdin=subprocess.DEVNULL, start_new_session=True, env=os.environ | self.environment,
                                             preexec_fn=self.workspace.tie(signal.SIGKILL))
        if wait_ready:
            self.wait_ready(timeout_s)

    def wait_ready(self, timeout_s: float = 20) -> None:
        deadline = time.monotonic() + timeout_s
        last: object = None
        while True:
            if self._process is not None and self._process.poll() is not None:
                code, self._process = self._process.returncode, None
                raise RuntimeError(f"turnout ended with {code} at start:\n{self.log_tail()}")
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError) as error:
                last = error
            if time.monotonic() > deadline:
                raise TimeoutError(f"turnout is not ready after {timeout_s} s ({last}):\n{self.log_tail()}")
            time.sleep(0.02)

    def stop(self, timeout_s: float = 15) -> int | None:
        """SIGTERM, as a service manager would; returns the exit code. One that had failed by itself says so with the end of its log."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.poll():
            raise AssertionError(f"turnout had ended by itself with {process.returncode}:\n{self.log_tail(120)}")
        process.terminate()
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    def kill9(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stand_still(self, timeout_s: float = 10) -> None:
        """SIGSTOP, and every thread has stopped: on a busy machine they run on for a while after the signal was sent."""
        self.signal(signal.SIGSTOP)
        deadline = time.monotonic() + timeout_s
        while any(stat.read_text().rpartition(")")[2].split()[0] != "T" for stat in Path(f"/proc/{self.pid}/task").glob("*/stat")):
            assert time.monotonic() < deadline, "Turnout does not stop"
            time.sleep(0.001)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log_tail(self, lines: int = 40) -> str:
        try:
            return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"

    # ---- clients

    def conninfo(self, user: str = "app", database: str = DATABASE, **more: Any) -> str:
        return psycopg.conninfo.make_conninfo(host="127.0.0.1", port=self.port, user=user, dbname=database,
                                              **({"sslmode": "disable"} | more))

    def connect(self, user: str = "app", database: str = DATABASE, autocommit: bool = True, **more: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.conninfo(user, database, **more), autocommit=autocommit)

    # ---- command line and REST

    def cli(self, *words: str, timeout_s: float = 60, **environment: str) -> Outcome:
        process = self.cli_start(*words, **environment)
        start = time.monotonic()
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            raise AssertionError(f"turnout {' '.join(words)} did not end in {timeout_s} s:\n{stdout}{stderr}\n{self.log_tail()}") from None
        return Outcome(process.returncode, stdout, stderr, time.monotonic() - start)

    def cli_start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen([str(binary()), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                stdin=subprocess.DEVNULL, env=os.environ | {"TURNOUT_CONTROL": self.url} | environment)

    def ask(self, *words: str, expect: int = DONE, timeout_s: float = 60) -> Any:
        """A verb with JSON output that must end with `expect`."""
        outcome = self.cli(*words, "-o", "json", "--yes", timeout_s=timeout_s)
        assert outcome.code == expect, f"turnout {' '.join(words)}: expected exit {expect}, got {outcome}\n{self.log_tail()}"
        return outcome.json

    def status(self) -> dict[str, Any]:
        return dict(self.ask("status")["deployments"][self.deployment])

    def rest(self, path: str, body: Any = None, timeout_s: float = 10) -> tuple[int, Any]:
        """GET without a body, POST with one; the JSON answer, or the text where it is none."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except json.JSONDecodeError:
            return status, text

    def metrics(self) -> dict[str, float]:
        """`name{labels}` → value."""
        _, text = self.rest("/metrics")
        samples = {}
        for line in str(text).splitlines():
            if line and not line.startswith("#"):
                key, _, value = line.rpartition(" ")
                samples[key] = float(value)
        return samples

    def phase(self) -> str:
        _, answer = self.rest(f"/v1/deployments/{self.deployment}")
        if not isinstance(answer, dict):
            return ""
        return str(answer.get("phase") or answer.get("deployments", {}).get(self.deployment, {}).get("phase", ""))

    def wait_phase(self, *wanted: str, timeout_s: float = 20) -> str:
        deadline = time.monotonic() + timeout_s
        while True:
            phase = self.phase()
            if phase in wanted:
                return phase
            if time.monotonic() > deadline:
                raise TimeoutError(f"phase is {phase!r}, not one of {wanted}, after {timeout_s} s:\n{self.log_tail()}")
            time.sleep(0.005)

    def wait_settled(self, timeout_s: float = 30) -> str:
        return self.wait_phase("idle", "cooling", "finished", timeout_s=timeout_s)

    def events(self) -> "Events":
        """Of attempts that begin from now on: the stream itself starts with what it remembers."""
        return Events(self.url + "/v1/events", int(self.status()["epoch"]))


class Events:
    """Server-sent events, read by a thread of its own as they come: (local time, data)."""

    def __init__(self, url: str, after_epoch: int) -> None:
        self._after_epoch = after_epoch
        self.seen: list[tuple[float, dict[str, Any]]] = []
        self._changed = threading.Condition()
        self._response = urllib.request.urlopen(url, timeout=60)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for raw in self._response:
                line = raw.decode().strip()
                if line.startswith("data:"):
                    data = json.loads(line[5:])
                    if int(data.get("epoch", 0)) <= self._after_epoch:
                        continue
                    with self._changed:
                        self.seen.append((time.monotonic(), data))
                        self._changed.notify_all()
        except (OSError, ValueError, AttributeError):
            return  # the proxy was killed, which is what some tests are about

    def phases(self) -> list[str]:
        return [str(data["phase"]) for _, data in self.seen if data.get("phase")]

    def wait_phase(self, phase: str, timeout_s: float = 20) -> bool:
        """True as soon as that phase was announced; False when it was not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: phase in self.phases(), timeout_s)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter([data for _, data in self.seen])
