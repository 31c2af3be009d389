"""What only MySQL's own server has: caching_sha2_password towards it."""
from __future__ import annotations

import pytest

from harness.mariadb import MariaDb
from harness.mysql_products import PRODUCTS
from harness.mysql_turnout import connect, make_turnout, one

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
