"""sysbench and a hundred sessions through a loop of cutovers and rollbacks of a MariaDB pair, and one of MySQL."""
from __future__ import annotations

from typing import Iterator

import pytest

from harness import sysbench
from harness.mariadb import DATABASE
from harness.mariadb_pair import MariaPair, make_pair_turnout, other
from harness.mysql_ledger import MysqlLedger
from harness.mysql_products import PRODUCTS, pair_of
from harness.mysql_turnout import connect
from harness.sysbench import Sysbench
from harness.waiting import eventually

TABLES = [f"sbtest{number}" for number in range(1, sysbench.TABLES + 1)] + ["ledger", "counter"]


@pytest.fixture(params=PRODUCTS)
def pair(request: pytest.FixtureRequest) -> Iterator[MariaPair]:
    with pair_of(request.param) as made:
        yield made


def checksums(pair: MariaPair, side: str) -> list[tuple[str, int]]:
    return [(name, total) for name, total in pair.execute(side, "CHECKSUM TABLE " + ", ".join(f"{DATABASE}.{name}" for name in TABLES))]


def go_on(benches: list[Sysbench]) -> None:
    """Each of them, or has ended: then its errors say why."""
    before = [bench.transactions() for bench in benches]
    eventually(lambda: all(bench.has_ended() or bench.transactions() > count + 20 for bench, count in zip(benches, before)), "sysbench works")


@pytest.mark.parametrize("moves", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_moves_under_sysbench(pair: MariaPair, moves: int) -> None:
    """Transactions of many statements, autocommit and prepared writers, readers: nobody notices, both sides are the same."""
    sysbench.fill(pair.blue.port)
    turnout = make_pair_turnout(pair)
    scripts = {"oltp_read_write": 30, "oltp_write_only": 20, "oltp_update_index": 10, "oltp_point_select": 20}
    benches = [Sysbench(turnout.port, turnout.home, script, threads=threads, rate=40) for script, threads in scripts.items()]
    with MysqlLedger(lambda: connect(turnout), sessions_per_kind=10, pace_s=0.05) as ledger:
        go_on(benches)
        writer = "blue"
        for _ in range(moves):
            report = turnout.ask("cutover" if writer == "blue" else "rollback", "app")
            assert (report["outcome"], report["client_errors"]) == ("committed", 0), report
            writer = other(writer)
            ledger.wait_commits(5)
            turnout.wait_settled()
            pair.assert_writer(writer)
        go_on(benches)
        results = [bench.stop() for bench in benches]
    assert [error for result in results for error in result.errors] == []
    ledger.assert_quiet()
    ledger.assert_books(pair.sides[writer])
    pair.caught_up(writer)
    assert checksums(pair, "blue") == checksums(pair, "green")
