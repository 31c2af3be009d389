"""MariaDB and MySQL through Turnout: long packets, broken ones, clients that vanish wherever it hurts."""
from __future__ import annotations

import socket
import struct
import threading
import time
from typing import Any, Iterator

import pymysql
import pytest

from harness.mariadb import PASSWORD, MariaDb
from harness.mysql_turnout import connect, make_turnout, one
from harness.turnout import Turnout

PACKET_MAX = 0xFFFFFF
EVERY_PRODUCT = True


@pytest.fixture(scope="module")
def turnout(mariadb: MariaDb) -> Turnout:
    return make_turnout(mariadb, "transaction", 2)


@pytest.fixture(autouse=True)
def others_go_on(turnout: Turnout, mariadb: MariaDb) -> Iterator[None]:
    """Whatever a test does to its own sessions: the next ones work, and no transaction is left behind."""
    pid = turnout.pid
    yield
    assert turnout.pid == pid
    clients = [connect(turnout) for _ in range(4)]
    for client in clients:
        assert one(client, "SELECT 6 * 7") == 42
        client.close()
    deadline = time.monotonic() + 20
    while mariadb.value("SELECT COUNT(*) FROM information_schema.innodb_trx") != 0:
        assert time.monotonic() < deadline, "a transaction is left behind"
        time.sleep(0.15)


def raw(client: Any, packet: bytes) -> None:
    client._sock.sendall(packet)


def header(length: int, number: int) -> bytes:
    return struct.pack("<I", length)[:3] + bytes([number])


# ---- long packets --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("payload", [PACKET_MAX - 1, PACKET_MAX, PACKET_MAX + 1, 2 * PACKET_MAX, 35_000_000])
def test_long_statements(turnout: Turnout, payload: int) -> None:
    with connect(turnout) as client:
        around = "SELECT LENGTH('')"
        length = payload - 1 - len(around)
        assert one(client, f"SELECT LENGTH('{'x' * length}')") == length
        assert one(client, "SELECT 1") == 1


@pytest.mark.parametrize("payload", [PACKET_MAX - 1, PACKET_MAX, PACKET_MAX + 1, 2 * PACKET_MAX, 35_000_000])
def test_long_rows(turnout: Turnout, payload: int) -> None:
    with connect(turnout) as client:
        length = payload - (4 if payload <= PACKET_MAX else 9)
        assert len(one(client, f"SELECT REPEAT('y', {length})")) == length
        assert one(client, "SELECT 1") == 1


def test_a_row_that_begins_like_an_end(turnout: Turnout) -> None:
    """A value of 16 MB begins with 0xfe, as the end of rows does."""
    with connect(turnout) as client, client.cursor() as cursor:
        cursor.execute("SELECT REPEAT('z', 16777216) UNION ALL SELECT 'after'")
        assert [len(row[0]) for row in cursor.fetchall()] == [16_777_216, 5]


def test_too_long_for_the_server(turnout: Turnout) -> None:
    with connect(turnout) as client:
        with pytest.raises(pymysql.err.MySQLError):
            one(client, f"SELECT LENGTH('{'x' * 70_000_000}')")


# ---- broken packets ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("packet", [
    pytest.param(header(1, 7) + b"\x0e", id="number of a command"),
    pytest.param(header(0, 0), id="empty"),
    pytest.param(header(PACKET_MAX, 0) + b"\x03SELECT '" + b"x" * (PACKET_MAX - 9) + header(2, 7) + b"x'", id="number of a part"),
    pytest.param(header(3, 0) + b"\x17\x01\x00", id="execute without a number"),
    pytest.param(header(1, 0) + b"\x18", id="long data without a number"),
    pytest.param(header(PACKET_MAX, 0) + b"\x17\x63\x00\x00\x00", id="long execution of nothing"),
    pytest.param(header(PACKET_MAX, 0) + b"\xee", id="long unknown command"),
])
def test_broken_packets_end_their_session(turnout: Turnout, packet: bytes) -> None:
    client = connect(turnout)
    raw(client, packet)
    client._sock.settimeout(20)
    received = b""
    try:
        while data := client._sock.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    assert b"SELECT" not in received
    assert len(received) == 0 or b"\xff" in received, received[:100]


@pytest.mark.parametrize("packet,number", [
    (header(1, 0) + b"\xee", 1047),  # unknown
    (header(5, 0) + b"\x17\x63\x00\x00\x00", 1243),  # a statement that is none
    (header(10, 0) + b"\x17\x63\x00\x00\x00\x00\x01\x00\x00\x00", 1243),
    (header(1, 0) + b"\x08", 0),  # shutdown
])
def test_what_no_honest_client_sends_is_refused(turnout: Turnout, packet: bytes, number: int) -> None:
    with connect(turnout) as client:
        raw(client, packet)
        client._sock.settimeout(20)
        answer = b""
        while b"\xff" not in answer:
            part = client._sock.recv(65536)
            assert part, "the session has ended"
            answer += part
        at = answer.index(b"\xff")
        if number:
            assert struct.unpack("<H", answer[at + 1:at + 3])[0] == number


@pytest.mark.parametrize("bytes_", [
    b"", b"\x00", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 300, header(PACKET_MAX, 1), header(0, 1), header(4, 1) + b"\x00" * 4,
    header(32, 1) + b"\xff\xff\xff\xff" + b"\x00" * 28, header(32, 9) + b"\x0d\xa2\x3a\x00" + b"\x00" * 28,
    header(60, 1) + struct.pack("<IIB", 0x003AA20D, 1 << 24, 45) + b"\x00" * 23 + b"app\x00" + b"\xfe" + b"\xff" * 23,
], ids=range(10))
def test_broken_logins(turnout: Turnout, bytes_: bytes) -> None:
    for closes_at_once in (True, False):
        with socket.create_connection(("127.0.0.1", turnout.port), timeout=20) as connection:
            greeting = connection.recv(4096)
            assert greeting[4] == 10
            connection.sendall(bytes_)
            if closes_at_once:
                continue
            try:
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
            except OSError as error:
                assert not isinstance(error, TimeoutError), "it hangs"


# ---- clients that vanish -------------------------------------------------------------------------------------------

def vanish(client: Any) -> None:
    client._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client._force_close()


def test_in_a_transaction(turnout: Turnout, mariadb: MariaDb) -> None:
    for i in range(6):
        client = connect(turnout)
        client.begin()
        one(client, f"INSERT INTO item VALUES ({9000 + i}, 'never')")
        vanish(client)
    assert mariadb.value("SELECT COUNT(*) FROM shop.item WHERE id >= 9000 AND id < 9100") == 0


def test_in_the_midst_of_a_statement(turnout: Turnout) -> None:
    for cut in (1, 4, 5, 12):
        client = connect(turnout)
        raw(client, (header(9, 0) + b"\x03SELECT 1")[:cut])
        vanish(client)
    client = connect(turnout)
    raw(client, header(PACKET_MAX, 0) + b"\x03SELECT '" + b"x" * 3_000_000)
    vanish(client)


def test_half_a_statement_occupies_no_connection(turnout: Turnout) -> None:
    slow = [connect(turnout) for _ in range(5)]
    for client in slow:
        raw(client, header(9, 0) + b"\x03SELE")
    with connect(turnout) as other:
        for _ in range(5):
            assert one(other, "SELECT 1") == 1
    for client in slow:
        raw(client, b"CT 1")
        client._sock.settimeout(20)
        assert client._sock.recv(65536)
        vanish(client)


def test_without_reading_the_answer(turnout: Turnout, mariadb: MariaDb) -> None:
    clients = []
    for _ in range(2):
        client = connect(turnout)
        sql = b"\x03" + f"SELECT seq, REPEAT('x', 1000) FROM {mariadb.numbers(300_000)}".encode()
        raw(client, header(len(sql), 0) + sql)
        clients.append(client)
    for client in clients:
        assert client._sock.recv(1000)
        vanish(client)


def test_while_it_waits_for_a_connection(turnout: Turnout) -> None:
    holders = [connect(turnout) for _ in range(2)]
    for holder in holders:
        holder.begin()
        one(holder, "SELECT COUNT(*) FROM item")
    waiting = [connect(turnout) for _ in range(3)]
    for client in waiting:
        raw(client, header(9, 0) + b"\x03SELECT 1")
    deadline = time.monotonic() + 20
    while sum(client["state"] == "waiting" for client in turnout.cli("clients", "-o", "json").json["clients"]) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for client in waiting:
        vanish(client)
    for holder in holders:
        holder.rollback()
        holder.close()


def test_while_it_is_held(turnout: Turnout) -> None:
    client = connect(turnout)
    assert one(client, "SELECT 1") == 1
    assert turnout.cli("pause", "app").code == 0
    try:
        raw(client, header(9, 0) + b"\x03SELECT 1")
        deadline = time.monotonic() + 20
        while not any(one_["state"] == "held" for one_ in turnout.cli("clients", "-o", "json").json["clients"]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        vanish(client)
    finally:
        assert turnout.cli("resume", "app").code == 0


def test_many_wrong_logins_at_once(turnout: Turnout) -> None:
    refused: list[int] = []

    def try_it(password: str) -> None:
        try:
            connect(turnout, password=password).close()
        except pymysql.err.OperationalError as error:
            refused.append(error.args[0])

    threads = [threading.Thread(target=try_it, args=(PASSWORD[:i],)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert refused == [1045] * 20


def test_a_server_connection_that_is_killed(turnout: Turnout, mariadb: MariaDb) -> None:
    with connect(turnout) as client:
        client.begin()
        victim = one(client, "SELECT CONNECTION_ID()")
        mariadb.value(f"KILL {victim}")
        with pytest.raises(pymysql.err.MySQLError):
            one(client, "SELECT 1")
