"""What goes over the wire, of the fifteen traps of a MySQL proxy: one test each, which fails where the wrong behaviour is put back.

tests/mutants puts it back and demands that. The other eight are in test_mysql_state_traps.py. Where other files show more
of the same, the docstring says which.
"""
from __future__ import annotations

import hashlib
import socket
import struct
import threading
from typing import Any, Iterator

import pymysql
import pytest
from pymysql import _auth

from harness.mariadb import DATABASE, PASSWORD, MariaDb
from harness.mysql_turnout import change_user, connect, make_turnout, one
from harness.mysql_wire import (COMPRESS, CONNECT_ATTRIBUTES, CURSOR_EXISTS, DEPRECATE_EOF, FETCH, LOCAL_FILES, LONG_PASSWORD,
                                MULTI_STATEMENTS, NO_BACKSLASH_ESCAPES, PACKET_MAX, PING, PREPARE, QUERY, SET_OPTION, Answer, OtherFace, Wire,
                                execute, greeting_of, packet, parse_greeting)
from harness.turnout import Turnout
from harness.waiting import eventually

EVERY_PRODUCT = True
FORMS = (0, DEPRECATE_EOF)  # of the ends of results, as a client wants them
READABLE = {"server_tls": {"sslmode": "disable"}}  # what is said to the server, for who stands between


@pytest.fixture(scope="module")
def turnout(mariadb: MariaDb) -> Turnout:
    """With one connection: everybody's work runs on the same."""
    return make_turnout(mariadb, "transaction", 1)


@pytest.fixture(scope="module")
def older(mariadb: MariaDb) -> OtherFace:
    return OtherFace(mariadb.workspace, mariadb.port, lacks=MULTI_STATEMENTS | CONNECT_ATTRIBUTES | DEPRECATE_EOF)


@pytest.fixture(scope="module")
def before_older(older: OtherFace) -> Turnout:
    return make_turnout(older, "transaction", 1, "turnout-older", READABLE)  # type: ignore[arg-type]


def wire(server: Turnout | MariaDb, flags: int = 0, **options: Any) -> Wire:
    connected = connect(server, client_flag=flags, **options) if isinstance(server, Turnout) else server.connect(client_flag=flags, **options)
    return Wire(connected)


def state_of(turnout: Turnout, client: Wire) -> str:
    number = client.client.thread_id()
    return next(str(one_["state"]) for one_ in turnout.cli("clients", "-o", "json").json["clients"] if one_["id"] == number)


def must_wait(turnout: Turnout, client: Wire, sql: str) -> None:
    """The only connection is somebody else's, and stays so. The answer is still to be taken."""
    client.send(QUERY + sql.encode())
    eventually(lambda: client.has_answer() or state_of(turnout, client) == "waiting", "it is answered, or waits")
    assert not client.has_answer(), f"answered on a connection that another session needs: {client.answer().in_short()}"


def test_trap_01_capabilities_are_of_each_side(mariadb: MariaDb, older: OtherFace, before_older: Turnout) -> None:
    """Clients are offered what both sides have, and no server is told that we can what it has not said that it can.
    More: capabilities_test.cpp."""
    newer = 1 << 25 | 1 << 27 | 0xFFFF_FFFF << 32  # what the oldest that are supported do not have
    alone = make_turnout(mariadb, "transaction", 1, "turnout-alone")
    assert greeting_of(alone.port).capabilities & newer, "with one server it is what that one has"
    two = make_turnout(mariadb, "transaction", 1, "turnout-two", {"green": f"127.0.0.1:{older.port}"})
    offered = greeting_of(two.port).capabilities
    assert not offered & newer, f"green has not said that it can do so: {offered:#x}"
    for running in (alone, two):
        assert not greeting_of(running.port).capabilities & (COMPRESS | LOCAL_FILES)
        running.stop()

    offered = greeting_of(before_older.port).capabilities
    assert not offered & MULTI_STATEMENTS, f"offered what the server has not: {offered:#x}"
    with wire(before_older, MULTI_STATEMENTS | LOCAL_FILES) as bold:  # it does not look at what it is offered
        assert bold.query("SELECT 1; SELECT 2").ends() == ["error 1064"]
        assert bold.query("DO 1").ends() == ["ok"]
    ours = [(said, taken) for user, said, taken in older.answers if user == b"app"]  # the admin is a library's as well
    assert ours
    for said, taken in ours:
        assert not taken & ~said & ~LONG_PASSWORD, f"to a server with {said:#x} Turnout said {taken:#x}"


def story(client: Wire) -> Iterator[tuple[str, Answer]]:
    """Every kind of answer whose form depends on DEPRECATE_EOF."""
    for sql in ("SELECT 1, 'two', NULL", "SELECT 1 FROM DUAL WHERE 1 = 0", "DO 1", "SELECT nonsense", "CALL twice()",
                "SELECT REPEAT('z', 16777216) UNION ALL SELECT 'after'"):  # a value of 16 MB begins with 0xfe, as an end does
        yield sql, client.query(sql)
    for sql, flags, values in (("SELECT ?, ?, 'three'", 0, (8, 9)), ("DO 1", 0, ()), ("SELECT id FROM item WHERE id < 4 ORDER BY id", 1, ())):
        prepared = client.ask(PREPARE + sql.encode())
        number, = struct.unpack_from("<I", prepared.messages[0], 1)
        prepared.messages[0] = prepared.messages[0].replace(struct.pack("<I", number), b"....")  # each side has its own
        yield f"prepare {sql}", prepared
        yield f"execute {sql}", client.ask(execute(number, flags, *values))
    for _ in range(2):
        yield "fetch", client.ask(FETCH + struct.pack("<II", number, 2))
    for option in (0, 1):
        yield "set option", client.ask(SET_OPTION + struct.pack("<H", option))


def test_trap_02_ends_of_results_in_each_ones_form(mariadb: MariaDb, turnout: Turnout, before_older: Turnout) -> None:
    """Whichever form the server has: every answer is, byte for byte, what the client would hear from a server of its own form.
    More: translation_test.cpp and result_test.cpp, from recordings."""
    for form in FORMS:
        with wire(mariadb, form) as direct, wire(turnout, form) as newer, wire(before_older, form) as older_:
            for (what, wanted), (_, of_newer), (_, of_older) in zip(story(direct), story(newer), story(older_), strict=True):
                assert of_newer.in_short() == wanted.in_short(), (what, hex(form))
                assert of_older.in_short() == wanted.in_short(), (what, hex(form))


def test_trap_03_numbers_of_packets(mariadb: MariaDb, turnout: Turnout, before_older: Turnout) -> None:
    """They begin anew with each command, go on through its answer and through long messages, and begin again behind 255;
    what Turnout says to the server itself, and ends that it makes or leaves out, do not count. More: test_mysql_attacks.py."""
    def check(client: Wire, text: str, first: int) -> None:
        numbers = client.query(text).numbers
        assert numbers == [number % 256 for number in range(first, first + len(numbers))], text[:40]

    around = "SELECT LENGTH('')"
    for running in (turnout, before_older):
        for form in FORMS:
            with wire(running, form) as client, wire(running, form) as other:
                client.query("SET time_zone = '+01:00'")
                for text in (f"SELECT seq FROM {mariadb.numbers(700)}", "SELECT 1", "DO 1", "SELECT nonsense", "CALL twice()",
                             f"SELECT REPEAT('y', {PACKET_MAX}), 'behind'"):
                    other.query("SELECT 1")  # so the session has to bring its time zone again
                    check(client, text, 1)
                for payload in (PACKET_MAX, PACKET_MAX + 1):  # a full packet, and another behind it, even an empty one
                    check(client, f"SELECT LENGTH('{'x' * (payload - 1 - len(around))}')", 2)
                check(client, "SELECT 1", 1)


def test_trap_04_status_flags(mariadb: MariaDb) -> None:
    """An error tells no flags: what became of the transaction is asked before the connection goes to anybody. An open cursor
    keeps its connection, and flags of a session's are its own. More: test_mysql.py, exchange_test.cpp."""
    turnout = make_turnout(mariadb, "transaction", 1, "turnout-flags")
    with mariadb.connect("turnout") as admin, admin.cursor() as cursor:
        cursor.execute("CREATE PROCEDURE begins_and_fails() BEGIN START TRANSACTION; INSERT INTO item VALUES (9400, 'begun'); "
                       "SIGNAL SQLSTATE '45000'; END")
    count = "SELECT COUNT(*) FROM item WHERE id >= 9400"
    with wire(turnout) as client, wire(turnout) as other:
        assert client.query("CALL begins_and_fails()").ends() == ["error 1644"]
        must_wait(turnout, other, count)
        client.query("ROLLBACK")
        assert b"\x010" in other.answer().messages, "what was not committed is not seen"

        # Of two errors in a transaction one ends its statement, the other all of it.
        with mariadb.connect() as rival:
            rival.begin()
            one(rival, "INSERT INTO item (id) VALUES " + ", ".join(f"({9410 + n})" for n in range(50)))  # so it is not the victim
            one(rival, "UPDATE item SET name = 'rival' WHERE id = 1")
            client.query("BEGIN")
            client.query("UPDATE item SET name = 'client' WHERE id = 2")
            assert client.query("INSERT INTO item (id) VALUES (2)").ends() == ["error 1062"]
            must_wait(turnout, other, "DO 1")
            thread = threading.Thread(target=one, args=(rival, "UPDATE item SET name = 'rival' WHERE id = 2"))
            thread.start()
            assert client.query("UPDATE item SET name = 'client' WHERE id = 1").ends() == ["error 1213"]
            assert other.answer().ends() == ["ok"], "the transaction is over, and the connection free"
            thread.join(30)
            rival.rollback()

        number = client.prepare("SELECT id FROM item ORDER BY id")
        assert client.ask(execute(number, 1)).status() & CURSOR_EXISTS
        must_wait(turnout, other, "DO 1")
        client.ask(FETCH + struct.pack("<II", number, 1000))
        assert other.answer().ends() == ["ok"]

        other.query("SET sql_mode = 'NO_BACKSLASH_ESCAPES'")
        assert turnout.cli("pause", "app").code == 0
        try:
            assert other.ask(PING).status() & NO_BACKSLASH_ESCAPES, "Turnout answers itself, for this session"
            assert not client.ask(PING).status() & NO_BACKSLASH_ESCAPES
        finally:
            assert turnout.cli("resume", "app").code == 0
    turnout.stop()


SCRAMBLES = {"mysql_native_password": _auth.scramble_native_password, "caching_sha2_password": _auth.scramble_caching_sha2}


def log_in(port: int, asks_for: str, old_nonce: bytes = b"", at_switch: bool = False) -> tuple[bytes, list[bytes]]:
    """What comes of it, and every nonce that was told. `old_nonce` is answered instead of the one that was told last;
    `at_switch`: the greeting's is."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        nonces = [parse_greeting(connection.recv(4096)).nonce]
        auth = b"" if asks_for not in SCRAMBLES else SCRAMBLES[asks_for](PASSWORD.encode(), old_nonce or nonces[0])
        capabilities = LONG_PASSWORD | 1 << 3 | 1 << 9 | 1 << 15 | 1 << 19
        connection.sendall(packet(struct.pack("<IIB", capabilities, 1 << 24, 45) + bytes(23) + b"app\0" + bytes([len(auth)]) + auth
                                  + DATABASE.encode() + b"\0" + asks_for.encode() + b"\0", 1))
        while True:
            answer = connection.recv(4096)
            number, said = answer[3], answer[4:]
            if said[:2] == b"\x01\x03":  # it was right; the OK follows, perhaps already here
                said = said[6:] or connection.recv(4096)[4:]
            if said[0] != 0xFE:
                return said, nonces
            plugin, nonce = said[1:].split(b"\0", 1)
            assert nonce[-1] == 0
            nonces.append(nonce[:-1])
            auth = SCRAMBLES[plugin.decode()](PASSWORD.encode(), nonces[0] if at_switch else nonces[-1])
            connection.sendall(packet(auth, number + 1))


def test_trap_12_each_nonce_proves_one_login(mariadb: MariaDb, turnout: Turnout) -> None:
    """Nonces are Turnout's own and never come twice; a change of method and a change of user bring a new one. What a login
    teaches is kept, so that a hash in the users file logs in to servers. More: test_mysql_user.py, test_mysql97.py,
    test_mysql_passthrough.py, login_test.cpp."""
    asks_for = "mysql_native_password"
    said, nonces = log_in(turnout.port, asks_for)
    assert said[0] == 0, said
    said, more = log_in(turnout.port, asks_for, old_nonce=nonces[0])
    assert said[0] in (0x01, 0xFF), f"an answer that was right once is taken again: {said!r}"
    said, switched = log_in(turnout.port, "dialog")
    assert said[0] == 0 and len(switched) == 2, (said, switched)
    told = nonces + more + switched
    assert len(set(told)) == len(told) and all(len(nonce) == 20 and b"\0" not in nonce for nonce in told), told
    said, _ = log_in(turnout.port, "dialog", at_switch=True)
    assert said[0] in (0x01, 0xFF), f"the greeting's nonce is taken behind a change of method: {said!r}"

    with connect(turnout) as client:
        old = _auth.scramble_native_password(PASSWORD.encode(), client.salt[:20])
        with pytest.raises(pymysql.err.OperationalError) as refused:
            change_user(client, "app", "wrong", auth=old)
        assert refused.value.args[0] == 1045

    if mariadb.PRODUCT == "MySQL":
        return  # its accounts have no such hash
    twice = hashlib.sha1(hashlib.sha1(PASSWORD.encode()).digest()).hexdigest().upper()
    users = mariadb.workspace.directory("hashes") / "users.txt"
    users.write_text(f'"app" "*{twice}"\n')
    hashed = make_turnout(mariadb, "transaction", 1, "turnout-hashes", {"users": str(users)})
    with connect(hashed) as client:
        assert one(client, "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)") == "app"
    hashed.stop()


FAR = {"MariaDB": "utf8mb4_uca1400_ai_ci", "MySQL": "utf8mb4_0900_as_cs"}  # collations with a number that no login can name


def test_trap_13_character_sets_and_collations(mariadb: MariaDb, turnout: Turnout) -> None:
    """All four variables are the session's own on whatever connection it gets, as they would be directly: by login, by name,
    and back. More: test_mysql.py (by turns with others), test_mysql_user.py (a change of user)."""
    ask = "SELECT CONCAT_WS(' ', @@character_set_client, @@character_set_connection, @@character_set_results, @@collation_connection)"
    far = FAR[mariadb.PRODUCT]
    texts = ("", "SET NAMES latin1", "SET NAMES utf8mb4 COLLATE utf8mb4_bin", f"SET NAMES utf8mb4 COLLATE {far}",
             "SET NAMES utf8mb4 COLLATE utf8mb4_bin; SET NAMES utf8mb4", "SET collation_connection = latin1_bin",
             f"SET collation_connection = {far}", "SET NAMES latin1; SET character_set_results = NULL", "SET CHARACTER SET latin1")
    for charset in ("utf8mb4", "latin1"):
        with connect(turnout, charset=charset) as other:
            before = one(other, ask)
            for text in texts:
                with mariadb.connect(charset=charset) as direct, connect(turnout, charset=charset) as client:
                    assert before == one(direct, ask), charset
                    for piece in filter(None, text.split(";")):
                        one(direct, piece)
                        one(client, piece)
                    for _ in range(2):
                        assert one(other, ask) == before, text
                        assert one(client, ask) == one(direct, ask), (text, charset)


def without_middle(answer: Answer, form: int) -> list[tuple[int, bytes, str]]:
    """Behind the columns Turnout does not know yet whether another result follows, so its EOF there does not say so."""
    short = answer.in_short()
    middle = [at for at in range(1, len(short)) if short[at][1][:1] == b"\xfe" and short[at - 1][1][:4] == b"\x03def"] if form == 0 else []
    return [one_ for at, one_ in enumerate(short) if at not in middle]


def test_trap_15_several_results_files_and_options(mariadb: MariaDb, turnout: Turnout) -> None:
    """Results are followed to the last, and to an error among them; no server gets a file of a client's, even if it asks; that
    a session may send several statements is nobody else's. How long a packet may be is compared before a move:
    test_mysql_preflight.py. More: test_mysql.py, test_mysql_attacks.py."""
    two, load = "SELECT 1; SELECT 2", "LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE item"
    for form in FORMS:
        with wire(mariadb, form | MULTI_STATEMENTS) as direct, wire(turnout, form | MULTI_STATEMENTS) as client, wire(turnout, form) as other:
            for text in (two, "SELECT 1; SELECT nonsense; SELECT 3", "DO 1; CALL twice(); DO 2", "DO 1; SIGNAL SQLSTATE '45000'; DO 2", load):
                heard, wanted = (without_middle(one_.query(text), form) for one_ in (client, direct))
                assert heard == wanted, (text, hex(form))
                assert client.ask(PING).ends() == other.ask(PING).ends() == ["ok"], text

    trusting = OtherFace(mariadb.workspace, mariadb.port, claims=LOCAL_FILES)
    asked = make_turnout(trusting, "transaction", 1, "turnout-asked", READABLE)  # type: ignore[arg-type]
    with wire(asked, DEPRECATE_EOF) as client:
        answer = client.query(load)
        assert answer.ends() == (["ok"] if mariadb.PRODUCT == "MariaDB" else ["error 3948"]), f"the client is asked for a file: {answer}"
        assert client.query("SELECT 1").ends() == ["rows"]
    asked.stop()

    with wire(turnout, DEPRECATE_EOF) as client, wire(turnout, DEPRECATE_EOF) as other:
        assert client.query(two).ends() == ["error 1064"]
        client.ask(SET_OPTION + struct.pack("<H", 0))
        must_wait(turnout, other, two)
        for _ in range(2):
            assert client.query(two).ends() == ["rows", "rows"]
        client.client._force_close()
        assert other.answer().ends() == ["error 1064"], "what another session was allowed"
