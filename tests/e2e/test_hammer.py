"""An ordinary role that goes past Turnout, to both servers at once, never finds both of them writable."""
from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import psycopg

from conftest import Fresh
from harness.checks import assert_books, assert_no_errors
from harness.dns import Forwarder
from harness.ledger import Ledger
from harness.load import Hammer
from harness.workspace import free_port

CHANGES: dict[str, Any] = {"waive": ["bypassing_clients"]}  # it is there on purpose
SETTINGS = {"track_commit_timestamp": "on"}  # the servers' own clock says which commit came first
# Green is read-only until the decision by its default, which READ WRITE passes: on the side that is not yet the writer
# the hammer does what an ordinary application does; on the old writer it tries everything.
ON_THE_NEW = ("old", "new")


def hammered(fresh: Fresh, verb: str, old: str, new: str) -> None:
    hammer = Hammer(fresh.pair.sides, {old: Hammer.WAYS, new: ON_THE_NEW})
    with Ledger(fresh.turnout.conninfo(), sessions_per_kind=1) as ledger:
        since = fresh.pair.sides[new].value("SELECT now()::text")
        hammer.start()
        assert hammer.successes(new) == 0, "the other side takes writes before the decision"
        fresh.turnout.ask(verb, "app")
        ledger.wait_commits(20)
        hammer.stop()
    verdict = hammer.verdict(old, new, since)
    assert verdict.last_on_old is not None, "the hammer never hit the old writer: this proves nothing"
    assert hammer.successes(new) > 0, f"the hammer never got through to the new writer: {hammer.errors()}"
    assert verdict.overlap_ms() <= 0, f"both sides took writes for {verdict.overlap_ms():.2f} ms: {verdict}"
    assert_no_errors(ledger)
    assert_books(ledger, fresh.pair, new)
    rows = {side: server.value("SELECT count(*) FROM hammer WHERE side = %s", [old]) for side, server in fresh.pair.sides.items()}
    assert rows[old] == rows[new], f"writes that passed Turnout before the fence are lost: {rows}"


def test_cutover_under_the_hammer(fresh: Fresh) -> None:
    fresh.turnout.ask("prepare", "app")  # from here on green is read-only
    hammered(fresh, "cutover", "blue", "green")


def test_rollback_under_the_hammer(fresh: Fresh) -> None:
    fresh.turnout.ask("cutover", "app")
    fresh.turnout.wait_settled()
    hammered(fresh, "rollback", "green", "blue")


def test_a_strangers_connection_with_a_port_of_ours(fresh: Fresh) -> None:
    """A system gives the local port of our connection to green to somebody else's connection to blue."""
    fresh.turnout.ask("prepare", "app")
    blue, green = fresh.pair.blue, fresh.pair.green
    ports = [row[0] for row in green.sql("SELECT client_port FROM pg_stat_activity WHERE application_name = 'turnout' AND client_port > 0")]
    taken = {row[0] for row in blue.sql("SELECT client_port FROM pg_stat_activity")}
    assert set(ports) - taken, "Turnout has no connection to green: this proves nothing"
    with ExitStack() as stack:
        strangers: list[psycopg.Connection[Any]] = []
        for port in set(ports) - taken:
            entry = free_port()
            stack.enter_context(Forwarder("127.0.0.1", entry, blue.port, port))
            strangers.append(psycopg.connect(f"host=127.0.0.1 port={entry} user=hammer dbname=app", autocommit=True))
            strangers[-1].execute("BEGIN READ WRITE; INSERT INTO hammer (side, how) VALUES ('blue', 'read_write'); COMMIT")
        fresh.turnout.ask("cutover", "app")
        for stranger in strangers:
            try:
                stranger.execute("BEGIN READ WRITE; INSERT INTO hammer (side, how) VALUES ('blue', 'late'); COMMIT")
            except psycopg.OperationalError:
                pass  # ended
            stranger.close()
    assert blue.value("SELECT count(*) FROM hammer WHERE how = 'late'") == 0, "a write on blue after the fence"
