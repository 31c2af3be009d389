"""What only MySQL's own server has: caching_sha2_password towards it."""
from __future__ import annotations

import time

import pytest

from harness.mariadb import MariaDb
from harness.mariadb_pair import make_pair_turnout
from harness.mysql97_pair import Mysql97Pair
from harness.mysql_products import PRODUCTS
from harness.mysql_turnout import connect, make_turnout, one
from harness.waiting import eventually

pytestmark = pytest.mark.parametrize("mariadb", [product for product in PRODUCTS if product != "mariadb"], indirect=True, scope="module")


@pytest.mark.parametrize("sslmode", ["disable", "prefer", "require"])
def test_a_password_that_the_server_does_not_remember(mariadb: MariaDb, sslmode: str) -> None:
    """It wants the whole password then: inside TLS as it is, without TLS encrypted with the server's key."""
    turnout = make_turnout(mariadb, "transaction", 2, f"towards-{sslmode}", {"server_tls": {"sslmode": sslmode}})
    for _ in range(2):
        mariadb.value("FLUSH PRIVILEGES")
        mariadb.end_sessions_of("app")
        with connect(turnout) as client:
            cipher = one(client, "SELECT VARIABLE_VALUE FROM performance_schema.session_status WHERE VARIABLE_NAME = 'Ssl_cipher'")
            assert bool(cipher) == (sslmode != "disable"), cipher


def test_a_fence_of_somebody_else_stays(mariadb: MariaDb) -> None:
    """super_read_only brings read_only along, of which the server then says that nobody has set it."""
    pair = Mysql97Pair(mariadb.workspace, name="watched-")
    pair.start()
    turnout = make_pair_turnout(pair)
    turnout.ask("prepare", "app")
    pair.blue.restart()  # nobody has set anything on it since
    eventually(lambda: turnout.status()["writer"] == "blue" and not pair.read_only("blue"), "blue is back", timeout_s=20)
    time.sleep(1)  # it has been seen as the writer
    pair.execute("blue", "SET GLOBAL super_read_only = ON")
    eventually(lambda: "blue, the writer, is read-only" in turnout.log_file.read_text(), "it is told", timeout_s=10)
    time.sleep(1)
    assert pair.read_only("blue"), "that was not for Turnout to undo"
    turnout.stop()
    for server in pair.sides.values():
        server.stop()
