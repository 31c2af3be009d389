"""Logins: SCRAM, md5 and trust towards clients and servers, TLS on both sides, refusals in the server's own words."""
from __future__ import annotations

import socket
import struct
import subprocess
from pathlib import Path
from typing import Any, Iterator

import psycopg
import psycopg.sql
import pytest

from harness.pair import Pair
from harness.turnout import Turnout

PASSWORD = "correct horse"
OTHER = "héllo 'quotes\" and \\"  # userlist escaping and SASLprep get something to do


@pytest.fixture(scope="module")
def secrets(pair: Pair) -> dict[str, str]:
    """One SCRAM verifier for both sides, as after a copy of the roles; md5 for `reader`."""
    pair.blue.sql(f"ALTER ROLE app PASSWORD '{PASSWORD}'")
    verifier = str(pair.blue.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'"))
    pair.blue.sql(f"SET password_encryption = 'md5'; ALTER ROLE reader PASSWORD '{PASSWORD}'")
    digest = str(pair.blue.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'reader'"))
    pair.green.sql(f"ALTER ROLE app PASSWORD '{verifier}'; ALTER ROLE reader PASSWORD '{digest}'")
    for server in pair.sides.values():
        server.sql(psycopg.sql.SQL("ALTER ROLE hammer PASSWORD {}").format(psycopg.sql.Literal(OTHER)).as_string(None))
        server.set_hba("host all reader 127.0.0.1/32 md5\nhost all all 127.0.0.1/32 scram-sha-256\n")
    return {"app": verifier, "reader": digest}


@pytest.fixture(scope="module")
def users_file(pair: Pair, secrets: dict[str, str]) -> Path:
    file = pair.blue.home.parent / "users.txt"
    plain = OTHER.replace('"', '""')
    file.write_text(f'"app" "{secrets["app"]}"\n"reader" "{secrets["reader"]}"\n"hammer" "{plain}"\n')
    return file


@pytest.fixture(scope="module")
def scram(workspace: Any, pair: Pair, users_file: Path) -> Iterator[Turnout]:
    running = Turnout(workspace, pair, "auth-scram", {"auth": "scram-sha-256", "users": str(users_file)})
    running.start()
    yield running
    running.stop()


@pytest.mark.smoke
def test_scram_passes_through(scram: Turnout) -> None:
    """Turnout holds only the verifier: what it learns at the client's login opens the server."""
    with scram.connect(password=PASSWORD) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app",)
    connections = [scram.connect(password=PASSWORD) for _ in range(12)]
    for connection in connections:
        assert connection.execute("SELECT current_user").fetchone() == ("app",)
        connection.close()


def test_plain_secret_in_the_users_file(scram: Turnout) -> None:
    with scram.connect("hammer", password=OTHER) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("hammer",)


@pytest.mark.smoke
@pytest.mark.parametrize("user, password", [("app", "wrong"), ("app", ""), ("hammer", "wrong"), ("nobody", "whatever")])
def test_wrong_password_and_unknown_user(scram: Turnout, user: str, password: str) -> None:
    """The same words for both, as the server itself has them: nobody learns which names exist."""
    with pytest.raises(psycopg.OperationalError) as caught:
        scram.connect(user, password=password or "\x20")
    assert f'password authentication failed for user "{user}"' in str(caught.value)


def test_no_password_at_all(scram: Turnout) -> None:
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        scram.connect()


def test_unknown_database(scram: Turnout) -> None:
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        scram.connect(database="nowhere", password=PASSWORD).execute("SELECT 1")


def test_md5(workspace: Any, pair: Pair, users_file: Path) -> None:
    running = Turnout(workspace, pair, "auth-md5", {"auth": "md5", "users": str(users_file)})
    running.start()
    with running.connect("reader", password=PASSWORD) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("reader",)
    with running.connect("app", password=PASSWORD) as connection:  # a SCRAM secret is asked for by SCRAM, as Postgres does
        assert connection.execute("SELECT current_user").fetchone() == ("app",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        running.connect("reader", password="wrong")
    running.stop()


def test_servers_refusal_reaches_the_client(workspace: Any, pair: Pair, secrets: dict[str, str]) -> None:
    """Trust towards the client, but the server wants a password, which Turnout has not: it says so."""
    running = Turnout(workspace, pair, "auth-trust", {"auth": "trust"})
    running.start()
    with pytest.raises(psycopg.OperationalError) as caught:
        running.connect().execute("SELECT 1")
    assert "authentication" in str(caught.value) and '"app"' in str(caught.value), caught.value
    pair.blue.set_hba("host all all 127.0.0.1/32 reject\n")
    try:
        with pytest.raises(psycopg.OperationalError, match="pg_hba.conf"):
            running.connect().execute("SELECT 1")
    finally:
        pair.blue.set_hba("host all reader 127.0.0.1/32 md5\nhost all all 127.0.0.1/32 scram-sha-256\n")
    running.stop()


@pytest.mark.smoke
def test_scram_with_damaged_messages(scram: Turnout) -> None:
    """Each wrong step of the conversation ends that session, with an error message."""
    def framed(body: bytes) -> bytes:
        return b"p" + struct.pack("!i", len(body) + 4) + body

    first = b"n,,n=,r=abcdefghijkl"
    initial = b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first
    for name, answers in {
        "unknown mechanism": [framed(b"PLAIN\0" + struct.pack("!i", 1) + b"x")],
        "no end of the name": [framed(b"SCRAM-SHA-256")],
        "length that lies": [framed(b"SCRAM-SHA-256\0" + struct.pack("!i", 10_000) + first)],
        "another nonce in the proof": [framed(initial), framed(b"c=biws,r=somethingelse,p=AAAA")],
        "proof that is not base64": [framed(initial), framed(b"c=biws,r=abcdefghijkl,p=***")],
        "query in place of a proof": [framed(initial), b"Q\0\0\0\rSELECT 1\0"],
    }.items():
        with socket.create_connection(("127.0.0.1", scram.port), timeout=10) as connection:
            body = struct.pack("!i", 196608) + b"user\0app\0database\0app\0\0"
            connection.sendall(struct.pack("!i", len(body) + 4) + body)
            data = connection.recv(65536)
            assert data[:1] == b"R", name
            for answer in answers:
                connection.sendall(answer)
            while chunk := connection.recv(65536):
                data += chunk
        assert b"E" in data and b"SFATAL\0" in data, (name, data)
    with scram.connect(password=PASSWORD) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


# ---- TLS


@pytest.fixture(scope="module")
def certificate(workspace: Any) -> tuple[Path, Path]:
    home = workspace.directory("certificate")
    cert, key = home / "server.crt", home / "server.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


@pytest.mark.smoke
def test_tls_towards_clients(workspace: Any, pair: Pair, users_file: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    tls = {"sslmode": "require", "cert_file": str(cert), "key_file": str(key)}
    running = Turnout(workspace, pair, "auth-tls", {"auth": "scram-sha-256", "users": str(users_file), "client_tls": tls})
    running.start()
    for mode in ("require", "verify-full"):
        with running.connect(password=PASSWORD, sslmode=mode, sslrootcert=str(cert)) as connection:
            assert connection.pgconn.ssl_in_use
            assert connection.execute("SELECT length(repeat('x', 300000))").fetchone() == (300_000,)
            assert len(connection.execute("SELECT repeat('x', 3000000)").fetchone()[0]) == 3_000_000  # type: ignore[index]
    with pytest.raises(psycopg.OperationalError):
        running.connect(password=PASSWORD, sslmode="disable")
    # Half a handshake, and bytes smuggled in behind the request, which must not be taken for the encrypted session's.
    request = struct.pack("!ii", 8, 80877103)
    body = struct.pack("!i", 196608) + b"user\0app\0database\0app\0\0"
    for bytes_ in (request, request + struct.pack("!i", len(body) + 4) + body, request + b"\x16\x03\x01\x02\0\x01"):
        with socket.create_connection(("127.0.0.1", running.port), timeout=10) as bad:
            bad.sendall(bytes_)
            bad.settimeout(1)
            try:
                answer = bad.recv(65536)
            except TimeoutError:
                answer = b""
            assert b"R\0\0\0" not in answer, "plain bytes were answered inside TLS"
    with running.connect(password=PASSWORD, sslmode="require") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    running.stop()


def test_tls_is_offered_but_not_asked_for(workspace: Any, pair: Pair, users_file: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    tls = {"sslmode": "prefer", "cert_file": str(cert), "key_file": str(key)}
    running = Turnout(workspace, pair, "auth-tls-prefer", {"auth": "scram-sha-256", "users": str(users_file), "client_tls": tls})
    running.start()
    for mode, encrypted in (("disable", False), ("require", True), ("prefer", True)):
        with running.connect(password=PASSWORD, sslmode=mode) as connection:
            assert bool(connection.pgconn.ssl_in_use) == encrypted
            assert connection.execute("SELECT 1").fetchone() == (1,)
    running.stop()


def required_binding(workspace: Any, pair: Pair, config: dict[str, Any]) -> None:
    """SCRAM with the certificate in its proof for everybody, the admin too; a login without it is refused."""
    password_file = workspace.directory("binding") / "password"
    password_file.write_text(PASSWORD)
    for server in pair.sides.values():
        server.sql(f"CREATE ROLE boss LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    binding = {"admin": {"user": "boss", "password_file": str(password_file)},
               "server_tls": config["server_tls"] | {"channel_binding": "require"}}
    running = Turnout(workspace, pair, "auth-binding", config | binding)
    running.start()
    with running.connect(password=PASSWORD) as connection:
        assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
    running.stop()
    trusting = Turnout(workspace, pair, "auth-no-binding", config | binding | {"auth": "trust", "users": None})
    trusting.start()
    pair.blue.set_hba("host all hammer 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    with pytest.raises(psycopg.OperationalError, match="channel binding is required"):
        trusting.connect("hammer").execute("SELECT 1")
    trusting.stop()
    pair.blue.set_hba("host all reader 127.0.0.1/32 md5\nhost all all 127.0.0.1/32 scram-sha-256\n")


@pytest.mark.smoke
def test_tls_towards_servers(workspace: Any, pair: Pair, users_file: Path, certificate: tuple[Path, Path]) -> None:
    """Both servers speak TLS with our certificate; verify-full accepts it by its CA and refuses it by another."""
    cert, key = certificate
    for server in pair.sides.values():
        server.speak_tls(cert, key)
    config = {"auth": "scram-sha-256", "users": str(users_file), "server_tls": {"sslmode": "verify-full", "ca_file": str(cert)}}
    running = Turnout(workspace, pair, "auth-tls-server", config)
    running.start()
    with running.connect(password=PASSWORD) as connection:
        connection.execute("BEGIN")
        assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
        connection.execute("COMMIT")
        assert len(connection.execute("SELECT repeat('x', 3000000)").fetchone()[0]) == 3_000_000  # type: ignore[index]
    running.stop()
    required_binding(workspace, pair, config)
    home = workspace.directory("other-ca")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=other", "-keyout",
                    str(home / "k"), "-out", str(home / "c")], check=True, capture_output=True)
    stranger = Turnout(workspace, pair, "auth-tls-stranger", config | {"server_tls": {"sslmode": "verify-full", "ca_file": str(home / "c")}})
    stranger.start(wait_ready=False)  # the control side may refuse the servers as well, and never be ready
    try:
        with pytest.raises(psycopg.OperationalError):
            stranger.connect(password=PASSWORD, connect_timeout=5).execute("SELECT 1")
    finally:
        stranger.stop()
