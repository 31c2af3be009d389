"""The whole story with two real servers, whatever their protocol: load, moves, verification, a report."""
from __future__ import annotations

import shlex
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .ledger import Ledger, Verdict
from .turnout import DONE, Turnout, binary, yaml
from .workspace import Workspace

BOLD, DIM, RED, GREEN, PLAIN = ("\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[0m") if sys.stdout.isatty() else ("",) * 5


class Failed(Exception):
    """A step did not do what it should; the report is still printed as far as it goes."""


@dataclass
class Move:
    verb: str
    report: dict[str, Any]
    longest_ms: float        # the longest ledger transaction that touched the window, as its client felt it
    longest_before_ms: float  # the same in an equally long time before
    verdicts: dict[str, Verdict] = field(default_factory=dict)


_steps: list[tuple[float, str]] = []


def moment(at: float) -> str:
    """A time in words: how long after the beginning of which step."""
    began, name = max((entry for entry in _steps if entry[0] <= at), default=(at, "the beginning"))
    return f"{at - began:.3f} s after '{name}'"


def step(text: str) -> None:
    _steps.append((time.monotonic(), text))
    print(f"\n{BOLD}▶ {text}{PLAIN}", flush=True)


def say(text: str = "") -> None:
    for line in text.splitlines() or [""]:
        print(f"  {line}", flush=True)


class Load(ABC):
    """Everything that goes through Turnout while it works."""

    ledger: Ledger
    errors: list[str]

    @abstractmethod
    def start(self) -> None: ...
    @abstractmethod
    def stop(self) -> str:
        """What it did, in words; the errors of all are in `errors` afterwards."""

    def ledger_errors(self) -> list[str]:
        return [f"{moment(at)}: {text}" for at, text in self.ledger.errors()]


class Story(ABC):
    hands: ClassVar[tuple[str, ...]]  # commands worth trying by hand

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.moves: list[Move] = []
        self.pair: Any
        self.turnout: Turnout
        self.load: Load

    @abstractmethod
    def run(self) -> None:
        """The steps, in their order."""

    @abstractmethod
    def verify(self, side: str) -> Verdict: ...
    @abstractmethod
    def shell(self, port: int, user: str) -> str:
        """The command that connects there."""

    def say_more(self) -> None:
        """What else the report should name."""

    # ---- the steps

    def start_turnout(self, turnout: Turnout, load: Load, what: str) -> None:
        self.turnout = turnout
        say(f"{DIM}{yaml(turnout.config)}{PLAIN}")
        turnout.start()
        self.load = load
        load.start()
        say(f"load, through Turnout only: {what}")

    def preflight(self) -> None:
        step("turnout preflight app")
        answer = self.turnout.cli("preflight", "app", "-o", "json")
        checks = answer.json["checks"]
        counts = {verdict: sum(check["verdict"] == verdict for check in checks) for verdict in ("PASS", "WARN", "FAIL")}
        say("  ".join(f"{verdict} {count}" for verdict, count in counts.items()))
        for check in checks:
            if check["verdict"] != "PASS":
                say(f"{check['verdict']:5} {check['name']}: {check['measured']} (bound: {check['bound']}); {check['todo']}")
        if answer.code != DONE:
            raise Failed(f"preflight: {answer}")

    def move(self, verb: str, to: str) -> None:
        step(f"turnout {verb} app")
        ledger = self.load.ledger
        if verb == "rollback":
            self.turnout.wait_settled()
        start = time.monotonic()
        outcome = self.turnout.cli(verb, "app", "-o", "json", "--yes")
        end = time.monotonic()
        if outcome.code != DONE:
            raise Failed(f"turnout {verb}: {outcome}\n{self.turnout.log_tail()}")
        report = dict(outcome.json)
        move = Move(verb, report, ledger.longest_ms(start, end), ledger.longest_ms(start - (end - start), start))
        self.moves.append(move)
        say(f"{report['outcome']}: the writer is {report['writer']}; held {report['held_sessions']} sessions, pause of held work "
            + ", ".join(f"{name} {value:.1f} ms" for name, value in report["pause_ms"].items()))
        say("phases: " + ", ".join(f"{name} {value:.1f} ms" for name, value in report["phases_ms"].items()))
        say(f"longest ledger transaction: {move.longest_ms:.0f} ms in the window, {move.longest_before_ms:.0f} ms before it")
        ledger.wait_commits(30)
        step(f"Verify after the {verb}")
        with ledger.resting():
            move.verdicts[to] = self.verify(to)
            self.pair.caught_up(to)
            other = "blue" if to == "green" else "green"
            move.verdicts[other] = self.verify(other)
        for side, verdict in move.verdicts.items():
            say(f"{side:5} {'(writer)' if side == to else '(copy)  '}: {verdict}")

    def command(self, *words: str) -> None:
        outcome = self.turnout.cli(*words, "--yes")
        if outcome.code != DONE:
            raise Failed(f"turnout {' '.join(words)}: {outcome}")

    # ---- the end

    def report(self, done: str, seconds: float) -> bool:
        ledger = self.load.ledger
        final = self.verify("blue") if len(self.moves) == 2 else None
        verdicts = [verdict for move in self.moves for verdict in move.verdicts.values()] + ([final] if final else [])
        lost = sum(len(verdict.lost) for verdict in verdicts)
        twice = sum(len(verdict.duplicated) for verdict in verdicts)
        wrong = sum(len(verdict.phantom) + len(verdict.counters) for verdict in verdicts)
        step("Report")
        say(f"ledger: {ledger.commits()} acknowledged commits; {done}")
        for text, value in (("client errors", len(self.load.errors)), ("acknowledged commits lost", lost), ("duplicated", twice),
                            ("phantom rows or wrong counters", wrong), ("own writes not seen", ledger.stale()),
                            ("commits with unknown outcome", ledger.unknown())):
            say(f"{GREEN if not value else RED}{value:6}{PLAIN} {text}")
        for text in self.load.errors[:8]:
            say(f"       {RED}{' '.join(text.split())}{PLAIN}")
        self.say_more()
        for move in self.moves:
            say(f"{move.verb}: longest pause of held work {move.report['pause_ms']['max']:.1f} ms, longest transaction felt by a client "
                f"{move.longest_ms:.0f} ms ({move.longest_before_ms:.0f} ms before), window {sum(move.report['phases_ms'].values()):.0f} ms in phases")
        say(f"{seconds:.0f} s in all")
        return not (self.load.errors or lost or twice or wrong or ledger.stale()) and len(self.moves) == 2

    def by_hand(self) -> None:
        program = shlex.quote(str(binary()))
        step("Each step by hand")
        say(f"export TURNOUT_CONTROL={self.turnout.url}")
        for words in self.hands:
            say(f"{program} {words}")
        say(f"{self.shell(self.turnout.port, 'app')}     # through Turnout")
        for side, server in self.pair.sides.items():
            say(f"{self.shell(server.port, '')}    # {side} itself")

    def leave_running(self) -> None:
        pids = [self.turnout.pid, self.pair.green.pid, self.pair.blue.pid]
        script = self.workspace.path / "stop.sh"
        script.write_text("#!/bin/sh\n" + "".join(f"kill -INT {pid} 2>/dev/null; while kill -0 {pid} 2>/dev/null; do sleep 0.1; done\n"
                                                  for pid in pids) + f"rm -rf {shlex.quote(str(self.workspace.path))}\n")
        script.chmod(0o755)
        self.workspace.keep = True
        step(f"All of it keeps running. Stop it and remove its files: {script}")
