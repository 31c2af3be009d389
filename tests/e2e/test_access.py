"""Who may log in: certificates, the operating system's user, HBA rules, channel binding, the auth query, passthrough, reload."""
from __future__ import annotations

import os
import pwd
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator

import psycopg
import pytest

from harness.certificates import Authority
from harness.pair import DATABASE, Pair
from harness.raw import Raw, error_of, framed, startup
from harness.turnout import INVALID, Turnout
from harness.waiting import eventually
from harness.workspace import free_port

PASSWORD = "correct horse"
HBA = "host all reader 127.0.0.1/32 md5\nhost all hammer 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


@pytest.fixture(scope="module")
def secrets(pair: Pair) -> dict[str, str]:
    """The servers ask for passwords: a SCRAM verifier for `app`, an md5 hash for `reader`; `hammer` is trusted."""
    pair.blue.sql(f"ALTER ROLE app PASSWORD '{PASSWORD}'")
    verifier = str(pair.blue.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'"))
    pair.blue.sql(f"SET password_encryption = 'md5'; ALTER ROLE reader PASSWORD '{PASSWORD}'")
    digest = str(pair.blue.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'reader'"))
    pair.green.sql(f"ALTER ROLE app PASSWORD '{verifier}'; ALTER ROLE reader PASSWORD '{digest}'")
    for server in pair.sides.values():
        server.sql("CREATE ROLE asker LOGIN PASSWORD 'asks'")
        server.sql("""
CREATE SCHEMA access;
CREATE FUNCTION access.secret_of(wanted text, OUT name text, OUT secret text) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
  AS $$ SELECT rolname, rolpassword FROM pg_authid WHERE rolname = wanted AND rolcanlogin AND NOT rolsuper $$;
REVOKE ALL ON FUNCTION access.secret_of FROM public;
GRANT USAGE ON SCHEMA access TO asker;
GRANT EXECUTE ON FUNCTION access.secret_of TO asker;
ALTER ROLE asker SET search_path = 'public';
""")
        server.set_hba(HBA)
    return {"app": verifier, "reader": digest}


@pytest.fixture(scope="module")
def users_file(pair: Pair, secrets: dict[str, str]) -> Path:
    file = pair.blue.home.parent / "access-users.txt"
    file.write_text(f'"app" "{secrets["app"]}"\n"reader" "{secrets["reader"]}"\n')
    return file


@pytest.fixture(scope="module")
def authority(workspace: Any) -> Authority:
    return Authority(workspace.directory("access-authority"))


@pytest.fixture(scope="module")
def client_tls(authority: Authority) -> dict[str, str]:
    cert, key = authority.server()
    return {"sslmode": "prefer", "cert_file": str(cert), "key_file": str(key), "ca_file": str(authority.certificate)}


def refusal(connect: Callable[[], object]) -> str:
    with pytest.raises(psycopg.OperationalError) as caught:
        connect()
    return str(caught.value)


# ---- channel binding


@pytest.mark.smoke
def test_channel_binding_towards_clients(other_turnout: Callable[..., Turnout], users_file: Path, client_tls: dict[str, str]) -> None:
    server = other_turnout({"auth": "scram-sha-256", "users": str(users_file), "client_tls": client_tls})
    for binding in ("require", "prefer", "disable"):
        with server.connect(password=PASSWORD, sslmode="require", channel_binding=binding) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("app",)
    assert "channel binding" in refusal(lambda: server.connect(password=PASSWORD, channel_binding="require")), "not without TLS"
    assert "password authentication failed" in refusal(
        lambda: server.connect(password="wrong", sslmode="require", channel_binding="require"))
    with Raw(server.port) as client:  # without TLS there is nothing to bind to, so it is not offered
        client.send(startup({"user": "app", "database": DATABASE}))
        assert client.message() == ("R", b"\0\0\0\x0aSCRAM-SHA-256\0\0")


# ---- certificates


@pytest.mark.smoke
def test_certificates(workspace: Any, other_turnout: Callable[..., Turnout], secrets: dict[str, str], authority: Authority,
                      client_tls: dict[str, str]) -> None:
    server = other_turnout({"auth": "cert", "client_tls": client_tls})
    cert, key = authority.client("hammer")
    shown = {"sslmode": "require", "sslcert": str(cert), "sslkey": str(key)}
    with server.connect("hammer", **shown) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("hammer",)
    assert 'certificate authentication failed for user "app"' in refusal(lambda: server.connect("app", **shown))
    assert "requires a valid client certificate" in refusal(lambda: server.connect("hammer", sslmode="require", sslcert="/none"))
    assert "requires a valid client certificate" in refusal(lambda: server.connect("hammer", sslmode="disable"))
    stranger = Authority(workspace.directory("access-stranger"), "stranger")
    cert, key = stranger.client("hammer")
    assert refusal(lambda: server.connect("hammer", sslmode="require", sslcert=str(cert), sslkey=str(key)))
    with server.connect("hammer", **shown) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


# ---- the operating system's user


@pytest.mark.smoke
def test_peer(workspace: Any, other_turnout: Callable[..., Turnout], pair: Pair, secrets: dict[str, str]) -> None:
    """Whoever we are to the system logs in under that name, and under no other."""
    me = pwd.getpwuid(os.geteuid()).pw_name
    for side in pair.sides.values():
        if not side.sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{me}'"):
            side.sql(f'CREATE ROLE "{me}" LOGIN')
        side.set_hba(f"host all {me} 127.0.0.1/32 trust\n" + HBA)
    socket = workspace.directory("access-peer") / f".s.PGSQL.{free_port()}"
    server = other_turnout({"auth": "peer", "listen": [f"unix:{socket}"]})
    place = {"host": str(socket.parent), "port": socket.name.rpartition(".")[2], "dbname": DATABASE}
    with psycopg.connect(psycopg.conninfo.make_conninfo(user=me, **place), autocommit=True) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (me,)
    assert 'Peer authentication failed for user "hammer"' in refusal(
        lambda: psycopg.connect(psycopg.conninfo.make_conninfo(user="hammer", **place)))
    assert server.alive()
    for side in pair.sides.values():
        side.set_hba(HBA)


# ---- HBA rules


@pytest.mark.smoke
def test_rules(workspace: Any, other_turnout: Callable[..., Turnout], users_file: Path, authority: Authority,
               client_tls: dict[str, str]) -> None:
    rules = workspace.directory("access-hba") / "hba.conf"
    rules.write_text("""# the first that matches
host    all          nobody      127.0.0.1/32         reject
hostssl all          hammer      127.0.0.0/8          cert
host    sameuser     hammer      127.0.0.1/32         trust
host    "app"        app         127.0.0.1 255.255.255.255 scram-sha-256
host    all          reader      ::/0                 trust
host    all          reader      127.0.0.1/32         md5
""")
    server = other_turnout({"auth": f"hba:{rules}", "users": str(users_file), "client_tls": client_tls})
    with server.connect(password=PASSWORD) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app",)
    assert "password authentication failed" in refusal(lambda: server.connect(password="wrong"))
    with server.connect("reader", password=PASSWORD) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("reader",)
    assert "pg_hba.conf rejects connection" in refusal(lambda: server.connect("nobody"))
    missing = refusal(lambda: server.connect("hammer"))
    assert 'no pg_hba.conf entry for host "127.0.0.1", user "hammer", database "app", no encryption' in missing
    cert, key = authority.client("hammer", "rules-hammer")
    with server.connect("hammer", sslmode="require", sslcert=str(cert), sslkey=str(key)) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("hammer",)
    # A reload with a mistake keeps the old rules; one without is used by the next login, and nobody is dropped.
    with server.connect(password=PASSWORD) as connection:
        good = rules.read_text()
        rules.write_text(good + "host all +staff all trust\n")
        outcome = server.cli("check", "-c", str(server.config_file))
        assert outcome.code == INVALID and f"{rules}:8:10: " in outcome.stderr and "+staff" in outcome.stderr, outcome
        assert server.cli("reload", "--yes").code == INVALID
        assert "rejects" in refusal(lambda: server.connect("nobody"))
        rules.write_text("host all app 127.0.0.1/32 reject\n")
        assert server.cli("reload", "--yes").code == 0
        assert "rejects" in refusal(lambda: server.connect(password=PASSWORD))
        assert connection.execute("SELECT 1").fetchone() == (1,)


# ---- nobody learns which names exist


@pytest.mark.smoke
def test_unknown_users_look_like_known_ones(other_turnout: Callable[..., Turnout], asker_password: str, users_file: Path) -> None:
    """The same messages of the same lengths up to the refusal, and the same challenge each time."""
    def conversation(server: Turnout, user: str) -> tuple[list[tuple[str, int]], bytes, dict[str, str]]:
        with Raw(server.port) as client:
            client.send(startup({"user": user, "database": DATABASE}))
            first = b"n,,n=,r=abcdefghijklmnop"
            seen = client.until("R")
            client.send(framed("p", b"SCRAM-SHA-256\0" + len(first).to_bytes(4, "big") + first))
            seen += client.until("R")
            nonce, salt = seen[-1][1][4:].split(b",")[:2]
            client.send(framed("p", b"c=biws," + nonce + b",p=" + b"A" * 43 + b"="))
            seen += client.until("E")
            return [(kind, len(body)) for kind, body in seen[:-1]], salt, error_of(seen[-1][1])

    asked = auth_query(password_file=asker_password)
    for users in (str(users_file), asked, "passthrough"):
        server = other_turnout({"auth": "scram-sha-256", "users": users})
        known, unknown = conversation(server, "app"), conversation(server, "xyz")
        assert known[0] == unknown[0]
        assert {name: text.replace("xyz", "app") for name, text in unknown[2].items()} == known[2]
        assert conversation(server, "app")[1] == known[1]
        assert conversation(server, "xyz")[1] == unknown[1] != conversation(server, "xyw")[1]
        server.stop()


# ---- reload


@pytest.mark.smoke
def test_users_change_without_dropping_anybody(workspace: Any, other_turnout: Callable[..., Turnout], secrets: dict[str, str]) -> None:
    file = workspace.directory("access-reload") / "users.txt"
    file.write_text(f'"app" "{secrets["app"]}"\n')
    server = other_turnout({"auth": "scram-sha-256", "users": str(file)})
    with server.connect(password=PASSWORD) as idle, server.connect(password=PASSWORD) as busy:
        busy.execute("BEGIN")
        before = idle.info.backend_pid
        assert "password authentication failed" in refusal(lambda: server.connect("reader", password=PASSWORD))
        file.write_text('"reader" "correct horse"\n')
        server.signal(signal.SIGHUP)
        for _ in range(200):
            try:
                server.connect("reader", password=PASSWORD).close()
                break
            except psycopg.OperationalError:
                threading.Event().wait(0.05)
        with server.connect("reader", password=PASSWORD) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("reader",)
        assert "password authentication failed" in refusal(lambda: server.connect(password=PASSWORD)), "app is gone from the file"
        for connection in (idle, busy):
            assert connection.execute("SELECT current_user").fetchone() == ("app",)
        busy.execute("COMMIT")
        assert idle.info.backend_pid == before
        # A file with a mistake changes nothing, and the log says where it is.
        file.write_text('"reader" "unfinished\n')
        server.signal(signal.SIGHUP)
        for _ in range(200):
            if f"{file}:1:10" in server.log_tail():
                break
            threading.Event().wait(0.05)
        assert f"{file}:1:10" in server.log_tail()
        server.connect("reader", password=PASSWORD).close()


# ---- the auth query


def auth_query(**changes: Any) -> dict[str, Any]:
    return {"query": "SELECT name, secret FROM access.secret_of($1)", "user": "asker", "database": DATABASE} | changes


@pytest.fixture(scope="module")
def asker_password(workspace: Any) -> str:
    file = workspace.directory("access-asker") / "password"
    file.write_text("asks\n")
    return str(file)


@pytest.fixture(scope="module")
def asking(workspace: Any, pair: Pair, secrets: dict[str, str], asker_password: str) -> Iterator[Turnout]:
    changes = {"auth": "md5", "users": auth_query(password_file=asker_password, cache_time="1s")}
    running = Turnout(workspace, pair, "access-asking", changes)
    running.start()
    yield running
    running.stop()


@pytest.mark.smoke
def test_auth_query(asking: Turnout) -> None:
    for user in ("app", "reader"):  # by SCRAM and by md5, as their secrets are
        for _ in range(3):
            with asking.connect(user, password=PASSWORD) as connection:
                assert connection.execute("SELECT current_user").fetchone() == (user,)
    for user in ("app", "reader", "nobody", "postgres", "x' OR true --", "app\"; DROP"):
        assert f'password authentication failed for user "{user}"' in refusal(lambda: asking.connect(user, password="wrong")), user
    sessions = asking.pair.blue.sql("SELECT usename, datname, setting FROM pg_stat_activity, pg_settings WHERE "
                                    "application_name = 'turnout_auth' AND name = 'search_path'")
    assert 1 <= len(sessions) <= 64 and {row[:2] for row in sessions} == {("asker", DATABASE)}, "a connection a worker, kept"


def test_auth_query_by_many_at_once(asking: Turnout) -> None:
    def login(number: int) -> str:
        try:
            with asking.connect("app" if number % 3 else f"nobody{number}", password=PASSWORD) as connection:
                return str(connection.execute("SELECT current_user").fetchone()[0])  # type: ignore[index]
        except psycopg.OperationalError as error:
            return "refused" if "password authentication failed" in str(error) else str(error)

    with ThreadPoolExecutor(30) as pool:
        assert list(pool.map(login, range(90))) == ["app" if number % 3 else "refused" for number in range(90)]


@pytest.mark.smoke
def test_a_changed_password_counts(asking: Turnout, pair: Pair) -> None:
    pair.blue.sql("CREATE ROLE changing LOGIN PASSWORD 'old'")
    with asking.connect("changing", password="old") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("changing",)
    pair.blue.sql("ALTER ROLE changing PASSWORD 'new'")

    def can_log_in(password: str) -> bool:
        try:
            asking.connect("changing", password=password).close()
            return True
        except psycopg.OperationalError:
            return False

    eventually(lambda: can_log_in("new"), "the new password is known")
    assert not can_log_in("old")
    with asking.connect("changing", password="new") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("changing",)
    pair.blue.sql("DROP ROLE changing")
    eventually(lambda: not can_log_in("new"), "a dropped role is refused")


def test_auth_query_fails_closed(other_turnout: Callable[..., Turnout], pair: Pair, asker_password: str, secrets: dict[str, str]) -> None:
    for why, changes in {
        "no such function": {"query": "SELECT * FROM access.nothing($1)"},
        "it may only look into pg_catalog": {"query": "SELECT name, secret FROM secret_of($1)"},
        "it may not write": {"query": "INSERT INTO public.hammer (side, how) VALUES ($1, $1) RETURNING side, how"},
        "its role may not log in": {"user": "app"},
    }.items():
        server = other_turnout({"auth": "scram-sha-256", "users": auth_query(password_file=asker_password, **changes)})
        for user in ("app", "nobody"):
            assert "logins cannot be checked now" in refusal(lambda: server.connect(user, password=PASSWORD)), why
        server.stop()
    for why, sql in {
        "a row of somebody else": "SELECT 'reader', $1::text",
        "two rows": "SELECT $1::text, 'correct horse' FROM generate_series(1, 2)",
        "no secret": "SELECT $1::text, NULL::text",
        "an empty secret": "SELECT $1::text, ''",
        "one column": "SELECT $1::text",
        "a damaged verifier": "SELECT $1::text, 'SCRAM-SHA-256$4096:x$y:z'",
    }.items():
        server = other_turnout({"auth": "scram-sha-256", "users": auth_query(password_file=asker_password, query=sql)})
        assert "password authentication failed" in refusal(lambda: server.connect(password=PASSWORD)), why
        server.stop()


def test_auth_query_survives_its_connection(asking: Turnout, pair: Pair) -> None:
    asking.connect(password=PASSWORD).close()
    pair.blue.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'turnout_auth'")
    for user in ("reader", "app"):
        with asking.connect(user, password=PASSWORD) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (user,)


@pytest.mark.smoke
def test_passthrough(other_turnout: Callable[..., Turnout], secrets: dict[str, str]) -> None:
    server = other_turnout({"auth": "scram-sha-256", "users": "passthrough"})
    with server.connect(password=PASSWORD) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app",)
    for user in ("app", "nobody", "app_owner"):
        assert "password authentication failed" in refusal(lambda: server.connect(user, password="wrong")), user
