"""What a preflight of a MySQL pair says of who is there, and of what Turnout itself has seen: migrations, other readers of the log, every user's login, rehearsals, a warm green."""
from __future__ import annotations

import struct
import threading
from typing import Iterator

import pymysql
import pytest

from harness.mariadb import DATABASE, PASSWORD
from harness.mariadb_pair import MariaPair, make_pair_turnout
from harness.mysql_products import PRODUCTS, as_root, pair_of
from harness.mysql_turnout import connect, one
from harness.shadowed import off, on, report, wait_for
from harness.turnout import REFUSED, Turnout
from harness.waiting import eventually
from test_mysql_preflight import check


@pytest.fixture(scope="module", params=PRODUCTS)
def pair(request: pytest.FixtureRequest) -> Iterator[MariaPair]:
    with pair_of(request.param) as made:
        yield made


@pytest.fixture(scope="module")
def turnout(pair: MariaPair) -> Turnout:
    return make_pair_turnout(pair)


def test_a_running_migration(pair: MariaPair, turnout: Turnout) -> None:
    assert check(turnout, "running_ddl")[0] == "PASS"
    with connect(turnout) as reader, pair.blue.connect("turnout") as migration:
        reader.begin()
        one(reader, "SELECT COUNT(*) FROM ledger")  # the table is in use until it ends
        thread = threading.Thread(target=lambda: migration.cursor().execute("/* night job */ ALTER TABLE ledger ADD COLUMN more INT"))
        thread.start()
        eventually(lambda: check(turnout, "running_ddl")[0] == "FAIL", "the ALTER is seen")
        verdict, measured = check(turnout, "running_ddl")
        assert verdict == "FAIL" and "ALTER TABLE ledger" in measured, measured
        reader.rollback()
        thread.join()
    assert check(turnout, "running_ddl")[0] == "PASS"
    pair.execute("blue", f"ALTER TABLE {DATABASE}.ledger DROP COLUMN more")
    pair.caught_up()


def test_another_reader_of_the_log(pair: MariaPair, turnout: Turnout) -> None:
    verdict, measured = check(turnout, "replication_clients")
    assert verdict == "PASS", measured
    status = "SHOW BINARY LOG STATUS" if pair.blue.PRODUCT == "MySQL" else "SHOW MASTER STATUS"
    (file, *_), = pair.execute("blue", status)
    as_root(pair.blue, f"CREATE USER capture@'127.0.0.%' IDENTIFIED BY '{PASSWORD}'", "GRANT REPLICATION SLAVE ON *.* TO capture@'127.0.0.%'")
    with pair.blue.connect("capture", None) as capture:
        for name in ("master", "source"):
            one(capture, f"SET @{name}_binlog_checksum = 'CRC32'")
        number = capture.thread_id()
        capture._execute_command(0x12, struct.pack("<IHI", 4, 0, 4711) + str(file).encode())
        eventually(lambda: check(turnout, "replication_clients")[0] == "WARN", "it is seen")
        assert f"(id {number})" in check(turnout, "replication_clients")[1]
        pair.execute("blue", f"KILL CONNECTION {number}")
        capture._force_close()
    eventually(lambda: check(turnout, "replication_clients")[0] == "PASS", "it is gone")
    as_root(pair.blue, "DROP USER capture@'127.0.0.%'")


def test_every_users_login(pair: MariaPair, turnout: Turnout) -> None:
    with connect(turnout) as client:
        assert one(client, "SELECT 1") == 1
    verdict, measured = check(turnout, "auth.every_user")
    assert verdict == "PASS" and measured != "0 accounts", measured
    as_root(pair.green, "ALTER USER app@'%' IDENTIFIED BY 'another one'")
    verdict, measured = check(turnout, "auth.every_user")
    assert verdict == "FAIL" and "app in" in measured and "1045" in measured, measured
    turnout.ask("cutover", "app", expect=REFUSED)
    # Refused by the writer as well: that is nothing that a move would change. Both sides get the same hash.
    for password in ("another one", PASSWORD):
        with pymysql.connect(unix_socket=f"{pair.blue.home}/socket", user="root", autocommit=True) as root:
            one(root, f"ALTER USER app@'%' IDENTIFIED BY '{password}'")
        pair.caught_up()
        assert check(turnout, "auth.every_user")[0] == "PASS"


def test_a_rehearsal_and_a_warm_green(pair: MariaPair, turnout: Turnout) -> None:
    assert check(turnout, "rehearsal.recent") == ("WARN", "never")
    assert check(turnout, "green.warm") == ("WARN", "not read lately")
    turnout.ask("cutover", "app", "--rehearse")
    verdict, measured = check(turnout, "rehearsal.recent")
    assert verdict == "PASS" and measured == "0.0 days ago", measured
    pair.execute("blue", f"INSERT INTO {DATABASE}.counter VALUES (1, 1), (2, 2)")
    pair.caught_up()
    on(turnout)
    try:
        with connect(turnout) as client:
            wait_for(turnout, lambda found: found["runs"] >= 1200, lambda: [one(client, "SELECT value FROM counter WHERE session = 1") for _ in range(50)])
        verdict, measured = check(turnout, "green.warm")
        assert report(turnout)["side"] == "green" and int(measured.split()[0]) >= 1000, measured
        assert verdict == ("PASS" if ", 0 of them slower" in measured else "WARN"), measured  # on a busy machine it may be
    finally:
        off(turnout)
