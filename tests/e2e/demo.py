#!/usr/bin/python3
"""The whole story in one command: two real servers, load, ramp, cutover, verification, rollback, verification, report.

Exits non-zero when a client saw an error, or when an acknowledged commit was lost or is there twice. Leaves nothing
behind, unless --keep asks for it.
"""
from __future__ import annotations

import argparse
import shlex
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness.ledger import Ledger, Verdict  # noqa: E402
from harness.load import Pgbench, TypeReaders  # noqa: E402
from harness.pair import Pair  # noqa: E402
from harness.turnout import DONE, Turnout, binary, yaml  # noqa: E402
from harness.workspace import Workspace, exit_on_signals  # noqa: E402

RAMP = (10, 50, 100)
STEP_S = 4.0
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


class Load:
    """Everything that goes through Turnout while it works."""

    def __init__(self, turnout: Turnout) -> None:
        self.ledger = Ledger(turnout.conninfo())
        self.readers = TypeReaders(turnout.conninfo(), 3)
        self._arguments = (turnout.port, turnout.home)
        self.benches: list[Pgbench] = []
        self.errors: list[str] = []

    def start(self) -> None:
        self.ledger.start()
        self.readers.start()
        self.benches = [Pgbench(*self._arguments, mode="prepared", script="tpcb-like", clients=6, rate=120, seconds=3600),
                        Pgbench(*self._arguments, mode="prepared", script="select-only", clients=16, rate=600, seconds=3600)]

    def stop(self) -> int:
        """Transactions of pgbench; the errors of all are in `errors` afterwards."""
        results = [bench.stop() for bench in self.benches]
        self.readers.stop()
        self.ledger.stop()
        self.errors = [f"{moment(at)}: {text}" for at, text in self.ledger.errors()] + [f"types: {text}" for text in self.readers.errors]
        for result in results:
            self.errors += [f"pgbench: {text}" for text in result.errors] + ([] if result.code == 0 else [f"pgbench: exit {result.code}"])
        return sum(result.transactions for result in results)


class Demo:
    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.moves: list[Move] = []
        self.shares: list[tuple[int, float, float]] = []
        self.pair: Pair
        self.turnout: Turnout
        self.load: Load

    def run(self) -> None:
        self.start_servers()
        self.start_turnout()
        self.preflight()
        self.ramp()
        self.move("cutover", "green")
        self.move("rollback", "blue")

    # ---- the steps

    def start_servers(self) -> None:
        step("Two real servers with native logical replication, blue → green")
        self.pair = Pair(self.workspace, "demo", fsync=True)
        self.pair.build(scale=2)
        say(self.pair.describe())
        say("pgbench schema filled (200 000 accounts), sequences, ledger; type OIDs on blue and green: "
            + ", ".join(f"{name} {blue} ≠ {green}" for name, (blue, green) in self.pair.type_oids().items()))

    def start_turnout(self) -> None:
        step("Turnout in front of them")
        self.turnout = Turnout(self.workspace, self.pair)
        say(f"{DIM}{yaml(self.turnout.config)}{PLAIN}")
        self.turnout.start()
        self.load = Load(self.turnout)
        self.load.start()
        say("load, through Turnout only: pgbench -M prepared (TPC-B-like and select-only), 8 ledger sessions (psycopg simple, "
            "extended, prepared; asyncpg with enum and domain), 3 asyncpg readers")

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

    def ramp(self) -> None:
        step("Reads move to green by weight (writes stay on blue)")
        for percent in RAMP:
            self.command("shift", "app", str(percent))
            time.sleep(STEP_S / 2)  # the share is steered by what sessions really read
            before = self.reads()
            time.sleep(STEP_S / 2)
            after = self.reads()
            on_green, on_blue = after["green"] - before["green"], after["blue"] - before["blue"]
            share = 100 * on_green / max(1.0, on_green + on_blue)
            self.shares.append((percent, share, on_green + on_blue))
            say(f"weight {percent:3} %: {share:5.1f} % of {on_green + on_blue:.0f} proven reads ran on green; "
                f"errors {len(self.load.ledger.errors()) + len(self.load.readers.errors)}, own writes not seen {self.load.ledger.stale()}")
        say("(the rest: sessions are ramped whole, and a read right after its session's own write stays on blue until green has it)")

    def reads(self) -> dict[str, float]:
        samples = self.turnout.metrics()
        return {side: samples.get(f'turnout_ramped_reads_total{{deployment="app",side="{side}"}}', 0.0) for side in ("blue", "green")}

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
            move.verdicts[to] = ledger.verify(self.pair.sides[to].conninfo("postgres", "app"))
            self.pair.caught_up(to)
            other = "blue" if to == "green" else "green"
            move.verdicts[other] = ledger.verify(self.pair.sides[other].conninfo("postgres", "app"))
        for side, verdict in move.verdicts.items():
            say(f"{side:5} {'(writer)' if side == to else '(copy)  '}: {verdict}")

    def command(self, *words: str) -> None:
        outcome = self.turnout.cli(*words, "--yes")
        if outcome.code != DONE:
            raise Failed(f"turnout {' '.join(words)}: {outcome}")

    # ---- the end

    def report(self, transactions: int, seconds: float) -> bool:
        ledger = self.load.ledger
        final = ledger.verify(self.pair.blue.conninfo("postgres", "app")) if len(self.moves) == 2 else None
        verdicts = [verdict for move in self.moves for verdict in move.verdicts.values()] + ([final] if final else [])
        lost = sum(len(verdict.lost) for verdict in verdicts)
        twice = sum(len(verdict.duplicated) for verdict in verdicts)
        wrong = sum(len(verdict.phantom) + len(verdict.counters) for verdict in verdicts)
        step("Report")
        say(f"ledger: {ledger.commits()} acknowledged commits; pgbench: {transactions} transactions; "
            f"{self.load.readers.reads} reads of the enum and the domain")
        for text, value in (("client errors", len(self.load.errors)), ("acknowledged commits lost", lost), ("duplicated", twice),
                            ("phantom rows or wrong counters", wrong), ("own writes not seen", ledger.stale()),
                            ("commits with unknown outcome", ledger.unknown())):
            say(f"{GREEN if not value else RED}{value:6}{PLAIN} {text}")
        for text in self.load.errors[:8]:
            say(f"       {RED}{' '.join(text.split())}{PLAIN}")
        for percent, share, reads in self.shares:
            say(f"ramp {percent:3} %: {share:.1f} % of {reads:.0f} reads measured on green")
        for move in self.moves:
            say(f"{move.verb}: longest pause of held work {move.report['pause_ms']['max']:.1f} ms, longest transaction felt by a client "
                f"{move.longest_ms:.0f} ms ({move.longest_before_ms:.0f} ms before), window {sum(move.report['phases_ms'].values()):.0f} ms in phases")
        say(f"{seconds:.0f} s in all")
        return not (self.load.errors or lost or twice or wrong or ledger.stale()) and len(self.moves) == 2

    def by_hand(self) -> None:
        program = shlex.quote(str(binary()))
        step("Each step by hand")
        say(f"export TURNOUT_CONTROL={self.turnout.url}")
        for words in ("preflight app", "shift app 10", "status", "explain-route app 'SELECT abalance FROM pgbench_accounts WHERE aid = 1'",
                      "cutover app", "report app", "rollback app", "watch"):
            say(f"{program} {words}")
        say(f"psql 'host=127.0.0.1 port={self.turnout.port} user=app dbname=app'     # through Turnout")
        for side, server in self.pair.sides.items():
            say(f"psql 'host=127.0.0.1 port={server.port} user=postgres dbname=app'    # {side} itself")

    def leave_running(self) -> None:
        pids = [self.turnout.pid, self.pair.green.pid, self.pair.blue.pid]
        script = self.workspace.path / "stop.sh"
        script.write_text("#!/bin/sh\n" + "".join(f"kill -INT {pid} 2>/dev/null; while kill -0 {pid} 2>/dev/null; do sleep 0.1; done\n"
                                                  for pid in pids) + f"rm -rf {shlex.quote(str(self.workspace.path))}\n")
        script.chmod(0o755)
        self.workspace.keep = True
        step(f"All of it keeps running. Stop it and remove its files: {script}")


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("protocol", nargs="?", choices=["postgres"], default="postgres")
    arguments.add_argument("--keep", action="store_true", help="leave the servers and Turnout running")
    options = arguments.parse_args()
    exit_on_signals()
    began = time.monotonic()
    workspace = Workspace()
    workspace.outlive = options.keep
    demo, failure = Demo(workspace), ""
    try:
        try:
            demo.run()
        except (Failed, AssertionError, TimeoutError) as error:
            failure = str(error)
        transactions = demo.load.stop() if hasattr(demo, "load") else 0
        good = hasattr(demo, "load") and demo.report(transactions, time.monotonic() - began) and not failure
        if failure:
            print(f"\n{RED}{BOLD}failed:{PLAIN} {failure}", flush=True)
        if hasattr(demo, "turnout") and demo.turnout.alive():
            demo.by_hand()
            if options.keep:
                demo.leave_running()
        return 0 if good else 1
    except KeyboardInterrupt:
        print("\ninterrupted: cleaning up", flush=True)
        return 130
    finally:
        workspace.close()


if __name__ == "__main__":
    sys.exit(main())
