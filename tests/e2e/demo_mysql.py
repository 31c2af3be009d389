"""The story with MariaDB 10.11, or MySQL 9.7 (--server mysql): two of them, replication by GTID, sysbench."""
from __future__ import annotations

from harness import mysql97, sysbench
from harness.ledger import Verdict
from harness.mariadb import PASSWORD
from harness.mariadb_pair import MariaPair, make_pair_turnout
from harness.mysql97_pair import Mysql97Pair
from harness.mysql_ledger import MysqlLedger
from harness.mysql_turnout import connect
from harness.story import Failed, Load, Story, say, step
from harness.sysbench import Sysbench
from harness.turnout import Turnout


class MysqlLoad(Load):
    ledger: MysqlLedger

    def __init__(self, turnout: Turnout) -> None:
        self._turnout = turnout
        self.ledger = MysqlLedger(lambda: connect(turnout))
        self.benches: list[Sysbench] = []
        self.errors: list[str] = []

    def start(self) -> None:
        self.ledger.start()
        self.benches = [Sysbench(self._turnout.port, self._turnout.home, "oltp_read_write", threads=8, rate=60),
                        Sysbench(self._turnout.port, self._turnout.home, "oltp_point_select", threads=8, rate=400)]

    def stop(self) -> str:
        results = [bench.stop() for bench in self.benches]
        self.ledger.stop()
        self.errors = self.ledger_errors() + [f"sysbench: {text}" for result in results for text in result.errors]
        if self.ledger.reconnects():
            self.errors.append(f"{self.ledger.reconnects()} sessions of the ledger had to connect again")
        return (f"sysbench: {sum(result.transactions for result in results)} transactions, "
                f"{sum(result.deadlocks for result in results)} deadlocks done again")


class MysqlStory(Story):
    hands = ("preflight app", "status", "clients app", "cutover app", "report app", "rollback app", "watch")
    load: MysqlLoad
    PAIR: type[MariaPair] = MariaPair

    def run(self) -> None:
        step("Two real servers, green a copy of blue that replicates from it by GTID")
        self.pair = self.PAIR(self.workspace)
        self.pair.start()
        say(f"blue and green: {self.pair.SERVER.PRODUCT} {self.pair.blue.value('SELECT VERSION()')}, ports {self.pair.blue.port} and {self.pair.green.port}")
        sysbench.fill(self.pair.blue.port)
        self.pair.caught_up()
        say(f"sysbench tables filled ({sysbench.TABLES} of {sysbench.ROWS} rows), ledger")
        step("Turnout in front of them")
        turnout = make_pair_turnout(self.pair, start=False)
        self.start_turnout(turnout, MysqlLoad(turnout), "sysbench oltp_read_write and oltp_point_select (prepared statements), 6 ledger sessions (PyMySQL, transactions and autocommit)")
        self.preflight()
        self.move("cutover", "green")
        self.move("rollback", "blue")

    def verify(self, side: str) -> Verdict:
        return self.load.ledger.verify(self.pair.sides[side])

    def shell(self, port: int, user: str) -> str:
        return f"mariadb -h 127.0.0.1 -P {port} -u {user or 'turnout'} -p'{PASSWORD}' shop"


class Mysql97Story(MysqlStory):
    PAIR = Mysql97Pair

    def run(self) -> None:
        if not mysql97.is_there():
            raise Failed(mysql97.MISSING)
        super().run()
