"""`users: passthrough` of a pair while the writes move: clients that log in all the time, whatever is going on."""
from __future__ import annotations

import threading
import time
from typing import Any, Iterator

import pymysql
import pytest

from harness.mariadb import DATABASE, PASSWORD
from harness.mariadb_pair import MariaPair, make_pair_turnout
from harness.mysql_products import PRODUCTS, as_root, pair_of
from harness.mysql_turnout import change_user, connect, one


@pytest.fixture(params=PRODUCTS)
def pair(request: pytest.FixtureRequest) -> Iterator[MariaPair]:
    with pair_of(request.param) as made:
        yield made


class Comers:
    """Threads that connect, ask, and leave: known users, users that nobody has seen before, wrong passwords, changes of user."""

    def __init__(self, turnout: Any, newcomers: list[str]) -> None:
        self.turnout, self._newcomers = turnout, newcomers
        self.trouble: list[Any] = []
        self.rounds = dict.fromkeys(("known", "new", "wrong", "change"), 0)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(kind,)) for kind in self.rounds]
        for thread in self._threads:
            thread.start()

    def _run(self, kind: str) -> None:
        while not self._over.is_set():
            try:
                getattr(self, f"_{kind}")()
                self.rounds[kind] += 1
            except (pymysql.err.MySQLError, AssertionError) as error:
                self.trouble.append((kind, error))
            time.sleep(0.02)

    def _known(self) -> None:
        with connect(self.turnout) as client:
            one(client, "INSERT INTO ledger (session, number) VALUES (1, 1)")

    def _new(self) -> None:
        if not self._newcomers:
            return
        with connect(self.turnout, user=self._newcomers.pop()) as client:
            assert one(client, "SELECT COUNT(*) >= 0 FROM ledger") == 1

    def _wrong(self) -> None:
        try:
            connect(self.turnout, password="wrong").close()
        except pymysql.err.OperationalError as error:
            assert error.args[0] == 1045, error
            return
        raise AssertionError("a wrong password was let in")

    def _change(self) -> None:
        with connect(self.turnout) as client:
            change_user(client, "reader")
            assert one(client, "SELECT CURRENT_USER()") == "reader@%"

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_logins_through_a_cutover_and_a_rollback(pair: MariaPair) -> None:
    newcomers = [f"newcomer{at}" for at in range(200)]
    as_root(pair.blue, "SET sql_log_bin = 1", *(sql for name in newcomers for sql in (
        f"CREATE USER {name}@'%' IDENTIFIED BY '{PASSWORD}'", f"GRANT SELECT ON {DATABASE}.* TO {name}@'%'")))
    pair.caught_up()
    turnout = make_pair_turnout(pair, changes={"users": "passthrough", "pool": {"mode": "transaction", "size": 8},
                                               "limits": {"server_connections": 80}})
    turnout.ask("prepare", "app")
    comers = Comers(turnout, newcomers)
    try:
        for verb, writer in (("cutover", "green"), ("rollback", "blue"), ("cutover", "green")):
            time.sleep(1)
            turnout.ask(verb, "app")
            time.sleep(1)
            pair.assert_writer(writer)
            # Only the server that is the writer now knows of it.
            as_root(pair.sides[writer], f"CREATE USER only_{writer}_{verb}@'%' IDENTIFIED BY '{PASSWORD}'")
            with connect(turnout, user=f"only_{writer}_{verb}", database=None) as client:
                assert one(client, "SELECT 1") == 1
            as_root(pair.sides[writer], f"DROP USER only_{writer}_{verb}@'%'")
    finally:
        comers.stop()
    assert not comers.trouble, comers.trouble[:5]
    assert all(rounds > 10 for rounds in comers.rounds.values()), comers.rounds
