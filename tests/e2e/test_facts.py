"""What the cutover builds on, asked of the real servers: not Turnout is tested here but what PostgreSQL does.

If one of these fails with a new version, the protocol of the flip has to be thought through again before anything else.
"""
from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Iterator

import psycopg
import pytest

from harness.pair import Pair
from harness.postgres import Postgres

READ_ONLY = psycopg.errors.ReadOnlySqlTransaction
WRITE = "UPDATE counter SET value = value WHERE session = 220"


@contextmanager
def fenced(server: Postgres) -> Iterator[None]:
    def turn(text: str, expected: str) -> None:
        # In another database: settings of this one may be what a test is about.
        server.sql(text, database="postgres")
        server.sql("SELECT pg_reload_conf()", database="postgres")
        server.wait_for("SHOW default_transaction_read_only", expected, database="postgres")
        time.sleep(0.05)  # living sessions see it some milliseconds later

    turn("ALTER SYSTEM SET default_transaction_read_only = on", "on")
    try:
        yield
    finally:
        turn("ALTER SYSTEM RESET default_transaction_read_only", "off")


@pytest.fixture(params=["blue", "green"])
def server(pair: Pair, request: pytest.FixtureRequest) -> Postgres:
    return pair.sides[request.param]


def ends_in(text: str, connection: psycopg.Connection[Any]) -> str:
    """"" or the SQLSTATE, with nothing left open."""
    try:
        connection.execute(text)
        return ""
    except psycopg.Error as error:
        connection.execute("ROLLBACK")
        return error.sqlstate or "?"


@pytest.mark.parametrize("how, escapes", [
    ("living session", False), ("SET off", True), ("startup option off", True), ("BEGIN READ WRITE", True), ("RESET", False),
    ("SET SESSION CHARACTERISTICS", True), ("DISCARD ALL", False)])
def test_fence_catches(server: Postgres, how: str, escapes: bool) -> None:
    options = {"options": "-c default_transaction_read_only=off"} if how == "startup option off" else {}
    with server.connect("app", "app", **options) as living:
        living.execute("SELECT 1")
        with fenced(server):
            before = {"SET off": "SET default_transaction_read_only = off", "RESET": "RESET default_transaction_read_only",
                      "SET SESSION CHARACTERISTICS": "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
                      "DISCARD ALL": "DISCARD ALL"}.get(how)
            if before:
                living.execute(before)
            text = f"BEGIN READ WRITE; {WRITE}; ROLLBACK" if how == "BEGIN READ WRITE" else f"BEGIN; {WRITE}; ROLLBACK"
            assert ends_in(text, living) == ("" if escapes else "25006")


def test_open_transaction_outlives_the_fence(server: Postgres) -> None:
    with server.connect("app", "app") as living:
        living.execute("BEGIN")
        with fenced(server):
            living.execute(WRITE)
            living.execute("ROLLBACK")
            assert ends_in(WRITE, living) == "25006"


def test_parameter_status_comes_with_the_first_answer(server: Postgres) -> None:
    with server.connect("app", "app") as living:
        living.execute("SELECT 1")
        assert living.info.parameter_status("default_transaction_read_only") == "off"
        with fenced(server):
            assert living.info.parameter_status("default_transaction_read_only") == "off", "not while idle"
            living.execute("SELECT 1")
            assert living.info.parameter_status("default_transaction_read_only") == "on"


@pytest.mark.parametrize("settings, wins", [
    (["ALTER ROLE app SET default_transaction_read_only = off"], "off"),
    (["ALTER DATABASE app SET default_transaction_read_only = off"], "off"),
    (["ALTER DATABASE app SET default_transaction_read_only = on", "ALTER ROLE app SET default_transaction_read_only = off"], "off"),
    (["ALTER ROLE app SET default_transaction_read_only = off",
      "ALTER ROLE app IN DATABASE app SET default_transaction_read_only = on"], "on")])
def test_precedence_over_the_servers_on(server: Postgres, settings: list[str], wins: str) -> None:
    for text in settings:
        server.sql(text, database="postgres")
    try:
        with fenced(server):
            assert server.value("SHOW default_transaction_read_only", user="app") == wins
    finally:
        for text in settings:
            server.sql(text.replace(" SET ", " RESET ").split(" =")[0], database="postgres")


@pytest.mark.parametrize("text, state", [
    ("SELECT nextval('ticket')", "25006"), ("SELECT 1 FROM notes FOR UPDATE", "25006"), ("CREATE TEMP TABLE t (n int)", "25006"),
    ("COPY notes (body) FROM PROGRAM 'true'", "25006"), ("GRANT SELECT ON notes TO reader", "25006"),
    ("LISTEN news", ""), ("NOTIFY news", ""), ("SELECT pg_advisory_lock(3)", ""), ("VACUUM notes", ""), ("ANALYZE notes", ""),
    ("SELECT pg_logical_emit_message(false, 'x', 'y')", "")])
def test_allowed_and_refused_while_read_only(server: Postgres, text: str, state: str) -> None:
    with server.connect(database="app", options="-c default_transaction_read_only=on") as connection:
        assert ends_in(text, connection) == state


def test_commit_prepared_passes_the_fence(server: Postgres) -> None:
    with server.connect("app", "app") as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE counter SET value = value WHERE session = 200")
        connection.execute("PREPARE TRANSACTION 'fact'")
        with fenced(server):
            connection.execute("COMMIT PREPARED 'fact'")


def test_apply_goes_on_while_green_is_read_only(pair: Pair) -> None:
    with fenced(pair.green):
        pair.blue.sql("INSERT INTO notes (body) VALUES ('through the fence'); UPDATE counter SET value = value WHERE session = 3")
        pair.green.wait_for("SELECT count(*) = 1 FROM notes WHERE body = 'through the fence'")


def flush_origin(green: Postgres) -> None:
    green.sql("SELECT pg_replication_origin_progress('pg_' || oid, true) FROM pg_subscription WHERE subname = 'turnout_fwd'")


def test_marker_proves_what_was_before_it(pair: Pair) -> None:
    for number in range(40):
        pair.blue.sql("UPDATE counter SET value = %s WHERE session BETWEEN 100 AND 200", [number])
        pair.blue.sql("INSERT INTO notes (body) VALUES (%s)", [f"marker {number}"])
        pair.green.wait_for(f"SELECT count(*) = 1 FROM notes WHERE body = 'marker {number}'")
        assert pair.green.value("SELECT count(*) FROM counter WHERE session BETWEEN 100 AND 200 AND value = %s", [number]) == 101


def test_flushed_marker_survives_kill9_of_green(pair: Pair) -> None:
    pair.blue.sql("INSERT INTO notes (body) VALUES ('flushed marker')")
    pair.green.wait_for("SELECT count(*) = 1 FROM notes WHERE body = 'flushed marker'")
    flush_origin(pair.green)
    pair.green.kill9()
    pair.green.start()
    assert pair.green.value("SELECT count(*) FROM notes WHERE body = 'flushed marker'") == 1
    pair.blue.wait_for("SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'", timeout_s=40)


def test_slot_creation_waits_for_writers_of_other_databases(pair: Pair) -> None:
    make = "SELECT pg_create_logical_replication_slot('fact', 'pgoutput')"
    with pair.green.connect(database="postgres") as writer, ThreadPoolExecutor(1) as threads:
        writer.execute("CREATE TABLE IF NOT EXISTS elsewhere (n int)")
        writer.execute("BEGIN; INSERT INTO elsewhere VALUES (1)")
        making = threads.submit(lambda: pair.green.sql(make))
        time.sleep(0.7)
        assert not making.done()
        writer.execute("COMMIT")
        making.result(10)
    pair.green.sql("SELECT pg_drop_replication_slot('fact')")


def test_origin_none_is_unknown_to_15(pair: Pair) -> None:
    text = "CREATE SUBSCRIPTION fact CONNECTION 'host=127.0.0.1' PUBLICATION x WITH (connect = false, origin = none)"
    assert pair.blue.major == 15
    with pytest.raises(psycopg.errors.SyntaxError, match="origin"):
        pair.blue.sql(text)


def test_blues_type_oid_is_refused_by_green_and_zero_works(pair: Pair) -> None:
    blue_oid, green_oid = pair.type_oids()["mood"]
    assert blue_oid != green_oid
    with pair.green.connect("app", "app") as connection:
        def count(oid: int) -> Any:
            return connection.pgconn.exec_params(b"SELECT count(*) FROM feelings WHERE m = $1", [b"ok"], [oid])

        assert count(0).get_value(0, 0) == count(green_oid).get_value(0, 0) == b"100"
        assert count(blue_oid).status == psycopg.pq.ExecStatus.FATAL_ERROR


def test_early_slot_advanced_after_the_flush_sends_nothing_back(pair: Pair) -> None:
    """Last in this file: it turns the replication round. Then rows written on green arrive on blue, and only those."""
    blue, green = pair.blue, pair.green
    green.sql("CREATE PUBLICATION fact_rev FOR TABLE ledger, counter, notes")
    green.sql("SELECT pg_create_logical_replication_slot('fact_rev', 'pgoutput')")
    blue.sql("INSERT INTO ledger (session, number) SELECT 99, n FROM generate_series(1, 2000) AS n")
    with fenced(blue):
        pair.caught_up()
        flush_origin(green)
        green.sql("SELECT pg_replication_slot_advance('fact_rev', pg_current_wal_flush_lsn())")
        green.sql("ALTER SUBSCRIPTION turnout_fwd DISABLE")
        blue.wait_for("SELECT count(*) = 0 FROM pg_stat_replication", timeout_s=5)
        blue.sql("CREATE SUBSCRIPTION fact_rev CONNECTION "
                 f"'host=127.0.0.1 port={green.port} user=turnout dbname=app' PUBLICATION fact_rev "
                 "WITH (create_slot = false, copy_data = false, slot_name = 'fact_rev')", user="turnout")
        green.sql("INSERT INTO ledger (id, session, number) VALUES (500000, 98, 1)")
        blue.wait_for("SELECT count(*) = 1 FROM ledger WHERE session = 98")  # fenced as it is
    assert blue.value("SELECT count(*) FROM ledger WHERE session = 99") == 2000
    assert "duplicate key" not in blue.log.read_text()
    blue.sql("ALTER SUBSCRIPTION fact_rev DISABLE")
    blue.sql("ALTER SUBSCRIPTION fact_rev SET (slot_name = NONE)")
    blue.sql("DROP SUBSCRIPTION fact_rev")
