"""A pair of MariaDB or MySQL that replicates by GTID, and sysbench as its load: what cutover.py measures with `./dev bench mysql cutover`."""
from __future__ import annotations

import os
from typing import Any

import cutover
import peers
from ground import Sysbench
from peers import Peer

from harness import mariadb, sysbench  # peers.py has put tests/e2e on the path
from harness.mariadb_pair import MariaPair
from harness.workspace import Workspace, place_for_tests

# Else the longest wait for two servers' one disk is longer than the pause that is looked for.
FAST = ["--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", "--innodb-doublewrite=OFF"]
# As PostgreSQL's pair: what was committed is on the disk.
DURABLE = ["--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1"]


class TurnoutMover(cutover.TurnoutMover):
    start = staticmethod(peers.mysql_turnout)


class SysbenchLoad:
    def __init__(self, peer: Peer, pair: MariaPair, rate: float, options: cutover.Options) -> None:
        self._sysbench = sysbench.Sysbench(peer.port, pair.workspace.directory("load"), threads=options.clients, rate=max(1, round(rate)))

    def transactions(self) -> int:
        return self._sysbench.transactions()

    def has_ended(self) -> bool:
        return self._sysbench.has_ended()

    def complaints(self) -> list[str]:
        return self._sysbench.stop().errors

    def kill(self) -> None:
        if not self._sysbench.has_ended():
            self._sysbench.stop()


class Ground:
    """Each run gets a pair of its own, in a workspace of its own."""

    movers = {"turnout": TurnoutMover}
    load = staticmethod(SysbenchLoad)

    # Of two cores that three servers and the load share, half leaves seldom a second without an answer longer than the pause that is
    # looked for. The shorter a window, the less of that is in it; and more moves, so that none of it is luck.
    options = {"rate": 60.0, "moves": 6, "window_s": 2.0, "baseline_s": 8.0}

    def __init__(self, pair: type[MariaPair], is_durable: bool) -> None:
        self._pair, self._server_options = pair, [*(DURABLE if is_durable else FAST), "--max-connections=400"]
        if not is_durable:
            os.environ.setdefault("TURNOUT_E2E_TMP", place_for_tests())
        self.description = (f"blue {pair.SERVER.PRODUCT}, green {pair.SERVER.PRODUCT}, replicating by GTID, "
                            f"fsync {'on' if is_durable else 'off'}")

    def copy(self) -> MariaPair:
        pair = self._pair(Workspace(), self._server_options)
        pair.start()
        sysbench.fill(pair.blue.port)
        with pair.blue.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE bench_probe (id BIGINT PRIMARY KEY AUTO_INCREMENT, number BIGINT NOT NULL)")
        pair.caught_up()
        return pair

    @staticmethod
    def drop(pair: MariaPair) -> None:
        pair.workspace.close()

    @staticmethod
    def measured_tps(peer: Peer, options: cutover.Options) -> float:
        return Sysbench("oltp_read_write", True).run(peer, options.clients, seconds=5)["tps"]

    @staticmethod
    def probe_address(port: int) -> str:
        return f"mysql://app@127.0.0.1:{port}/{mariadb.DATABASE}"

    @staticmethod
    def stored(writer: mariadb.MariaDb) -> list[Any]:
        with writer.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT number FROM bench_probe")
            return [row[0] for row in cursor.fetchall()]
