"""The story with PostgreSQL: 15 and 18, native logical replication, pgbench, a ramp of the reads."""
from __future__ import annotations

import time

from harness.ledger import Ledger, Verdict
from harness.load import Pgbench, TypeReaders
from harness.pair import Pair
from harness.story import Load, Story, say, step
from harness.turnout import Turnout

RAMP = (10, 50, 100)
STEP_S = 4.0


class PostgresLoad(Load):
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

    def stop(self) -> str:
        results = [bench.stop() for bench in self.benches]
        self.readers.stop()
        self.ledger.stop()
        self.errors = self.ledger_errors() + [f"types: {text}" for text in self.readers.errors]
        for result in results:
            self.errors += [f"pgbench: {text}" for text in result.errors] + ([] if result.code == 0 else [f"pgbench: exit {result.code}"])
        return (f"pgbench: {sum(result.transactions for result in results)} transactions; "
                f"{self.readers.reads} reads of the enum and the domain")


class PostgresStory(Story):
    hands = ("preflight app", "shift app 10", "status", "explain-route app 'SELECT abalance FROM pgbench_accounts WHERE aid = 1'",
             "cutover app", "report app", "rollback app", "watch")
    load: PostgresLoad

    def run(self) -> None:
        self.shares: list[tuple[int, float, float]] = []
        self.start_servers()
        step("Turnout in front of them")
        turnout = Turnout(self.workspace, self.pair)
        self.start_turnout(turnout, PostgresLoad(turnout), "pgbench -M prepared (TPC-B-like and select-only), 8 ledger sessions "
                           "(psycopg simple, extended, prepared; asyncpg with enum and domain), 3 asyncpg readers")
        self.preflight()
        self.ramp()
        self.move("cutover", "green")
        self.move("rollback", "blue")

    def start_servers(self) -> None:
        step("Two real servers with native logical replication, blue → green")
        self.pair = Pair(self.workspace, "demo", fsync=True)
        self.pair.build(scale=2)
        say(self.pair.describe())
        say("pgbench schema filled (200 000 accounts), sequences, ledger; type OIDs on blue and green: "
            + ", ".join(f"{name} {blue} ≠ {green}" for name, (blue, green) in self.pair.type_oids().items()))

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

    def verify(self, side: str) -> Verdict:
        return self.load.ledger.verify(self.pair.sides[side].conninfo("postgres", "app"))

    def shell(self, port: int, user: str) -> str:
        return f"psql 'host=127.0.0.1 port={port} user={user or 'postgres'} dbname=app'"

    def say_more(self) -> None:
        for percent, share, reads in self.shares:
            say(f"ramp {percent:3} %: {share:.1f} % of {reads:.0f} reads measured on green")
