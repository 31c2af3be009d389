"""`users: passthrough` of MySQL and MariaDB: clients' passwords are proven by logins to the writer, and nobody writes them down."""
from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest

from harness.certificates import Authority
from harness.mariadb import DATABASE, PASSWORD, MariaDb, run_client
from harness.mysql_products import as_root
from harness.mysql_turnout import change_user, connect, make_turnout, one
from harness.turnout import Turnout
from harness.waiting import eventually

EVERY_PRODUCT = True
OTHER_PASSWORD = "battery, horse correct"


def passing(mariadb: MariaDb, mode: str, name: str, **changes: Any) -> Turnout:
    return make_turnout(mariadb, mode, 8, f"passing-{name}", {"users": "passthrough"} | changes)


@pytest.fixture(scope="module", params=["transaction", "session"])
def turnout(mariadb: MariaDb, request: pytest.FixtureRequest) -> Turnout:
    return passing(mariadb, request.param, request.param)


def refusal(connecting: Any) -> tuple[int, str]:
    with pytest.raises(pymysql.err.MySQLError) as refused:
        connecting()
    return refused.value.args[0], refused.value.args[1]


def make_user(mariadb: MariaDb, name: str, more: str = "", by: str = "") -> str:
    by = by or f"BY '{PASSWORD}'"
    as_root(mariadb, f"DROP USER IF EXISTS {name}@'%'", f"CREATE USER {name}@'%' IDENTIFIED {by} {more}",
            f"GRANT SELECT ON {DATABASE}.* TO {name}@'%'")
    return name


def logins_of(mariadb: MariaDb) -> int:
    """Connections that the server has taken so far, ours to ask among them."""
    return int(mariadb.value("SELECT VARIABLE_VALUE FROM "
                             + ("information_schema" if mariadb.PRODUCT == "MariaDB" else "performance_schema")
                             + ".global_status WHERE VARIABLE_NAME = 'Connections'"))


# ---- who gets in


def test_whoever_the_server_lets_in(turnout: Turnout, mariadb: MariaDb) -> None:
    for _ in range(2):  # proven by a server, then known
        for user in ("app", "reader"):
            with connect(turnout, user=user) as client:
                assert one(client, "SELECT CURRENT_USER()") == f"{user}@%"
                assert one(client, "SELECT name FROM item WHERE id = 1") == "one"
    with connect(turnout) as client, pytest.raises(pymysql.err.MySQLError):
        one(client, "SELECT * FROM mysql.user")
    made = run_client(turnout.port, "SELECT 5")  # a client of libmariadb, which begins with mysql_native_password
    assert made.stdout.split() == ["5", "5"], made.stderr


def test_what_is_known_needs_no_login(turnout: Turnout, mariadb: MariaDb) -> None:
    with connect(turnout) as first:
        assert one(first, "SELECT 1") == 1
        before = logins_of(mariadb)
        for _ in range(20):
            with connect(turnout) as client:
                assert one(client, "SELECT 1") == 1
        assert logins_of(mariadb) - before <= 8, "the pool's, at most"


@pytest.mark.parametrize("user,password", [("app", "wrong"), ("nobody", PASSWORD), ("reader", "wrong"), ("app", ""), ("nobody", "")])
def test_the_refusal_is_the_servers_and_names_the_client(turnout: Turnout, mariadb: MariaDb, user: str, password: str) -> None:
    """From an address of its own, which the server has never seen."""
    options = {"user": user, "password": password}
    said = refusal(lambda: connect(turnout, bind_address="127.0.0.5", **options))
    direct = refusal(lambda: pymysql.connect(host="127.0.0.1", port=mariadb.port, bind_address="127.0.0.5", database=DATABASE, **options))
    assert said == direct == (1045, f"Access denied for user '{user}'@'127.0.0.5' (using password: {'YES' if password else 'NO'})")


def test_other_refusals_are_the_servers(turnout: Turnout, mariadb: MariaDb) -> None:
    make_user(mariadb, "locked", "ACCOUNT LOCK")
    make_user(mariadb, "poor")
    as_root(mariadb, f"REVOKE SELECT ON {DATABASE}.* FROM poor@'%'")
    for options in ({"database": "missing"}, {"user": "turnout", "database": "missing"}, {"user": "locked"}, {"user": "locked", "password": "wrong"}, {"user": "poor"}):
        options = {"user": "app", "password": PASSWORD, "database": DATABASE} | options
        said = [refusal(lambda: connect(turnout, **options)) for _ in range(2)]
        direct = refusal(lambda: pymysql.connect(host="127.0.0.1", port=mariadb.port, **options))
        assert said == [direct, direct], options
    with connect(turnout, database=None) as client:
        assert one(client, "SELECT DATABASE()") is None


def test_an_expired_password(turnout: Turnout, mariadb: MariaDb) -> None:
    make_user(mariadb, "late", "PASSWORD EXPIRE")
    said = refusal(lambda: connect(turnout, user="late"))
    if mariadb.PRODUCT == "MySQL":
        assert said == refusal(lambda: mariadb.connect("late"))
        assert said[0] == 1862
    else:  # MariaDB lets it in, and then refuses whatever Turnout asks
        assert said[0] == 1820, said


def test_an_account_without_a_password_is_not_passed_through(turnout: Turnout, mariadb: MariaDb) -> None:
    """It is known by the host that it comes from, which is Turnout's for everybody."""
    make_user(mariadb, "open_to_all", by="BY ''")
    pymysql.connect(host="127.0.0.1", port=mariadb.port, user="open_to_all").close()
    assert refusal(lambda: connect(turnout, user="open_to_all", password=""))[0] == 1045
    assert refusal(lambda: connect(turnout, user="open_to_all", password="any"))[0] == 1045


def test_every_plugin_of_the_server(turnout: Turnout, mariadb: MariaDb) -> None:
    if mariadb.PRODUCT == "MariaDB":
        with mariadb.connect("turnout", None) as admin:
            one(admin, "INSTALL PLUGIN IF NOT EXISTS ed25519 SONAME 'auth_ed25519'")
        accounts = [f"VIA ed25519 USING PASSWORD('{PASSWORD}')", f"VIA mysql_native_password USING PASSWORD('{PASSWORD}')",
                    f"VIA ed25519 USING PASSWORD('{OTHER_PASSWORD}') OR mysql_native_password USING PASSWORD('{PASSWORD}')"]
    else:
        plugins = mariadb.value("SELECT GROUP_CONCAT(PLUGIN_NAME) FROM information_schema.PLUGINS "
                                "WHERE PLUGIN_TYPE = 'AUTHENTICATION' AND PLUGIN_STATUS = 'ACTIVE'").split(",")
        accounts = [f"WITH {plugin} BY '{PASSWORD}'" for plugin in ("caching_sha2_password", "sha256_password", "mysql_native_password")
                    if plugin in plugins]
        assert accounts
    for at, account in enumerate(accounts):
        user = make_user(mariadb, f"kind{at}", by=account)
        for _ in range(2):
            with connect(turnout, user=user) as client:
                assert one(client, "SELECT CURRENT_USER()") == f"{user}@%", account
        assert refusal(lambda: connect(turnout, user=user, password="wrong"))[0] == 1045
        # MariaDB asks who is nobody for the plugin of somebody, which PyMySQL may not have.
        as_root(mariadb, f"DROP USER {user}@'%'")


# ---- where it is kept


def places_of(turnout: Turnout, secret: bytes) -> list[str]:
    """The flags of each mapping of the process that has these bytes, once for each time it has them."""
    places = []
    with open(f"/proc/{turnout.pid}/smaps") as maps, open(f"/proc/{turnout.pid}/mem", "rb", buffering=0) as memory:
        region, rights = (0, 0), ""
        for line in maps:
            words = line.split()
            if "-" in words[0] and not words[0].endswith(":"):
                region, rights = tuple(int(edge, 16) for edge in words[0].split("-")), words[1]
            elif words[0] == "VmFlags:" and rights.startswith("rw"):
                memory.seek(region[0])
                data = b""
                while len(data) < region[1] - region[0]:
                    data += memory.read(region[1] - region[0] - len(data))
                places += [" ".join(words[1:])] * data.count(secret)
    return places


def test_a_password_lies_in_locked_memory_only(turnout: Turnout, mariadb: MariaDb) -> None:
    secret = "a word that nobody else has here"
    user = make_user(mariadb, "keeper", by=f"BY '{secret}'")
    for _ in range(3):
        with connect(turnout, user=user, password=secret) as client:
            assert one(client, "SELECT 1") == 1
    places = places_of(turnout, secret.encode())
    assert places, "it is kept"
    assert all({"lo", "dd", "wf"} <= set(flags.split()) for flags in places), places
    as_root(mariadb, f"DROP USER {user}@'%'")
    mariadb.end_sessions_of(user)
    eventually(lambda: mariadb.sessions_of(user) == 0, "its sessions are gone")
    with pytest.raises(pymysql.err.MySQLError):
        with connect(turnout, user=user, password=secret) as client:
            one(client, "SELECT 1")
    eventually(lambda: not places_of(turnout, secret.encode()), "it is forgotten, and nothing is left of it", timeout_s=10)


# ---- how it may come here


def plainest_login(turnout: Turnout, user: str, password: str) -> tuple[int, str]:
    """A client of mysql_native_password and nothing else, without CLIENT_PLUGIN_AUTH: its error number, and what it heard."""
    from pymysql import _auth
    with closing(socket.create_connection(("127.0.0.1", turnout.port), 10)) as link:
        link.settimeout(20)

        def packet() -> bytes:
            data = b""
            while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:3], "little"):
                more = link.recv(4096)
                assert more, data
                data += more
            return data[4:]

        greeting = packet()
        at = greeting.index(b"\0", 1) + 5
        nonce = greeting[at:at + 8] + greeting[at + 27:at + 39]
        answer = _auth.scramble_native_password(password.encode(), nonce)
        body = struct.pack("<IIB23x", 0x1 | 0x4 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x10000 | 0x20000, 1 << 24, 45)
        body += user.encode() + b"\0" + bytes([len(answer)]) + answer + DATABASE.encode() + b"\0"
        link.sendall(struct.pack("<I", len(body))[:3] + b"\1" + body)
        said = packet()
        return (0, "") if said[0] == 0 else (struct.unpack("<H", said[1:3])[0], said[3:].decode())


def test_a_client_that_cannot_send_it_whole(mariadb: MariaDb) -> None:
    """There is no way for its password to a server; once the password is known from somebody else, there need not be. A restart
    of Turnout forgets all of it."""
    turnout = passing(mariadb, "transaction", "plainest")
    for password in (PASSWORD, "wrong"):
        assert plainest_login(turnout, "app", password)[0] == 1251
    connect(turnout).close()
    assert plainest_login(turnout, "app", PASSWORD) == (0, "")
    assert plainest_login(turnout, "app", "wrong")[0] == plainest_login(turnout, "nobody", "wrong")[0] == 1251
    turnout.restart()
    assert plainest_login(turnout, "app", PASSWORD)[0] == 1251
    assert refusal(lambda: connect(turnout, password="wrong"))[0] == 1045
    connect(turnout).close()
    kept = [path for path in Path(turnout.home).rglob("*") if path.is_file() and path.name not in ("admin.pass", "users.txt")]
    assert kept and not any(PASSWORD.encode() in path.read_bytes() for path in kept), "in memory only"


class Overhearing:
    """Between a client and Turnout: all that is said in the clear."""

    def __init__(self, port: int) -> None:
        self.said, self._port = b"", port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self.said += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        self._listener.close()


def test_no_password_is_heard_outside_of_tls(turnout: Turnout) -> None:
    with closing(Overhearing(turnout.port)) as ear:
        for password in (PASSWORD, OTHER_PASSWORD):
            try:
                pymysql.connect(host="127.0.0.1", port=ear.port, user="app", password=password, database=DATABASE).close()
            except pymysql.err.OperationalError as refused:
                assert refused.args[0] == 1045 and password == OTHER_PASSWORD
        assert b"BEGIN PUBLIC KEY" in ear.said, "it was asked for, encrypted"
        assert PASSWORD.encode() not in ear.said and OTHER_PASSWORD.encode() not in ear.said


def test_inside_tls(mariadb: MariaDb) -> None:
    authority = Authority(mariadb.workspace.directory("passing-tls-files"))
    cert, key = authority.server()
    turnout = passing(mariadb, "transaction", "tls", client_tls={"sslmode": "require", "cert_file": str(cert), "key_file": str(key)})
    tls = {"ssl": {"ca": str(authority.certificate)}, "ssl_verify_identity": True}
    assert refusal(lambda: connect(turnout))[0] == 3159
    for _ in range(2):
        with connect(turnout, **tls) as client:
            assert one(client, "SELECT CURRENT_USER()") == "app@%"
        assert refusal(lambda: connect(turnout, password="wrong", **tls))[0] == 1045
    with connect(turnout, user="reader", **tls) as client:
        change_user(client, "app")
        assert one(client, "SELECT CURRENT_USER()") == "app@%"


# ---- change of user


def test_change_of_user(turnout: Turnout, mariadb: MariaDb) -> None:
    make_user(mariadb, "third")
    with connect(turnout) as client:
        for user in ("third", "reader", "third", "app"):  # unknown here, then known
            change_user(client, user)
            assert one(client, "SELECT CURRENT_USER()") == f"{user}@%"
        for user, password, database, number in (("third", "wrong", DATABASE, 1045), ("nobody", PASSWORD, DATABASE, 1045),
                                                 ("app", PASSWORD, "missing", 1044)):
            with mariadb.connect() as direct:
                said = refusal(lambda: change_user(client, user, password, database))
                assert said == refusal(lambda: change_user(direct, user, password, database))
                assert said[0] == number
            if not mariadb.GOES_BACK_TO_THE_FORMER_USER:
                client = connect(turnout)
            assert one(client, "SELECT CURRENT_USER()") == "app@%"


# ---- passwords that change


def test_a_changed_password(turnout: Turnout, mariadb: MariaDb) -> None:
    user = make_user(mariadb, "changing")
    with connect(turnout, user=user) as old:
        assert one(old, "SELECT 1") == 1
        as_root(mariadb, f"ALTER USER {user}@'%' IDENTIFIED BY '{OTHER_PASSWORD}'")
        assert one(old, "SELECT 2") == 2
        with connect(turnout, user=user, password=OTHER_PASSWORD) as new:
            assert one(new, "SELECT 3") == 3
        assert refusal(lambda: connect(turnout, user=user))[0] == 1045, "the newest proof counts"
        mariadb.end_sessions_of(user)
        with connect(turnout, user=user, password=OTHER_PASSWORD) as new:
            assert one(new, "SELECT 4") == 4, "server connections are opened with it too"


def test_what_the_server_refuses_is_forgotten(turnout: Turnout, mariadb: MariaDb) -> None:
    """Known here, and needed for a new server connection: what the server says then ends what is known."""
    user = make_user(mariadb, "leaver")
    connect(turnout, user=user).close()
    for gone in (f"ALTER USER {user}@'%' IDENTIFIED BY '{OTHER_PASSWORD}'", f"DROP USER {user}@'%'"):
        as_root(mariadb, gone)
        mariadb.end_sessions_of(user)
        eventually(lambda: mariadb.sessions_of(user) == 0, "its sessions are gone")

        def asks() -> None:
            with connect(turnout, user=user) as client:
                one(client, "SELECT 1")

        refusal(asks)
        assert refusal(lambda: connect(turnout, user=user))[0] == 1045
        make_user(mariadb, user)
        asks()


def test_a_proof_is_believed_for_half_a_minute(mariadb: MariaDb) -> None:
    turnout = passing(mariadb, "transaction", "expelled")
    user, stays = make_user(mariadb, "expelled"), make_user(mariadb, "stays")
    for name in (user, stays):
        connect(turnout, user=name).close()
    as_root(mariadb, f"DROP USER {user}@'%'")
    time.sleep(31)
    assert refusal(lambda: connect(turnout, user=user))[0] == 1045
    before = logins_of(mariadb)
    for _ in range(5):
        connect(turnout, user=stays).close()
    assert 1 <= logins_of(mariadb) - before - 1 <= 3, "asked again once, with what is known"


# ---- floods and trouble


def test_invented_names(mariadb: MariaDb) -> None:
    """From one address: they have half of the turns, are slow, and keep nobody from anything."""
    turnout = passing(mariadb, "transaction", "flood", limits={"unproven_logins": 4, "login_timeout": "4s"})
    connect(turnout).close()  # app is known; reader is not
    before, began, numbers = logins_of(mariadb), time.monotonic(), []

    def guess(at: int) -> None:
        numbers.append(refusal(lambda: connect(turnout, user=f"invented{at}", password=f"guess{at}")))

    threads = [threading.Thread(target=guess, args=(at,)) for at in range(80)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            began_one = time.monotonic()
            with connect(turnout) as client:
                assert one(client, "SELECT 1") == 1
            assert time.monotonic() - began_one < 2
        began_one = time.monotonic()
        with connect(turnout, user="reader", bind_address="127.0.0.7") as client:
            assert one(client, "SELECT 1") == 1
        assert time.monotonic() - began_one < 2
    finally:
        for thread in threads:
            thread.join()
    took = time.monotonic() - began
    asked = logins_of(mariadb) - before
    assert {number for number, _ in numbers} <= {1045, 1053} and len(numbers) == 80
    late = [text for number, text in numbers if number == 1053]
    unheard = [text for text in late if "limits.unproven_logins is reached" not in text]  # their turn came with the deadline
    assert len(late) > 40 and len(unheard) <= 4, numbers
    assert asked <= 4 * (took + 1) + 20, (asked, took)  # two turns of half a second, the pool's, and ours
    with connect(turnout, user="reader") as client:
        assert one(client, "SELECT 1") == 1


def test_a_crowd_with_one_password_asks_once(mariadb: MariaDb) -> None:
    turnout = passing(mariadb, "transaction", "crowd", limits={"unproven_logins": 2})
    before = logins_of(mariadb)
    trouble: list[BaseException] = []

    def come() -> None:
        try:
            with connect(turnout, user="reader") as client:
                assert one(client, "SELECT 1") == 1
        except BaseException as error:
            trouble.append(error)

    threads = [threading.Thread(target=come) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not trouble, trouble[:3]
    assert logins_of(mariadb) - before <= 20


def test_a_server_that_is_killed_in_the_midst_of_a_login(mariadb: MariaDb) -> None:
    turnout = passing(mariadb, "transaction", "killed", pool={"mode": "transaction", "size": 4, "connect_timeout": "30s"})
    make_user(mariadb, "midst")
    connect(turnout, user="reader").close()
    time.sleep(2)  # the server has it on disk
    result: list[Any] = []

    def come() -> None:
        try:
            with connect(turnout, user="midst") as client:
                result.append(one(client, "SELECT CURRENT_USER()"))
        except pymysql.err.MySQLError as error:
            result.append(error)

    mariadb.freeze()
    thread = threading.Thread(target=come)
    thread.start()
    time.sleep(1)  # its login waits for the greeting of a server that stands still
    assert not result
    mariadb.kill9()
    mariadb.start()
    thread.join()
    assert result == ["midst@%"], result


def test_no_server_no_login(mariadb: MariaDb) -> None:
    turnout = passing(mariadb, "transaction", "alone", limits={"login_timeout": "1s"})
    connect(turnout).close()
    mariadb.stop()
    try:
        number, text = refusal(lambda: connect(turnout, user="reader"))
        assert number == 1053 and text == "logins cannot be checked now: the database server does not answer", (number, text)
    finally:
        mariadb.start()
    with connect(turnout, user="reader") as client:
        assert one(client, "SELECT 1") == 1


def test_the_server_is_full(mariadb: MariaDb) -> None:
    """Its own word, when it has said nothing else until the deadline."""
    turnout = passing(mariadb, "transaction", "full", limits={"login_timeout": "1s"})
    connect(turnout).close()
    user = make_user(mariadb, "narrow", "WITH MAX_USER_CONNECTIONS 1")
    with mariadb.connect(user) as only:
        assert one(only, "SELECT 1") == 1
        assert refusal(lambda: connect(turnout, user=user))[0] in (1203, 1226)
    eventually(lambda: mariadb.sessions_of(user) == 0, "it is gone")
    connect(turnout, user=user).close()

