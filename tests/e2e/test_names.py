"""Databases behind host names: several addresses, a change under load, name servers that die, a name that goes astray."""
from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import Any, Iterator

import psycopg
import pytest

from conftest import Fresh
from harness.checks import assert_books, assert_no_errors, assert_report, assert_writer
from harness.dns import Forwarder, NameServer, hosts_of
from harness.ledger import Ledger
from harness.waiting import eventually

FIRST, SECOND, THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3"
SETTINGS = {"listen_addresses": f"{FIRST},{SECOND}"}
TTL_S = 1


@contextmanager
def named(fresh: Fresh, **changes: Any) -> Iterator[NameServer]:
    """Turnout again, with names in place of numbers and a name server of ours."""
    with NameServer(TTL_S) as names:
        names.records = {"blue.test": [FIRST], "green.test": [FIRST]}
        turnout, pair = fresh.turnout, fresh.pair
        turnout.stop()
        turnout.config["dns"] = {"servers": [names.address], "ttl_min": "200ms", "ttl_max": "5s", "timeout": "1s"} | changes
        turnout.config["deployments"]["app"] |= {"blue": f"blue.test:{pair.blue.port}", "green": f"green.test:{pair.green.port}",
                                                 # What the servers call each other is asked of their own machine.
                                                 "replication": {"blue_address": f"{FIRST}:{pair.blue.port}",
                                                                 "green_address": f"{FIRST}:{pair.green.port}"}}
        turnout.write_config()
        turnout.start()
        yield names


def server_address(fresh: Fresh) -> str:
    """Where a new session's statement runs."""
    with fresh.turnout.connect() as connection:
        return str(connection.execute("SELECT host(inet_server_addr())").fetchone()[0])  # type: ignore[index]


def addresses_in_use(fresh: Fresh) -> set[str]:
    """Of the server connections of our pools to blue, seen from this machine."""
    rows = fresh.pair.blue.sql("SELECT client_port FROM pg_stat_activity WHERE usename = 'app'")
    return hosts_of({row[0] for row in rows}, fresh.pair.blue.port)


@pytest.mark.smoke
def test_an_address_changes_under_load_and_the_name_server_dies(fresh: Fresh) -> None:
    with named(fresh) as names, Ledger(fresh.turnout.conninfo()) as ledger:
        eventually(lambda: addresses_in_use(fresh) == {FIRST}, "connections to the first address")
        names.records["blue.test"] = [SECOND]
        followed_s = eventually(lambda: addresses_in_use(fresh) == {SECOND}, "every connection at the second address")
        assert followed_s < TTL_S + 5, "and the margin is for a machine under load"
        assert server_address(fresh) == SECOND
        names.records["green.test"] = [SECOND]
        names.die()
        asked = names.asked
        eventually(lambda: names.asked > asked + 4, "it was asked in vain")
        start = time.monotonic()
        report = fresh.turnout.ask("cutover", "app")
        assert_report(report, "cutover")
        ledger.wait_commits(20)
        assert ledger.longest_ms(start) < 5_000
        report = fresh.turnout.ask("rollback", "app")
        assert_report(report, "rollback")
        ledger.wait_commits(20)
        with ledger.resting():
            assert_no_errors(ledger)
            assert_books(ledger, fresh.pair, "blue")
        assert_writer(fresh.pair, fresh.turnout, "blue")
        metrics = fresh.turnout.metrics()
        assert metrics['turnout_name_failures_total{deployment="app",side="blue"}'] >= 1
        assert metrics['turnout_name_answer_age_seconds{deployment="app",side="blue"}'] > 0


def test_several_addresses_are_tried_in_turn(fresh: Fresh) -> None:
    """The first of them refuses, and so does each of them once."""
    with named(fresh) as names:
        assert server_address(fresh) == FIRST
        for dead, alive in (("127.0.0.9", SECOND), (FIRST, SECOND), (SECOND, FIRST)):
            names.records["blue.test"] = [dead, alive]
            eventually(lambda: names.asked > 0 and server_address(fresh) in (FIRST, SECOND), "an answer")
        names.records["blue.test"] = ["127.0.0.9", SECOND]
        eventually(lambda: server_address(fresh) == SECOND, "the address that answers")
        for _ in range(20):
            assert server_address(fresh) == SECOND


def test_a_name_that_leads_to_another_server_is_not_followed(fresh: Fresh) -> None:
    """An alias that was moved too early, or to the wrong machine: the worst there is, and everything looks well."""
    with named(fresh) as names, Forwarder(THIRD, fresh.pair.blue.port, fresh.pair.green.port) as astray:
        with fresh.turnout.connect() as connection:
            connection.execute("INSERT INTO notes (body) VALUES ('before')")
            names.records["blue.test"] = [THIRD]
            eventually(lambda: "is not used" in fresh.turnout.log_file.read_text(), "the refusal in the log")
            before = fresh.pair.green.value("SELECT count(*) FROM notes WHERE body = 'astray'")
            for _ in range(10):
                with fresh.turnout.connect() as other:
                    other.execute("INSERT INTO notes (body) VALUES ('astray')")
            connection.execute("INSERT INTO notes (body) VALUES ('astray')")
        assert fresh.pair.blue.value("SELECT count(*) FROM notes WHERE body = 'astray'") == 11
        assert astray.accepted >= 1, "it was looked at"
        assert before == 0
        metrics = fresh.turnout.metrics()
        assert metrics['turnout_name_addresses{deployment="app",side="blue",state="refused"}'] == 1
        names.records["blue.test"] = [SECOND]
        eventually(lambda: addresses_in_use(fresh) <= {SECOND} and server_address(fresh) == SECOND, "the right server's new address")


def test_a_transaction_outlives_the_change(fresh: Fresh) -> None:
    with named(fresh) as names:
        with fresh.turnout.connect(autocommit=False) as connection:
            connection.execute("INSERT INTO notes (body) VALUES ('across')")
            names.records["blue.test"] = [SECOND]
            eventually(lambda: server_address(fresh) == SECOND, "new work at the new address")
            row = connection.execute("SELECT host(inet_server_addr())").fetchone()
            assert row == (FIRST,), "the transaction is where it began"
            connection.commit()
        eventually(lambda: addresses_in_use(fresh) <= {SECOND}, "the old connection is closed at the end of its lease")
        assert fresh.pair.blue.value("SELECT count(*) FROM notes WHERE body = 'across'") == 1


def test_a_start_without_a_name_server(fresh: Fresh) -> None:
    """It comes up, says what it lacks, and serves as soon as it is told."""
    with named(fresh) as names:
        fresh.turnout.stop()
        names.die()
        fresh.turnout.start(wait_ready=False)
        results: list[object] = []

        def client() -> None:
            eventually(lambda: _answers(fresh), "a login that succeeds")
            results.append(server_address(fresh))

        thread = threading.Thread(target=client, daemon=True)
        thread.start()
        eventually(lambda: "no address is known yet" in fresh.turnout.log_file.read_text(), "what is missing, in the log")
        assert fresh.turnout.rest("/readyz")[0] == 503
        names.rise()
        thread.join(60)
        assert results == [FIRST]
        assert fresh.turnout.rest("/readyz")[0] == 200


def _answers(fresh: Fresh) -> bool:
    try:
        return server_address(fresh) != ""
    except psycopg.Error:
        return False
