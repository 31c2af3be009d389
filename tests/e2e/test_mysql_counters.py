"""A hundred sessions that count what they were promised, through a loop of cutovers and rollbacks, with their reads on both sides."""
from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from harness.mariadb import DATABASE
from harness.mariadb_pair import MariaPair, make_pair_turnout, other
from harness.mysql_products import PRODUCTS, pair_of
from harness.mysql_turnout import reads_on
from harness.sysbench import Sysbench
from harness.turnout import Turnout
from harness.waiting import eventually

SCRIPT = str(Path(__file__).with_name("counters.lua"))
SESSIONS = {"updates": 40, "autocommit": 20, "prepared": 20, "readers": 20}
FIRST = {"updates": 0, "autocommit": 1000, "prepared": 2000}  # as counters.lua
PILES, ROWS, RATE = 4, 100, 60
PERCENTS = (10, 50, 100)  # of the reads, from one move to the next


@pytest.fixture(params=PRODUCTS)
def pair(request: pytest.FixtureRequest) -> Iterator[MariaPair]:
    with pair_of(request.param) as made:
        with made.blue.connect() as connection, connection.cursor() as cursor:
            for pile in range(1, PILES + 1):
                cursor.execute(f"CREATE TABLE pile{pile} (id INT PRIMARY KEY, value INT NOT NULL)")
                cursor.executemany(f"INSERT INTO pile{pile} VALUES (%s, 0)", [(id_,) for id_ in range(1, ROWS + 1)])
            cursor.execute("CREATE TABLE tally (session INT PRIMARY KEY, value INT NOT NULL)")
            cursor.executemany("INSERT INTO tally VALUES (%s, 0)", [(first + n,) for kind, first in FIRST.items() for n in range(SESSIONS[kind])])
        yield made


def sums(pair: MariaPair, side: str) -> dict[str, int]:
    """Of each pile, and of the tallies by kind."""
    found = {f"pile{pile}": pair.sides[side].value(f"SELECT SUM(value) FROM {DATABASE}.pile{pile}") for pile in range(1, PILES + 1)}
    for kind, first in FIRST.items():
        found[kind] = pair.sides[side].value(f"SELECT SUM(value) FROM {DATABASE}.tally WHERE session BETWEEN {first} AND {first + 999}")
    return {name: int(value) for name, value in found.items()}


def ramp(turnout: Turnout, percent: int, side: str) -> int:
    """Until that share is on the side that follows; the percentage of the reads that ran there in between."""
    turnout.ask("shift", "app", str(percent))
    before = reads_on(turnout)

    def moved() -> dict[str, float]:
        return {name: count - before[name] for name, count in reads_on(turnout).items()}

    eventually(lambda: moved()[side] > 20 and sum(moved().values()) > 2 * RATE, f"{percent} % of the reads on {side}")
    return round(100 * moved()[side] / sum(moved().values()))


@pytest.mark.parametrize("moves", [4, pytest.param(20, marks=pytest.mark.soak)])
def test_moves_under_counting_sessions(pair: MariaPair, moves: int) -> None:
    """Transactions of five updates, autocommit writers, prepared writers, readers at 10, 50 and 100 %: no error, nobody reads less
    than he has written or read before, every counter right on both sides."""
    turnout = make_pair_turnout(pair)
    loads = {kind: Sysbench(turnout.port, turnout.home, SCRIPT, threads=threads, rate=RATE,
                            options=(f"--kind={kind}", f"--table-size={ROWS}", f"--sessions={min(SESSIONS.values())}", "--rand-type=uniform"))
             for kind, threads in SESSIONS.items()}

    def all_go_on() -> None:
        before = {kind: load.transactions() for kind, load in loads.items()}
        eventually(lambda: all(load.has_ended() or load.transactions() > before[kind] + RATE for kind, load in loads.items()), "all kinds work")

    all_go_on()
    writer, shares = "blue", []
    for number in range(moves):
        percent = PERCENTS[number % len(PERCENTS)]
        shares.append(f"{percent} %: {ramp(turnout, percent, other(writer))}")
        report = turnout.ask("cutover" if writer == "blue" else "rollback", "app")
        assert (report["outcome"], report["client_errors"]) == ("committed", 0), report
        writer = other(writer)
        turnout.wait_settled()
        pair.assert_writer(writer)
    all_go_on()
    results = {kind: load.stop() for kind, load in loads.items()}
    print("share of the proven reads on the side that followed:", ", ".join(shares))
    assert {kind: result.errors for kind, result in results.items() if result.errors} == {}
    pair.caught_up(writer)
    blue, green = sums(pair, "blue"), sums(pair, "green")
    assert blue == green
    assert {blue[f"pile{pile}"] for pile in range(1, PILES + 1)} == {blue["updates"]}, blue
    assert all(blue[kind] > moves for kind in FIRST), blue
