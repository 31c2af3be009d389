"""COM_CHANGE_USER through Turnout: another user, another pool, nothing left of the first one."""
from __future__ import annotations

import struct
import time
from typing import Any

import pymysql
import pytest
from pymysql import _auth

from harness.certificates import Authority
from harness.mariadb import DATABASE, PASSWORD, MariaDb
from harness.mysql_turnout import change_user, connect, make_turnout, one
from harness.turnout import Turnout

EVERY_PRODUCT = True


@pytest.fixture(scope="module", params=["transaction", "session"])
def turnout(mariadb: MariaDb, request: pytest.FixtureRequest) -> Turnout:
    return make_turnout(mariadb, request.param, 8)


def who(connection: Any) -> tuple[str, str | None]:
    return one(connection, "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"), one(connection, "SELECT DATABASE()")


def test_it_is_another_user_with_another_database(turnout: Turnout) -> None:
    with connect(turnout) as client:
        number = client.thread_id()
        assert who(client) == ("app", DATABASE)
        change_user(client, "reader")
        assert who(client) == ("reader", DATABASE)
        with pytest.raises(pymysql.err.MySQLError):
            one(client, "INSERT INTO item (name) VALUES ('not mine')")
        change_user(client, "app", database="other")
        assert who(client) == ("app", "other")
        change_user(client, "app", database="")
        assert who(client) == ("app", None)
        change_user(client, "reader")
        seen = {entry["id"]: entry["user"] for entry in turnout.cli("clients", "-o", "json").json["clients"]}
        assert seen[number] == "reader", (number, seen)


def test_it_is_often_done(turnout: Turnout, mariadb: MariaDb) -> None:
    clients = [connect(turnout) for _ in range(6)]
    for round_ in range(10):
        for at, client in enumerate(clients):
            user = ("app", "reader")[(round_ + at) % 2]
            change_user(client, user)
            assert who(client) == (user, DATABASE)
    for client in clients:
        client.close()
    for user in ("app", "reader"):
        assert mariadb.value(f"SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{user}' AND db = '{DATABASE}'") <= 16


@pytest.mark.parametrize("user", ["app", "reader"])
def test_nothing_is_left_of_the_session(turnout: Turnout, mariadb: MariaDb, user: str) -> None:
    limit, value = mariadb.TIME_LIMIT
    with connect(turnout) as client:
        for sql in ("SET @mine = 5", f"SET time_zone = '+05:00', SESSION {limit} = {value}", "SELECT GET_LOCK('mine', 1)",
                    "CREATE TEMPORARY TABLE temporary_item (n INT)", "PREPARE mine FROM 'SELECT 8'"):
            one(client, sql)
        change_user(client, user)
        with connect(turnout) as other:
            assert one(other, "SELECT GET_LOCK('mine', 0)") == 1, "nobody has it any more, from the first moment"
        assert one(client, "SELECT @mine") is None
        assert one(client, "SELECT @@time_zone") == "SYSTEM"
        assert one(client, f"SELECT @@{limit}") == 0
        for sql in ("SELECT COUNT(*) FROM temporary_item", "EXECUTE mine"):
            with pytest.raises(pymysql.err.MySQLError):
                one(client, sql)
    clients = turnout.cli("clients", "-o", "json").json["clients"]
    assert not any(entry["pinned_by"] for entry in clients if entry["user"] == user and entry["state"] == "idle"), clients


def test_prepared_statements_are_forgotten(turnout: Turnout) -> None:
    with connect(turnout) as client:
        client._execute_command(0x16, b"SELECT 5")
        packet = client._read_packet()
        number = struct.unpack("<I", packet._data[1:5])[0]
        for _ in range(2):  # its column, and the EOF behind it
            client._read_packet()
        change_user(client, "app")
        client._execute_command(0x17, struct.pack("<IBI", number, 0, 1))
        with pytest.raises(pymysql.err.MySQLError) as unknown:
            client._read_packet()
        assert unknown.value.args[0] == 1243


def test_a_transaction_is_rolled_back(turnout: Turnout, mariadb: MariaDb) -> None:
    with connect(turnout) as client, connect(turnout) as other:
        client.begin()
        one(client, "INSERT INTO item VALUES (8100, 'never')")
        change_user(client, "app")
        # The row's lock is gone when the change is answered: this one does not wait for it.
        one(other, "SET innodb_lock_wait_timeout = 1")
        one(other, "INSERT INTO item VALUES (8100, 'somebody else')")
        assert one(client, "SELECT name FROM item WHERE id = 8100") == "somebody else"
        one(other, "DELETE FROM item WHERE id = 8100")
    assert mariadb.value("SELECT COUNT(*) FROM information_schema.innodb_trx") == 0


def test_character_sets_are_those_of_the_change(turnout: Turnout) -> None:
    with connect(turnout) as client:
        assert one(client, "SELECT @@character_set_client") == "utf8mb4"
        change_user(client, "app", collation=8)
        assert one(client, "SELECT CONCAT(@@character_set_client, @@collation_connection)") == "latin1latin1_swedish_ci"
        change_user(client, "app", collation=33)
        assert one(client, "SELECT @@character_set_client") == "utf8mb3"
        change_user(client, "app", collation=2304)  # a number that no login can name
        assert one(client, "SELECT @@character_set_client") == "utf8mb4"


def refusal_of(connection: Any, user: str, password: str = PASSWORD, database: str = DATABASE) -> tuple[int, str]:
    with pytest.raises(pymysql.err.MySQLError) as refused:
        change_user(connection, user, password, database)
    return refused.value.args


@pytest.mark.parametrize("user,password", [("reader", "wrong"), ("nobody", PASSWORD), ("reader", "")])
def test_a_refusal_goes_back_to_the_former_user_and_tells_nothing(turnout: Turnout, mariadb: MariaDb, user: str, password: str) -> None:
    if not mariadb.GOES_BACK_TO_THE_FORMER_USER:
        pytest.skip("MySQL ends the connection")
    client = connect(turnout)
    one(client, "USE other")
    one(client, "SET @mine = 5, time_zone = '+05:00'")
    one(client, "CREATE TEMPORARY TABLE temporary_item (n INT)")
    client.begin()
    one(client, "INSERT INTO shop.item VALUES (8101, 'never')")
    number, text = refusal_of(client, user, password)
    assert number == 1045 and text.startswith(f"Access denied for user '{user}'@'"), text
    assert who(client) == ("app", "other"), "as MariaDB does"
    assert [one(client, f"SELECT {what}") for what in ("@mine", "@@time_zone", "@@character_set_client", "@@in_transaction")] == [None, "SYSTEM", "latin1", 0]
    with pytest.raises(pymysql.err.MySQLError):
        one(client, "SELECT * FROM temporary_item")
    with connect(turnout) as other:
        assert one(other, "SELECT COUNT(*) FROM item WHERE id = 8101") == 0
    deadline = time.monotonic() + 10
    while mariadb.value("SELECT COUNT(*) FROM information_schema.innodb_trx") != 0:
        assert time.monotonic() < deadline
        time.sleep(0.15)


def test_the_servers_own_refusal_reaches_the_client(turnout: Turnout, mariadb: MariaDb) -> None:
    with mariadb.connect() as direct, connect(turnout) as client:
        assert refusal_of(client, "app", database="missing") == refusal_of(direct, "app", database="missing")
        if mariadb.GOES_BACK_TO_THE_FORMER_USER:
            assert who(client) == who(direct) == ("app", DATABASE)
            return
        for connection in (direct, client):
            with pytest.raises(pymysql.err.MySQLError):
                one(connection, "SELECT 1")


def test_three_refusals_are_enough(turnout: Turnout, mariadb: MariaDb) -> None:
    if not mariadb.GOES_BACK_TO_THE_FORMER_USER:
        pytest.skip("MySQL ends the connection")
    story = []
    for source in (mariadb.connect(), connect(turnout)):
        with source as client:
            seen = [refusal_of(client, "reader", "wrong")[0] for _ in range(2)]
            change_user(client, "reader")
            seen += [who(client), refusal_of(client, "reader", "wrong")[0], refusal_of(client, "app")[0], who(client), refusal_of(client, "app")[0]]
            story.append(seen)
    assert story[0] == story[1] == [1045, 1045, ("reader", DATABASE), 1045, 1047, ("reader", DATABASE), 1047]


def test_what_came_with_the_command_is_no_proof(turnout: Turnout) -> None:
    """The greeting's nonce has served one password: a right answer to it is not taken again."""
    with connect(turnout) as client:
        old = _auth.scramble_native_password(PASSWORD.encode(), client.salt[:20])
        with pytest.raises(pymysql.err.OperationalError) as refused:
            change_user(client, "app", "wrong", auth=old)
        assert refused.value.args[0] == 1045


@pytest.mark.parametrize("packet", [
    b"\x11", b"\x11app", b"\x11app\x00\x14abc", b"\x11app\x00\x00shop", b"\x11" + b"x" * 80_000,
    b"\x11app\x00\x00shop\x00\x2d\x00mysql_native_password\x00\xfd\xff\xff\xff",
], ids=range(6))
def test_broken_changes_end_one_session(turnout: Turnout, packet: bytes) -> None:
    client = connect(turnout)
    client.begin()
    one(client, "SELECT COUNT(*) FROM item")
    client._sock.sendall(struct.pack("<I", len(packet))[:3] + b"\x00" + packet)
    client._sock.settimeout(20)
    try:
        while client._sock.recv(65536):
            pass
    except ConnectionResetError:
        pass
    with connect(turnout) as other:
        assert one(other, "SELECT 1") == 1


def test_nothing_may_stand_behind_it(turnout: Turnout) -> None:
    client = connect(turnout)
    body = b"\x11app\x00\x00shop\x00\x2d\x00mysql_native_password\x00\x00"
    client._sock.sendall(struct.pack("<I", len(body))[:3] + b"\x00" + body + b"\x01\x00\x00\x00\x0e")
    client._sock.settimeout(20)
    assert b"\xfe" != client._sock.recv(65536)[4:5], "a login was begun"


def test_changes_count_as_one_client_and_have_a_deadline(mariadb: MariaDb) -> None:
    turnout = make_turnout(mariadb, "transaction", 2, "few-clients", {"limits": {"clients": 3, "login_timeout": "1s"}})
    with connect(turnout) as client:
        for _ in range(6):
            change_user(client, "reader")
        for _ in range(2):
            with connect(turnout) as other:
                refusal_of(other, "reader", "wrong")
        half = connect(turnout)
        half._execute_command(0x11, b"reader\x00\x00shop\x00\x2d\x00mysql_native_password\x00\x00")
        assert half._read_packet().is_auth_switch_request()
        half._sock.settimeout(20)
        assert b"login not complete" in half._sock.recv(65536)
        assert half._sock.recv(65536) == b""
        others = [connect(turnout) for _ in range(2)]
        with pytest.raises(pymysql.err.OperationalError) as full:
            connect(turnout)
        assert full.value.args[0] == 1040
        for other in others:
            other.close()


def test_inside_tls(mariadb: MariaDb) -> None:
    authority = Authority(mariadb.workspace.directory("change-user-tls"))
    cert, key = authority.server()
    turnout = make_turnout(mariadb, "transaction", 2, "tls", {
        "client_tls": {"sslmode": "require", "cert_file": str(cert), "key_file": str(key)}})
    with connect(turnout, ssl={"ca": str(authority.certificate)}, ssl_verify_identity=True) as client:
        change_user(client, "reader")
        assert who(client) == ("reader", DATABASE)
        change_user(client, "app")
        assert who(client) == ("app", DATABASE)
