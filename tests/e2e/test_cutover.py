"""The main job: move the writes to green and back under load, and nobody notices."""
from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import psycopg
import pytest

from conftest import Fresh
from harness.checks import (assert_books, assert_no_errors, assert_report, assert_sequences_moved_on, assert_writer, other)
from harness.ledger import Ledger
from harness.load import Pgbench, TypeReaders
from harness.turnout import CONFLICT, DONE, INVALID
from harness.waiting import eventually

CHANGES: dict[str, Any] = {}
LONG_DRAIN: dict[str, Any] = {"cutover": {"drain": "20s", "window": "30s", "transaction_age": "60s"}}


def move(fresh: Fresh, ledger: Ledger, verb: str, to: str) -> dict[str, Any]:
    """One cutover or rollback under the running ledger, compared afterwards on the new writer."""
    sequences = fresh.pair.sequences(other(to))
    start = time.monotonic()
    report = fresh.turnout.ask(verb, "app")
    end = time.monotonic()
    assert_report(report, verb)
    assert report["writer"] == to
    ledger.wait_commits(20)
    assert ledger.longest_ms(start, end) < 5_000, "a client waited longer than the window may last"
    with ledger.resting():
        assert_no_errors(ledger)
        assert_books(ledger, fresh.pair, to)
        assert_sequences_moved_on(fresh.pair, sequences, to)
        fresh.pair.caught_up(to)
        assert_books(ledger, fresh.pair, other(to))  # and the way back carries everything
    return dict(report)


def cutover_and_rollback(fresh: Fresh, times: int = 1) -> None:
    turnout = fresh.turnout
    load = [Pgbench(turnout.port, turnout.home, mode="prepared", clients=4, rate=150, seconds=600),
            Pgbench(turnout.port, turnout.home, mode="prepared", script="select-only", clients=4, rate=400, seconds=600)]
    readers = TypeReaders(turnout.conninfo(), 2).start()
    with Ledger(turnout.conninfo()) as ledger:
        for _ in range(times):
            move(fresh, ledger, "cutover", "green")
            move(fresh, ledger, "rollback", "blue")
    results = [pgbench.stop() for pgbench in load]
    readers.stop()
    assert not readers.errors and readers.reads > 50, readers.errors[:5]
    for result in results:
        assert result.clean(), result.errors[:5]
    assert_no_errors(ledger)
    assert_books(ledger, fresh.pair, "blue")
    assert_writer(fresh.pair, turnout, "blue")


@pytest.mark.smoke
def test_cutover_and_rollback_under_load(fresh: Fresh) -> None:
    cutover_and_rollback(fresh)


def test_twice_in_a_row(fresh: Fresh) -> None:
    with Ledger(fresh.turnout.conninfo(), sessions_per_kind=1) as ledger:
        epochs = []
        for verb, to in (("cutover", "green"), ("rollback", "blue"), ("cutover", "green"), ("rollback", "blue")):
            epochs.append(move(fresh, ledger, verb, to)["epoch"])
    assert epochs == sorted(set(epochs)), "every attempt has a greater epoch"
    assert_no_errors(ledger)
    assert_writer(fresh.pair, fresh.turnout, "blue")


@pytest.mark.parametrize("fresh", [LONG_DRAIN], indirect=True, ids=["cutover"])
def test_a_cancel_in_the_window_is_no_error_of_turnout(fresh: Fresh) -> None:
    """The report of a move counts what Turnout has refused, and not what a client itself has called off."""
    turnout = fresh.turnout
    with turnout.connect() as writer, turnout.connect() as asker, ThreadPoolExecutor() as threads:
        writer.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 200")  # the drain waits for it
        report = threads.submit(turnout.ask, "cutover", "app")
        eventually(lambda: turnout.status()["phase"] == "drain", "the drain")
        statement = threads.submit(asker.execute, "UPDATE counter SET value = 6 WHERE session = 201")
        eventually(lambda: any(client["state"] == "held" for client in turnout.ask("clients")["clients"]), "a held statement")
        asker.cancel()
        with pytest.raises(psycopg.errors.QueryCanceled):
            statement.result(20)
        writer.execute("COMMIT")
        assert_report(report.result(60), "cutover")
        assert asker.execute("SELECT inet_server_port()").fetchone() == (fresh.pair.green.port,)


def test_moves_on_each_other_s_heels(fresh: Fresh) -> None:
    """A launcher of 15 that is woken within its interval sleeps for all of it again: the way back must not wait for that."""
    interval_ms = float(fresh.pair.blue.value("SELECT setting FROM pg_settings WHERE name = 'wal_retrieve_retry_interval'"))
    for verb in ("cutover", "rollback", "cutover"):
        report = fresh.turnout.ask(verb, "app")
        assert_report(report, verb)
    # Counted from the last start on blue, which was before the rollback, and not from the subscription's making.
    assert report["phases_ms"]["settle"] < interval_ms, report
    assert_writer(fresh.pair, fresh.turnout, "green")


@pytest.mark.soak
@pytest.mark.parametrize("run", range(10))
def test_ten_runs_in_a_row(fresh: Fresh, run: int) -> None:
    cutover_and_rollback(fresh)


@pytest.mark.soak
def test_many_moves_on_one_pair(fresh: Fresh) -> None:
    cutover_and_rollback(fresh, times=8)


def test_writer_and_status_after_each_step(fresh: Fresh) -> None:
    turnout, pair = fresh.turnout, fresh.pair
    before = turnout.status()
    assert before["writer"] == "blue" and before["phase"] == "idle" and before["ramp_percent"] == 0
    turnout.ask("cutover", "app")
    assert_writer(pair, turnout, "green")
    status = turnout.status()
    assert status["phase"] in ("cooling", "settle") and status["epoch"] > before["epoch"]
    again = turnout.cli("cutover", "app", "-o", "json", "--yes")
    assert again.code == CONFLICT, again
    turnout.ask("rollback", "app")
    assert_writer(pair, turnout, "blue")


def test_restart_keeps_the_writer(fresh: Fresh) -> None:
    fresh.turnout.ask("cutover", "app")
    fresh.turnout.restart()
    assert_writer(fresh.pair, fresh.turnout, "green")
    fresh.turnout.ask("rollback", "app")
    fresh.turnout.restart()
    assert_writer(fresh.pair, fresh.turnout, "blue")


def test_reports_are_kept(fresh: Fresh) -> None:
    report = fresh.turnout.ask("cutover", "app")
    assert fresh.turnout.ask("report", "app") == report
    assert fresh.turnout.ask("report", "app", str(report["epoch"])) == report
    fresh.turnout.restart()
    assert fresh.turnout.ask("report", "app")["outcome"] == "committed"


def test_dry_run_touches_nothing(fresh: Fresh) -> None:
    before = fresh.pair.snapshot()
    outcome = fresh.turnout.cli("cutover", "app", "--dry-run", "-o", "json", "--yes")
    assert outcome.code == DONE, outcome
    assert fresh.pair.snapshot() == before
    assert fresh.turnout.status()["writer"] == "blue"


def test_rehearsal_comes_back_to_blue(fresh: Fresh) -> None:
    fresh.turnout.ask("prepare", "app")
    before = fresh.pair.snapshot()
    with Ledger(fresh.turnout.conninfo(), sessions_per_kind=1) as ledger:
        report = fresh.turnout.ask("cutover", "app", "--rehearse")
        ledger.wait_commits(10)
    assert_report(report, "cutover", "rehearsed")
    assert_no_errors(ledger)
    assert_books(ledger, fresh.pair, "blue")
    assert_writer(fresh.pair, fresh.turnout, "blue")
    assert fresh.pair.snapshot() == before


@pytest.mark.smoke
def test_session_state_moves_along(fresh: Fresh) -> None:
    """Parameters and prepared statements of a session that idles through both moves."""
    turnout = fresh.turnout
    with turnout.connect(application_name="traveller") as connection:
        connection.execute("SET TimeZone TO 'Asia/Tokyo'; SET search_path TO public, pg_catalog; SET work_mem = '7MB'")
        connection.prepare_threshold = 0
        wanted = ("Asia/Tokyo", "public, pg_catalog", "7MB", "traveller")

        def look() -> Any:
            return connection.execute("SELECT current_setting('TimeZone'), current_setting('search_path'), "
                                      "current_setting('work_mem'), current_setting('application_name') WHERE %s::int = 1",
                                      (1,)).fetchone()

        assert look() == wanted
        turnout.ask("cutover", "app")
        for _ in range(3):
            assert look() == wanted
        assert connection.execute("SHOW transaction_read_only").fetchone() == ("off",)
        assert connection.execute("SHOW default_transaction_read_only").fetchone() == ("off",)
        turnout.ask("rollback", "app")
        assert look() == wanted


def test_read_only_wish_survives(fresh: Fresh) -> None:
    """A session that asked for read-only keeps it on green; another one does not get it from the fence."""
    with fresh.turnout.connect() as careful, fresh.turnout.connect() as plain:
        careful.execute("SET default_transaction_read_only = on")
        plain.execute("SET default_transaction_read_only = off")
        fresh.turnout.ask("cutover", "app")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            careful.execute("INSERT INTO notes (body) VALUES ('no')")
        plain.execute("INSERT INTO notes (body) VALUES ('yes')")


def test_warm_asyncpg_statements_with_user_types(fresh: Fresh) -> None:
    """The enum and the domain have other OIDs on green; statements prepared on blue must go on working."""

    async def body() -> None:
        connection = await asyncpg.connect(host="127.0.0.1", port=fresh.turnout.port, user="app", database="app", ssl=False)
        insert = await connection.prepare("INSERT INTO feelings (m, p) VALUES ($1, $2) RETURNING m, p")
        select = await connection.prepare("SELECT m, p FROM feelings WHERE m = $1 AND p = $2 LIMIT 1")
        loop = asyncio.get_running_loop()
        for verb in (None, "cutover", "rollback"):
            if verb:
                await loop.run_in_executor(None, lambda: fresh.turnout.ask(verb, "app"))
            for number in range(1, 20):
                mood = ("sad", "ok", "happy")[number % 3]
                assert tuple(await insert.fetchrow(mood, number)) == (mood, number)
                assert tuple(await select.fetchrow(mood, number)) == (mood, number)
        await connection.close(timeout=5)

    asyncio.run(body())


def test_open_transaction_ends_on_blue(fresh: Fresh) -> None:
    """A transaction that runs when the cutover begins goes on to its own end; the next one is on green."""
    turnout = fresh.turnout
    turnout.ask("prepare", "app")
    with turnout.connect() as connection:
        connection.execute("BEGIN; UPDATE counter SET value = value + 1 WHERE session = 200")
        process = turnout.cli_start("cutover", "app", "--yes", "-o", "json")
        turnout.wait_phase("drain", "fence")
        connection.execute("UPDATE counter SET value = value + 1 WHERE session = 200")
        connection.execute("COMMIT")
        connection.execute("UPDATE counter SET value = value + 10 WHERE session = 200")
        stdout, stderr = process.communicate(timeout=30)
        assert process.returncode == DONE, stdout + stderr
        assert connection.execute("SELECT value FROM counter WHERE session = 200").fetchone() == (12,)
    assert fresh.pair.green.value("SELECT value FROM counter WHERE session = 200") == 12


def test_a_reload_does_not_move_what_an_attempt_stands_on(fresh: Fresh) -> None:
    turnout = fresh.turnout
    deployment = turnout.config["deployments"]["app"]
    with turnout.connect() as connection:
        connection.execute("BEGIN; UPDATE counter SET value = value + 1 WHERE session = 200")
        process = turnout.cli_start("cutover", "app", "--yes", "-o", "json")
        turnout.wait_phase("drain", "fence")
        for key, value in (("blue", "127.0.0.1:1"), ("green", "127.0.0.1:1"), ("databases", ["postgres"])):
            before = deployment[key]
            deployment[key] = value
            turnout.write_config()
            refused = turnout.cli("reload", "--yes")
            deployment[key] = before
            assert refused.code == INVALID, refused
            assert f"deployments.app.{key}: cannot change while epoch 1 is under way" in " ".join(str(refused).split()), refused
        turnout.write_config()
        assert turnout.cli("reload", "--yes").code == 0
        connection.execute("COMMIT")
        stdout, stderr = process.communicate(timeout=30)
        assert process.returncode == DONE, stdout + stderr
    assert fresh.turnout.ask("rollback", "app")["writer"] == "blue"


def test_finish_gives_up_the_way_back(fresh: Fresh) -> None:
    fresh.turnout.ask("cutover", "app")
    fresh.turnout.wait_settled()
    fresh.turnout.ask("finish", "app")
    assert fresh.turnout.status()["phase"] == "finished"
    slots = [row[0] for server in fresh.pair.sides.values() for row in
             server.sql("SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'turnout%%'")]
    assert slots == [], "slots that nobody reads retain WAL for ever"
    for _ in range(2):
        assert fresh.turnout.cli("rollback", "app", "--yes").code == CONFLICT
        with fresh.turnout.connect() as connection:
            connection.execute("INSERT INTO notes (body) VALUES ('still works')")
        fresh.turnout.stop()  # the next process knows of it too
        fresh.turnout.start()
        fresh.turnout.wait_settled()
        assert fresh.turnout.status()["phase"] == "finished"
