"""The edge of the protocol: versions and their cancel keys, requests for encryption, direct TLS, start-up options."""
from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import psycopg
import pytest

from harness.certificates import Authority
from harness.pair import DATABASE
from harness.postgres import NPM_BIN
from harness.raw import GSS_REQUEST, PROTOCOL_3_0, PROTOCOL_3_2, SSL_REQUEST, Raw, error_of, query, request, startup
from harness.turnout import Turnout

LIBPQ_18 = Path(os.environ.get("TURNOUT_PG18_BIN") or NPM_BIN).parent / "lib"
HAS_LIBPQ_18 = (LIBPQ_18 / "libpq.so.5").exists()  # else the system's libpq does what it can


def with_newest_libpq(program: str) -> str:
    """What that Python program prints, with psycopg on the newest libpq there is."""
    environment = os.environ | ({"LD_LIBRARY_PATH": str(LIBPQ_18)} if HAS_LIBPQ_18 else {})
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    return done.stdout.strip()


# ---- versions and keys


@pytest.mark.smoke
@pytest.mark.parametrize("version, agreed, key_bytes", [
    (PROTOCOL_3_0, None, 4),
    (PROTOCOL_3_2, None, 32),
    (3 << 16 | 1, None, 4),
    (3 << 16 | 3, PROTOCOL_3_2, 32),
    (3 << 16 | 9999, PROTOCOL_3_2, 32),
])
def test_protocol_versions(turnout: Turnout, version: int, agreed: int | None, key_bytes: int) -> None:
    with Raw(turnout.port) as client:
        assert client.login(version=version) == {}
        assert client.negotiated == (None if agreed is None else (agreed, []))
        assert len(client.key) == key_bytes
        assert client.value("SELECT 41 + 1") == "42"


def test_all_unknown_options_are_listed(turnout: Turnout) -> None:
    options = {"_pq_.test_protocol_negotiation": "", "_pq_.other": "1", "_pq_.": "x"}
    for version, agreed in ((PROTOCOL_3_0, PROTOCOL_3_0), (PROTOCOL_3_2, PROTOCOL_3_2), (3 << 16 | 9999, PROTOCOL_3_2)):
        with Raw(turnout.port) as client:
            assert client.login_with({"user": "app", "database": DATABASE} | options, version) == {}
            assert client.negotiated == (agreed, list(options))
            assert client.value("SELECT 1") == "1"


@pytest.mark.parametrize("version", [2 << 16, 1 << 16, 4 << 16, 0])
def test_other_major_versions_are_refused(turnout: Turnout, version: int) -> None:
    with Raw(turnout.port) as client:
        client.send(startup({"user": "app"}, version))
        error = error_of(client.until("E")[-1][1])
        assert error["C"] == "0A000" and "unsupported frontend protocol" in error["M"]


@pytest.mark.parametrize("version", [PROTOCOL_3_0, PROTOCOL_3_2])
def test_only_the_whole_key_cancels(turnout: Turnout, version: int) -> None:
    with Raw(turnout.port) as client:
        assert client.login(version=version) == {}
        client.send(query("SELECT pg_sleep(600)"))
        turnout.pair.blue.wait_for("SELECT count(*)::int FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'", 1)
        wrong = bytes([client.key[0] ^ 1]) + client.key[1:]
        for key in (wrong, client.key[:-1], client.key + b"\0", client.key[:4] if len(client.key) > 4 else client.key * 8, b"", b"x" * 256,
                    b"x" * 257):
            client.cancel(client.pid, key)
        client.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.more()
        client.socket.settimeout(30)
        client.cancel(client.pid, client.key)
        assert error_of(client.until("E")[-1][1])["C"] == "57014"


def test_a_server_of_18_is_cancelled_with_its_long_key(fresh_on_green: Turnout) -> None:
    with Raw(fresh_on_green.port) as client:
        assert client.login() == {}
        assert client.value("SHOW server_version").startswith("18") or fresh_on_green.pair.green_major != 18
        client.send(query("SELECT pg_sleep(600)"))
        fresh_on_green.pair.green.wait_for(
            "SELECT count(*)::int FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'", 1)
        client.cancel(client.pid, client.key)
        assert error_of(client.until("E")[-1][1])["C"] == "57014"


@pytest.fixture
def fresh_on_green(other_turnout: Callable[..., Turnout], pair: Any) -> Turnout:
    """Green stands where blue would: a server that speaks 3.2."""
    running = other_turnout({"blue": f"127.0.0.1:{pair.green.port}", "green": None}, False)
    running.start(wait_ready=False)
    deadline = threading.Event()
    for _ in range(600):
        try:
            running.connect().close()
            return running
        except psycopg.OperationalError:
            deadline.wait(0.05)
    raise AssertionError(running.log_tail())


def test_libpq_18_asks_for_3_2(turnout: Turnout) -> None:
    """A libpq of today: its newest protocol, its cancel, and what it does by itself."""
    conninfo = turnout.conninfo() + (" max_protocol_version=3.2" if HAS_LIBPQ_18 else "")
    program = f"""
import psycopg, threading
with psycopg.connect({conninfo!r}, autocommit=True) as connection:
    assert connection.execute("SELECT 1").fetchone() == (1,)
    threading.Timer(0.5, connection.cancel).start()
    try:
        connection.execute("SELECT pg_sleep(600)")
    except psycopg.errors.QueryCanceled:
        print("cancelled")
"""
    assert with_newest_libpq(program) == "cancelled"


# ---- requests for encryption


@pytest.mark.smoke
@pytest.mark.parametrize("code", [SSL_REQUEST, GSS_REQUEST])
def test_each_request_for_encryption_once(turnout: Turnout, code: int) -> None:
    with Raw(turnout.port) as client:
        client.send(request(code))
        assert client.socket.recv(1) == b"N"
        client.send(request(code))
        assert error_of(client.until("E")[-1][1])["C"] == "08P01"
        assert client.rest() == b""


def test_both_requests_and_then_plain(turnout: Turnout) -> None:
    with Raw(turnout.port) as client:
        for code in (GSS_REQUEST, SSL_REQUEST):
            client.send(request(code))
            assert client.socket.recv(1) == b"N"
        assert client.login() == {}


@pytest.mark.parametrize("code", [SSL_REQUEST, GSS_REQUEST])
@pytest.mark.parametrize("stuffed", [b"\0", startup({"user": "app", "database": DATABASE}), request(SSL_REQUEST), b"\x16\x03\x01\x02\0\x01"])
def test_bytes_behind_a_request_end_the_connection(turnout: Turnout, tls: Turnout, code: int, stuffed: bytes) -> None:
    for server in (turnout, tls):
        with Raw(server.port) as client:
            client.send(request(code) + stuffed)
            answer = client.rest()
            assert b"received unencrypted data" in answer and b"R\0\0\0" not in answer, answer


# ---- TLS from the first byte


@pytest.fixture(scope="module")
def authority(workspace: Any) -> Authority:
    return Authority(workspace.directory("edge-authority"))


@pytest.fixture(scope="module")
def tls(workspace: Any, pair: Any, authority: Authority) -> Iterator[Turnout]:
    cert, key = authority.server()
    changes = {"client_tls": {"sslmode": "prefer", "cert_file": str(cert), "key_file": str(key)}}
    running = Turnout(workspace, pair, "edge-tls", changes)
    running.start()
    yield running
    running.stop()


def context_with(*protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def raw_over(server: Turnout, wrapped: ssl.SSLSocket) -> Raw:
    client = Raw(server.port)
    client.close()
    client.socket = wrapped
    return client


@pytest.mark.smoke
@pytest.mark.parametrize("protocols", [("postgresql",), ("http/1.1", "postgresql")])
def test_direct_tls(tls: Turnout, protocols: tuple[str, ...]) -> None:
    with socket.create_connection(("127.0.0.1", tls.port), timeout=30) as plain, context_with(*protocols).wrap_socket(plain) as wrapped:
        assert wrapped.selected_alpn_protocol() == "postgresql"
        client = raw_over(tls, wrapped)
        assert client.login(version=PROTOCOL_3_2) == {}
        assert client.value("SELECT repeat('x', 100000)") == "x" * 100_000


def test_direct_tls_in_single_bytes(tls: Turnout) -> None:
    """The first byte alone must be enough to see what comes, and must not be lost."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    conversation = context_with("postgresql").wrap_bio(incoming, outgoing)
    with socket.create_connection(("127.0.0.1", tls.port), timeout=30) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                conversation.do_handshake()
                break
            except ssl.SSLWantReadError:
                hello = outgoing.read()
                for at in range(min(len(hello), 12)):
                    plain.sendall(hello[at:at + 1])
                plain.sendall(hello[12:])
                incoming.write(plain.recv(65536))
        plain.sendall(outgoing.read())
        conversation.write(startup({"user": "app", "database": DATABASE}))
        plain.sendall(outgoing.read())
        answer = b""
        while b"Z\0\0\0\5I" not in answer:
            try:
                answer += conversation.read(65536)
            except ssl.SSLWantReadError:
                data = plain.recv(65536)
                assert data, answer
                incoming.write(data)


@pytest.mark.parametrize("protocols", [(), ("http/1.1",), ("postgresql2", "h2")])
def test_direct_tls_without_the_right_alpn_is_refused(tls: Turnout, protocols: tuple[str, ...]) -> None:
    with socket.create_connection(("127.0.0.1", tls.port), timeout=30) as plain:
        try:
            with context_with(*protocols).wrap_socket(plain) as wrapped:
                wrapped.sendall(startup({"user": "app", "database": DATABASE}))
                assert wrapped.recv(65536) == b""
        except (ssl.SSLError, ConnectionError):
            pass  # refused in the handshake
    tls.connect(sslmode="require").close()


def test_no_request_inside_tls(tls: Turnout) -> None:
    with socket.create_connection(("127.0.0.1", tls.port), timeout=30) as plain, context_with("postgresql").wrap_socket(plain) as wrapped:
        client = raw_over(tls, wrapped)
        client.send(request(SSL_REQUEST))
        assert error_of(client.until("E")[-1][1])["C"] == "08P01"


def test_direct_tls_where_none_is_configured(turnout: Turnout) -> None:
    with Raw(turnout.port) as client:
        client.send(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03")
        assert b"R\0\0\0" not in client.rest()


def test_libpq_18_with_direct_tls(tls: Turnout, authority: Authority) -> None:
    conninfo = tls.conninfo(sslmode="verify-full", sslrootcert=str(authority.certificate)) + (" sslnegotiation=direct" if HAS_LIBPQ_18 else "")
    program = f"""
import psycopg
with psycopg.connect({conninfo!r}) as connection:
    print(connection.execute("SELECT 1").fetchone())
"""
    assert with_newest_libpq(program) == "(1,)"


# ---- start-up options


@pytest.mark.smoke
@pytest.mark.parametrize("options, name, value", [
    ("-c statement_timeout=12345", "statement_timeout", "12345ms"),
    ("--statement-timeout=3s", "statement_timeout", "3s"),
    ("-cgeqo=off -c geqo=on -S 1234", "work_mem", "1234kB"),
    (r"-c search_path=pg_catalog,\ \"Odd,\ name\",PUBLIC", "search_path", 'pg_catalog, "Odd, name",PUBLIC'),
    ("-c search_path=public", "search_path", "public"),
    (r"-c my.note=it's\ \\\\\ \"quoted\"", "my.note", "it's \\\\ \"quoted\""),
    ("-e", "datestyle", "ISO, DMY"),
])
def test_options_are_settings_of_the_session(turnout: Turnout, options: str, name: str, value: str) -> None:
    with turnout.connect(options=options) as connection, turnout.connect() as other:
        for _ in range(3):
            assert connection.execute(f"SHOW {name}").fetchone() == (value,)
            assert other.execute("SELECT current_setting('my.note', true) IS NULL OR current_setting('my.note') = ''").fetchone() == (True,)
        connection.execute(f"RESET {name}")
        assert connection.execute(f"SHOW {name}").fetchone() == (value,), "RESET goes back to what the start-up packet said"


@pytest.mark.parametrize("options, sqlstate, named", [
    ("-c log_connections=on", "55P02", "log_connections"),
    ("-c a;b=1", "42602", "a;b"),
    ("-D /tmp", "42601", "-D"),
    ("-c work_mem", "42601", "work_mem"),
    ("whatever", "42601", "whatever"),
    (r"-c search_path=a\ b", "22023", "search_path"),
])
def test_refused_options_are_named(turnout: Turnout, options: str, sqlstate: str, named: str) -> None:
    with Raw(turnout.port) as client:
        error = client.login(options=options)
        assert (error["C"], named in error["M"]) == (sqlstate, True), error


def test_a_parameter_that_no_setting_can_be_named_after(turnout: Turnout) -> None:
    with Raw(turnout.port) as client:
        error = client.login_with({"user": "app", "database": DATABASE, "a; DROP TABLE ledger": "1"})
        assert error["C"] == "42602", error


# ---- the end of a connection, whatever comes with it

def test_an_end_that_comes_with_bytes_is_seen(turnout: Turnout) -> None:
    """A query and the end of the connection in one reading, and an end while nothing is read from it."""
    def sessions() -> int:
        return len(turnout.ask("clients")["clients"])

    before = sessions()
    members = [Raw(turnout.port) for _ in range(20)]
    for number, member in enumerate(members):
        member.login()
        member.send(query("SELECT pg_sleep(0.2)") if number % 2 else query("SELECT 1"))
        member.close()
    deadline = time.monotonic() + 20
    while sessions() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sessions() <= before


@pytest.mark.parametrize("bytes_each", [60_000, 65_536, 200_000, 3_000_000])
def test_more_than_one_reading_each_way(turnout: Turnout, bytes_each: int) -> None:
    """What fills a buffer exactly, or several of them, is read to its end, both ways and one query behind the other."""
    text = "x" * bytes_each
    with turnout.connect() as connection:
        for _ in range(5):
            assert connection.execute(f"SELECT '{text}' || length('{text}')").fetchone() == (text + str(bytes_each),)
            assert connection.execute("SELECT %s::text", [text]).fetchone() == (text,)
