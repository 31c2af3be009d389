"""The driver matrix: runs a driver's program somewhere, compares what it printed scenario by scenario, keeps the score."""
from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator

from drivers import build, registry
from drivers.driver import Driver
from drivers_mysql import registry as mysql_registry

from .checks import assert_report
from .pair import Pair
from .turnout import Turnout
from .workspace import die_with_parent

E2E = Path(__file__).resolve().parents[1]
DRIVERS = registry.DRIVERS | mysql_registry.DRIVERS
KNOWN_DIFFERENT = registry.KNOWN_DIFFERENT | mysql_registry.KNOWN_DIFFERENT
# How a cell of a mode is marked in the table, before each of the two servers.
MARKS = {"transaction": "t", "session": "s", "transaction on green": "T", "session on green": "S", "transaction on mysql97": "T", "session on mysql97": "S"}
RUN_S_MAX = 120

# (driver, scenario, mode) → what is shown at the end of the run.
SCORE: dict[tuple[str, str, str], str] = {}


def with_schema(pair: Pair) -> Pair:
    """The programs' tables on both sides, replicated as an application's own are."""
    text = (registry.HERE / "schema.sql").read_text()
    for server in pair.sides.values():
        server.sql(text)
    pair.blue.sql("ALTER PUBLICATION turnout_fwd ADD TABLE drivers.items, drivers.entries")
    pair.green.sql("ALTER SUBSCRIPTION turnout_fwd REFRESH PUBLICATION", user="turnout")
    pair.green.wait_for("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")
    return pair


class Results:
    """Lines of one run; in a loop, of many rounds."""

    def __init__(self, lines: list[str], errors: str, code: int | None) -> None:
        self.errors, self.code = errors, code
        self.rounds: dict[str, list[dict[str, Any]]] = {}
        for line in lines:
            parsed = json.loads(line)
            self.rounds.setdefault(parsed["scenario"], []).append(parsed)

    def only(self, scenario: str) -> dict[str, Any]:
        found = self.rounds.get(scenario, [])
        return found[0] if len(found) == 1 else {"scenario": scenario, "error": f"was printed {len(found)} times\n{self.errors[-2000:]}"}


def command_of(driver: Driver, *words: str) -> list[str]:
    missing = driver.missing()
    assert not missing, f"{driver.name} needs {', '.join(missing)}: ./dev test drivers installs what is packaged"
    return [*build.made(driver), *words]


def run(driver: Driver, port: int, *scenarios: str, more: dict[str, str] | None = None) -> Results:
    """`more` is what its program is told besides where the server is."""
    process = subprocess.run(command_of(driver, *scenarios), env=driver.environment_of(port) | (more or {}), cwd=E2E, text=True,
                             stdin=subprocess.DEVNULL, capture_output=True, timeout=RUN_S_MAX, check=False,
                             preexec_fn=die_with_parent(signal.SIGKILL))
    return Results(process.stdout.splitlines(), process.stderr, process.returncode)


class Loop:
    """A program that repeats its movable scenarios until it is told to stop."""

    def __init__(self, driver: Driver, port: int, home: Path, more: dict[str, str] | None = None) -> None:
        self._stop, self._out, self._err = (home / f"{driver.name}.{end}" for end in ("stop", "out", "err"))
        self._driver = driver
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            self._process = subprocess.Popen(command_of(driver, "loop"), stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=E2E,
                                             env=driver.environment_of(port) | {"DRIVER_STOP": str(self._stop)} | (more or {}),
                                             preexec_fn=die_with_parent(signal.SIGKILL))

    def lines(self) -> int:
        return self._out.read_bytes().count(b"\n")

    def wait_lines(self, more: int, meanwhile: Callable[[], None], seconds: float = 180) -> None:
        """Until that many more scenarios have run."""
        wanted, deadline = self.lines() + more, time.monotonic() + seconds
        while self.lines() < wanted:
            assert self._process.poll() is None, f"{self._driver.name} ended: {self._err.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"{self._driver.name} is stuck: {self._err.read_text()[-2000:]}"
            time.sleep(0.02)
            meanwhile()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> Results:
        self._stop.touch()
        try:
            code = self._process.wait(RUN_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"{self._driver.name} did not end: {self._err.read_text()[-2000:]}") from None
        return Results(self._out.read_text().splitlines(), self._err.read_text(), code)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def loops_under_moves(loops: dict[str, Loop], turnout: Turnout, moves: int, lines: int,
                      caught_up: Callable[[str], None] | None = None) -> dict[str, Results]:
    """What the programs print while the writer goes to and fro, `lines` of each of them before the first move and behind every one.

    With `caught_up`, which waits for the other side of a writer, the programs are held again and again until it has, the last
    time just before a move: as fast as green follows. Nobody holds them during a move.
    """
    def keep_pace(writer: str) -> None:
        if caught_up is None:
            return
        for loop in loops.values():
            loop.freeze()
        try:
            caught_up(writer)
        finally:
            for loop in loops.values():
                loop.wake()

    def work(writer: str) -> None:
        for loop in loops.values():
            loop.wait_lines(lines, lambda: keep_pace(writer))

    try:
        work("blue")  # warm: statements prepared, types looked up
        for number in range(moves):
            verb, to = (("cutover", "green"), ("rollback", "blue"))[number % 2]
            report = turnout.ask(verb, "app")
            assert_report(report, verb)
            assert report["writer"] == to
            work(to)
        return {name: loop.stop() for name, loop in loops.items()}
    finally:
        for loop in loops.values():
            loop.kill()


def assert_rounds(results: dict[str, Results], expected: Callable[[str, Results], Results]) -> None:
    """Each round of each program is as it is directly, which `expected` knows by its name, and what it has shown."""
    complaints = []
    for name, result in results.items():
        assert result.code == 0, result.errors[-2000:]
        direct = expected(name, result)
        for scenario, rounds in result.rounds.items():
            if reason_of((name, scenario, "transaction")):  # without a move, too: the matrix watches over that
                continue
            for number, line in enumerate(rounds):
                complaints += [f"{name} {scenario} round {number}: {found}" for found in differences(direct.only(scenario), line)]
    assert not complaints, f"{len(complaints)} differences, the first ones:\n" + "\n".join(complaints[:10])


class Direct:
    """What a driver's program prints without a proxy: run once for all that is compared with it."""

    def __init__(self, port: int, more: dict[str, str] | None = None) -> None:
        self._port, self._more = port, more
        self._known: dict[str, Results] = {}
        self._lock = threading.Lock()

    def of(self, driver: Driver) -> Results:
        with self._lock:
            if driver.name not in self._known:
                results = run(driver, self._port, more=self._more)
                for scenario in driver.scenarios:
                    line = results.only(scenario)
                    assert "error" not in line, f"{driver.name} {scenario} fails without a proxy: {line['error']}\n{results.errors[-2000:]}"
                extra = results.rounds.keys() - set(driver.scenarios)
                assert not extra, f"{driver.name} shows {extra}, which the registry does not know"
                self._known[driver.name] = results
            return self._known[driver.name]


def differences(direct: Any, here: Any, path: str = "") -> Iterator[str]:
    """Where two results part, in words short enough to read."""
    if isinstance(direct, list) and isinstance(here, list):
        for index in range(max(len(direct), len(here))):
            yield from differences(direct[index] if index < len(direct) else "(nothing)", here[index] if index < len(here) else "(nothing)",
                                   f"{path}[{index}]")
    elif isinstance(direct, dict) and isinstance(here, dict):
        for key in sorted(direct.keys() | here.keys()):
            yield from differences(direct.get(key), here.get(key), f"{path}.{key}")
    elif direct != here:
        yield f"{path}: direct {str(direct)[:300]!r}, through Turnout {str(here)[:300]!r}"


def reason_of(cell: tuple[str, str, str]) -> str | None:
    """Why it is known to differ: before all servers, or before this one."""
    return KNOWN_DIFFERENT.get((cell[0], cell[1], cell[2].split()[0])) or KNOWN_DIFFERENT.get(cell)


def compare(name: str, mode: str, direct: Results, here: Results) -> list[str]:
    """Keeps the score of each scenario; what is different although nobody knows of it, and what nobody needs to know of any more."""
    complaints = []
    for scenario in DRIVERS[name].scenarios:
        cell = (name, scenario, mode)
        found, reason = list(differences(direct.only(scenario), here.only(scenario))), reason_of(cell)
        SCORE[cell] = "equal" if not found else "known" if reason else "different"
        if found and not reason:
            complaints.append(f"{' '.join(cell)}: " + "; ".join(found[:4]))
        elif not found and reason:
            SCORE[cell] = "different"
            complaints.append(f"{' '.join(cell)} is equal now: take it out of KNOWN_DIFFERENT ({reason})")
    return complaints


def table() -> list[str]:
    """Driver × scenario × mode: which modes were equal, known to differ, or not run."""
    if not SCORE:
        return []
    drivers = [name for name in DRIVERS if any(cell[0] == name for cell in SCORE)]
    lines = ["driver matrix (equal to direct in t: transaction, s: session mode, T and S: before green, or MySQL 9.7; ≠ different, k known to differ, . left out)"]
    modes = [mode for mode in MARKS if any(cell[2] == mode for cell in SCORE)]
    width = max(len(name) for name in drivers)
    for name in drivers:
        cells = []
        for scenario in DRIVERS[name].scenarios:
            marks = "".join({"equal": MARKS[mode], "known": "k", "different": "≠"}.get(SCORE.get((name, scenario, mode), ""), ".") for mode in modes)
            cells.append(f"{scenario} {marks}")
        lines.append(f"  {name:{width}}  " + "  ".join(cells))
    counts = {mark: sum(value == mark for value in SCORE.values()) for mark in ("equal", "known", "different")}
    lines.append(f"  {len(SCORE)} cells: {counts['equal']} equal, {counts['known']} known to differ, {counts['different']} different")
    known = [cell for cell, mark in SCORE.items() if mark == "known"]
    for reason in dict.fromkeys(reason_of(cell) for cell in known):
        cells = [" ".join(cell) for cell in known if reason_of(cell) == reason]
        lines.append(f"  known: {reason}: {', '.join(cells)}")
    return lines
