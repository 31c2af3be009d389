"""Clients that speak the replication protocol: passed through to the writer, counted, shown, ended when it has moved."""
from __future__ import annotations

import signal
import struct
import subprocess
import threading
from pathlib import Path
from typing import Callable

import pytest

from harness.pair import DATABASE, Pair
from harness.postgres import DEBIAN_BIN
from harness.raw import PROTOCOL_3_2, Raw, error_of, framed, query
from harness.turnout import Turnout
from harness.waiting import eventually


def psql(port: int, conninfo: str, sql: str) -> list[str]:
    done = subprocess.run([str(DEBIAN_BIN / "psql"), "-XAtq", "-d", f"host=127.0.0.1 port={port} user=repl dbname={DATABASE} {conninfo}", "-c", sql],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    return done.stdout.strip().split("|")


@pytest.fixture(scope="module", autouse=True)
def role(pair: Pair) -> None:
    for server in pair.sides.values():
        server.sql("CREATE ROLE repl LOGIN REPLICATION")


@pytest.mark.smoke
@pytest.mark.parametrize("value", ["database", "true", "on", "1"])
def test_commands_reach_the_writer(turnout: Turnout, value: str) -> None:
    through = psql(turnout.port, f"replication={value} application_name=standby7", "IDENTIFY_SYSTEM")
    direct = psql(turnout.pair.blue.port, f"replication={value}", "IDENTIFY_SYSTEM")
    assert through[:2] == direct[:2] and through[3] == direct[3], (through, direct)


def test_replication_off_is_an_ordinary_session(turnout: Turnout) -> None:
    for value in ("false", "off", "0", "no"):
        assert psql(turnout.port, f"replication={value}", "SELECT 1") == ["1"]


@pytest.mark.smoke
def test_receivewal(turnout: Turnout, tmp_path: Path) -> None:
    """A whole segment arrives as the server has it, and the stream is seen for what it is."""
    blue = turnout.pair.blue
    blue.sql("SELECT pg_switch_wal()")
    receiver = subprocess.Popen([str(DEBIAN_BIN / "pg_receivewal"), "-h", "127.0.0.1", "-p", str(turnout.port), "-U", "repl", "-D", str(tmp_path),
                                 "--no-loop", "-s", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        eventually(lambda: blue.value("SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pg_receivewal' AND state = 'streaming'"),
                   "it does not stream")
        clients = turnout.ask("clients")["clients"]
        mine = [client for client in clients if client["user"] == "repl"]
        assert [(client["pinned_by"], client["state"], client["side"]) for client in mine] == [("replication", "active", "blue")], clients
        assert any(blocker["reason"] == "replication" for blocker in turnout.ask("blockers", "app")["blockers"])
        blue.sql("CREATE TABLE walk AS SELECT n, repeat('x', 500) AS text FROM generate_series(1, 20000) AS n")
        name = str(blue.value("SELECT pg_walfile_name(pg_switch_wal())"))
        blue.sql("INSERT INTO walk VALUES (0, 'the next segment')")
        eventually(lambda: (tmp_path / name).exists(), f"{name} has arrived")
        assert (tmp_path / name).read_bytes() == (blue.data / "pg_wal" / name).read_bytes()
    finally:
        receiver.send_signal(signal.SIGINT)
        output, _ = receiver.communicate(timeout=30)
    assert receiver.returncode == 0, output
    eventually(lambda: not [client for client in turnout.ask("clients")["clients"] if client["user"] == "repl"], "it is not shown any more")
    eventually(lambda: not blue.value("SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pg_receivewal'"), "its walsender is gone")


@pytest.mark.smoke
@pytest.mark.parametrize("version", [3 << 16, PROTOCOL_3_2])
def test_sql_and_its_cancel(turnout: Turnout, version: int) -> None:
    with Raw(turnout.port) as client:
        assert client.login_with({"user": "repl", "database": DATABASE, "replication": "database", "application_name": "logical",
                                  "options": "-c statement_timeout=123s"}, version) == {}
        assert client.parameters["application_name"] == "logical"
        assert client.value("SHOW statement_timeout") == "123s"
        client.send(query("SELECT pg_sleep(600)"))
        turnout.pair.blue.wait_for("SELECT count(*)::int FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'", 1)
        client.cancel(client.pid, client.key[:-1] + bytes([client.key[-1] ^ 1]))
        client.cancel(client.pid, client.key)
        messages = client.until("Z")
        assert [error_of(body)["C"] for kind, body in messages if kind == "E"] == ["57014"]
        assert client.value("SELECT 1") == "1"


def test_a_hold_keeps_commands_but_not_streams(turnout: Turnout) -> None:
    with Raw(turnout.port) as client, Raw(turnout.port) as late:
        assert client.login_with({"user": "repl", "database": DATABASE, "replication": "database"}) == {}
        turnout.ask("pause", "app")
        try:
            client.send(query("SELECT 'held'"))
            client.socket.settimeout(0.5)
            with pytest.raises(TimeoutError):
                client.more()
            held = [row for row in turnout.ask("clients")["clients"] if row["user"] == "repl"]
            assert [row["state"] for row in held] == ["held"]
            client.socket.settimeout(30)
        finally:
            turnout.ask("resume", "app")
        assert [kind for kind, _ in client.until("Z")] == ["T", "D", "C", "Z"]
        assert late.login_with({"user": "repl", "replication": "true"}) == {}


def test_refusals(turnout: Turnout) -> None:
    with Raw(turnout.port) as client:
        error = client.login_with({"user": "repl", "database": DATABASE, "replication": "sometimes"})
        assert error["C"] == "22023" and "sometimes" in error["M"]
    with Raw(turnout.port) as client:  # the server's own words
        error = client.login_with({"user": "app", "database": DATABASE, "replication": "database"})
        assert error["C"] == "42501", error
    with Raw(turnout.port) as client:
        assert client.login_with({"user": "repl", "database": DATABASE, "replication": "database"}) == {}
        client.send(b"Q" + struct.pack("!i", 2) + b"x")
        assert error_of(client.until("E")[-1][1])["C"] == "08P01"
    with Raw(turnout.port) as client:
        assert client.login_with({"user": "repl", "database": DATABASE, "replication": "database"}) == {}
        client.send(framed("Q", b"SELECT 1\0")[:7])  # and gone in the midst of it
    assert psql(turnout.port, "replication=database", "SELECT 1") == ["1"]


def test_their_number_has_a_limit(other_turnout: Callable[..., Turnout]) -> None:
    server = other_turnout({"limits": {"replication_clients": 2}})
    wish = {"user": "repl", "database": DATABASE, "replication": "database"}
    for _ in range(3):
        with Raw(server.port) as one, Raw(server.port) as two, Raw(server.port) as three:
            assert one.login_with(wish) == {} and two.login_with(wish) == {}
            error = three.login_with(wish)
            assert error["C"] == "53300" and "limits.replication_clients" in error["M"]
        eventually(lambda: not [row for row in server.ask("clients")["clients"] if row["user"] == "repl"], "they are gone")


def test_more_than_the_sockets_take(turnout: Turnout) -> None:
    """A reader that pauses stops the server, not Turnout's memory; every byte arrives."""
    with Raw(turnout.port) as client:
        assert client.login_with({"user": "repl", "database": DATABASE, "replication": "database"}) == {}
        client.send(query("SELECT repeat('x', 1000000) FROM generate_series(1, 60)"))
        threading.Event().wait(1)
        with open(f"/proc/{turnout.pid}/statm") as statm:
            resident = int(statm.read().split()[1]) * 4096
        assert resident < 200_000_000
        messages = client.until("Z")
        assert [len(body) for kind, body in messages if kind == "D"] == [1_000_006] * 60
