"""A cutover that would lose something is refused by a named check that says what to do."""
from __future__ import annotations

import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, ContextManager, Iterator

import pytest

from harness.listening import Ear
from harness.pair import Pair
from harness.turnout import REFUSED, Turnout

CHANGES: dict[str, Any] = {"cutover": {"check_interval": "1s"}}
VERDICTS = {"PASS", "WARN", "FAIL"}
# What a waiver may name: the configuration's list.
LIST = Path(__file__).resolve().parents[2] / "conf" / "check_names.h"
NAMES = set(re.findall(r'^    "([a-z_.]+)",$', LIST.read_text(), re.M))


def checks(turnout: Turnout) -> dict[str, dict[str, Any]]:
    answer = turnout.cli("preflight", "app", "-o", "json", "--yes")
    return {check["name"]: check for check in answer.json["checks"]}


def failed(turnout: Turnout) -> dict[str, dict[str, Any]]:
    return {name: check for name, check in checks(turnout).items() if check["verdict"] == "FAIL"}


def test_a_healthy_pair_passes(turnout: Turnout) -> None:
    found = checks(turnout)
    assert NAMES == found.keys(), f"differ: {NAMES ^ found.keys()}"
    for name, check in found.items():
        assert check["verdict"] in VERDICTS, check
        assert {"measured", "bound", "todo"} <= check.keys(), check
    assert not failed(turnout)
    assert turnout.cli("preflight", "app").code == 0


def test_user_types_with_other_oids_pass(turnout: Turnout, pair: Pair) -> None:
    """Plain columns of an enum and a domain are no obstacle; arrays of them are (below)."""
    assert any(blue != green for blue, green in pair.type_oids().values())
    found = checks(turnout)["types.oids"]
    assert found["verdict"] == "PASS" and "other OIDs" in found["measured"], found


# ---- what must be refused: each case spoils the pair, and mends it again


@contextmanager
def _subscription_disabled(pair: Pair) -> Iterator[None]:
    pair.green.sql("ALTER SUBSCRIPTION turnout_fwd DISABLE", user="turnout")
    pair.blue.wait_for("SELECT count(*) = 0 FROM pg_stat_replication")
    yield
    pair.green.sql("ALTER SUBSCRIPTION turnout_fwd ENABLE", user="turnout")
    pair.blue.wait_for("SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'", timeout_s=40)


@contextmanager
def _no_replica_identity(pair: Pair) -> Iterator[None]:
    for server in (pair.blue, pair.green):
        server.sql("CREATE TABLE keyless (n int)")
        server.sql("ALTER TABLE keyless OWNER TO app_owner; GRANT ALL ON keyless TO app")
    pair.blue.sql("ALTER PUBLICATION turnout_fwd ADD TABLE keyless")
    pair.green.sql("ALTER SUBSCRIPTION turnout_fwd REFRESH PUBLICATION", user="turnout")
    pair.green.wait_for("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")
    yield
    pair.blue.sql("DROP TABLE keyless")
    pair.green.sql("ALTER SUBSCRIPTION turnout_fwd REFRESH PUBLICATION", user="turnout")
    pair.green.sql("DROP TABLE keyless")


@contextmanager
def _unpublished_table(pair: Pair) -> Iterator[None]:
    for server in (pair.blue, pair.green):
        server.sql("CREATE TABLE forgotten (n int PRIMARY KEY)")
    yield
    for server in (pair.blue, pair.green):
        server.sql("DROP TABLE forgotten")


@contextmanager
def _lag(pair: Pair) -> Iterator[None]:
    with pair.green.connect(database="app") as blocker:
        blocker.execute("BEGIN; LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")
        pair.blue.sql("INSERT INTO notes (body) SELECT repeat('x', 500) FROM generate_series(1, 8000)")
        time.sleep(0.5)
        yield
        blocker.execute("ROLLBACK")
    pair.caught_up()


@contextmanager
def _long_transaction(pair: Pair) -> Iterator[None]:
    with pair.blue.connect("app", "app") as connection:
        connection.execute("BEGIN; UPDATE counter SET value = value WHERE session = 1")
        time.sleep(2.5)
        yield
        connection.execute("ROLLBACK")


@contextmanager
def _prepared_transaction(pair: Pair) -> Iterator[None]:
    with pair.blue.connect("app", "app") as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE counter SET value = value WHERE session = 1")
        connection.execute("PREPARE TRANSACTION 'left over'")
    yield
    pair.blue.sql("ROLLBACK PREPARED 'left over'")


@contextmanager
def _missing_role(pair: Pair) -> Iterator[None]:
    pair.blue.sql("CREATE ROLE only_on_blue LOGIN; GRANT SELECT ON notes TO only_on_blue")
    yield
    pair.blue.sql("DROP OWNED BY only_on_blue; DROP ROLE only_on_blue")


@contextmanager
def _type_of_one_side(pair: Pair) -> Iterator[None]:
    pair.blue.sql("CREATE TYPE only_on_blue AS ENUM ('x')")
    yield
    pair.blue.sql("DROP TYPE only_on_blue")


@contextmanager
def _role_that_outranks_the_fence(pair: Pair) -> Iterator[None]:
    for server in (pair.blue, pair.green):
        server.sql("ALTER ROLE app SET default_transaction_read_only = off")
    yield
    for server in (pair.blue, pair.green):
        server.sql("ALTER ROLE app RESET default_transaction_read_only")


@contextmanager
def _missing_partition(pair: Pair) -> Iterator[None]:
    for server in (pair.blue, pair.green):
        server.sql("CREATE TABLE measured (at int PRIMARY KEY) PARTITION BY RANGE (at)")
        server.sql("CREATE TABLE measured_1 PARTITION OF measured FOR VALUES FROM (0) TO (10)")
    pair.blue.sql("CREATE TABLE measured_2 PARTITION OF measured FOR VALUES FROM (10) TO (20)")
    yield
    for server in (pair.blue, pair.green):
        server.sql("DROP TABLE measured")


@contextmanager
def _disabled_trigger(pair: Pair) -> Iterator[None]:
    for server in (pair.blue, pair.green):
        server.sql("CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'")
        server.sql("CREATE TRIGGER stamped BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION stamp()")
    pair.green.sql("ALTER TABLE notes DISABLE TRIGGER stamped")
    yield
    for server in (pair.blue, pair.green):
        server.sql("DROP TRIGGER stamped ON notes; DROP FUNCTION stamp()")


@contextmanager
def _migration_under_way(pair: Pair) -> Iterator[None]:
    with pair.blue.connect("postgres", "app") as connection:
        connection.execute("BEGIN; CREATE INDEX later ON notes (id)")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def _write_on_green(pair: Pair) -> Iterator[None]:
    pair.green.sql("INSERT INTO notes (id, body) VALUES (900001, 'errant')")
    yield
    pair.green.sql("DELETE FROM notes WHERE id = 900001")


REFUSALS: dict[str, Callable[[Pair], ContextManager[None]]] = {
    "replication.active": _subscription_disabled,
    "replica_identity": _no_replica_identity,
    "replication.coverage": _unpublished_table,
    "replication.lag": _lag,
    "long_transactions": _long_transaction,
    "prepared_transactions": _prepared_transaction,
    "roles.parity": _missing_role,
    "types.oids": _type_of_one_side,
    "fence.effective": _role_that_outranks_the_fence,
    "partitions": _missing_partition,
    "green.triggers": _disabled_trigger,
    "running_ddl": _migration_under_way,
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_by_name(turnout: Turnout, pair: Pair, name: str) -> None:
    with REFUSALS[name](pair):
        found = failed(turnout)
        assert name in found, f"{name} did not fail: {checks(turnout).get(name)}"
        assert found[name]["todo"], "a refusal says what to do next"
        refused = turnout.cli("cutover", "app", "-o", "json", "--yes")
        assert refused.code == REFUSED, refused
        assert name in refused.stdout + refused.stderr, "the refusal names its check"
    status = turnout.status()
    assert (status["writer"], status["phase"]) == ("blue", "idle"), status
    deadline = time.monotonic() + 15
    while name in failed(turnout):
        assert time.monotonic() < deadline, f"mended, but still refused: {failed(turnout)[name]}"
        time.sleep(0.2)


def test_a_setting_that_differs_is_named(turnout: Turnout, pair: Pair) -> None:
    pair.green.sql("ALTER DATABASE app SET bytea_output = 'escape'")
    try:
        found = checks(turnout)["settings.parity"]
        assert found["verdict"] == "WARN" and "bytea_output" in found["measured"], found
    finally:
        pair.green.sql("ALTER DATABASE app RESET bytea_output")


def test_status_says_by_itself_whether_it_could_move(turnout: Turnout, pair: Pair) -> None:
    def readiness(ready: bool) -> dict[str, Any]:
        deadline = time.monotonic() + 40
        while (now := turnout.status()["readiness"])["ready"] is not ready:
            assert time.monotonic() < deadline, now
            time.sleep(0.1)
        return now

    readiness(True)
    with _subscription_disabled(pair):
        now = readiness(False)
        assert "replication.active" in {one["check"] for one in now["because"]}, now
        assert "not ready for a cutover: replication.active" in " ".join(turnout.cli("status").stdout.split())
    readiness(True)


def test_who_hears_a_notification_has_no_long_transaction(turnout: Turnout, pair: Pair) -> None:
    """The server shows an idle listener, while it hears, with a transaction as old as its latest statement."""
    idle = "FROM pg_stat_activity WHERE state = 'idle' AND xact_start < now() - interval '2.1 s'"  # transaction_ms_max is 2 s
    with Ear(pair.blue.conninfo("app", "app"), "loud"):  # it reads nothing: the server is stuck in telling it
        time.sleep(2.2)
        pair.blue.sql("SELECT count(pg_notify('loud', repeat('x', 7900) || number)) FROM generate_series(1, 3000) AS number")
        pair.blue.wait_for(f"SELECT count(*) = 1 {idle}")
        found = checks(turnout)["long_transactions"]
        assert pair.blue.sql(f"SELECT count(*) {idle}") == [(1,)]
    assert found["verdict"] == "PASS", found


def test_a_waiver_of_no_check_is_refused(turnout: Turnout) -> None:
    answer = turnout.cli("cutover", "app", "--waive", "superuser_session", "--yes")
    assert answer.code == 2, answer
    assert "superuser_sessions" in answer.stdout + answer.stderr, answer
    assert turnout.status()["phase"] == "idle"


def test_schema_drift_and_rehearsal(turnout: Turnout, pair: Pair) -> None:
    """Both are about what has been before: nothing, then a preparation and a rehearsal."""
    turnout.ask("cutover", "app", "--rehearse")
    found = checks(turnout)
    assert found["rehearsal.recent"]["verdict"] == "PASS", found["rehearsal.recent"]
    assert found["schema.drift"]["verdict"] == "PASS", found["schema.drift"]
    for server in (pair.blue, pair.green):
        server.sql("ALTER TABLE notes ADD COLUMN drifted int")
    found = checks(turnout)["schema.drift"]
    assert found["verdict"] == "WARN" and "app on blue" in found["measured"], found
    turnout.ask("prepare", "app")
    assert checks(turnout)["schema.drift"]["verdict"] == "PASS"
    for server in (pair.blue, pair.green):
        server.sql("ALTER TABLE notes DROP COLUMN drifted")


def test_a_write_on_green_is_found(turnout: Turnout, pair: Pair) -> None:
    """Only after prepare: the guard slot is what sees it."""
    turnout.ask("prepare", "app")
    with _write_on_green(pair):
        assert "green.no_writes" in failed(turnout)


def test_waived_by_name(turnout: Turnout, pair: Pair) -> None:
    """Last in this file: it cuts over, and back."""
    with _missing_role(pair):
        waive = ["--waive", "roles.parity"]
        others = [name for name in failed(turnout) if name != "roles.parity"]
        for name in others:  # green.no_writes remembers the errant row of the test above
            assert name == "green.no_writes", others
            waive += ["--waive", name]
        turnout.ask("cutover", "app", *waive)
    turnout.ask("rollback", "app", *(["--waive", "green.no_writes"] if others else []))


def test_no_replication_at_all(turnout: Turnout, pair: Pair) -> None:
    """The subscription is gone: nothing could prove that green has everything."""
    turnout.wait_settled()
    for server in (pair.green, pair.blue):
        for (name,) in server.sql("SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = 'app')"):
            server.sql(f"ALTER SUBSCRIPTION {name} DISABLE", user="turnout")
            server.sql(f"ALTER SUBSCRIPTION {name} SET (slot_name = NONE)", user="turnout")
            server.sql(f"DROP SUBSCRIPTION {name}", user="turnout")
    assert any(name.startswith("replication.") for name in failed(turnout))
    assert turnout.cli("cutover", "app", "--yes").code == REFUSED


def test_a_statement_that_green_cannot_parse(turnout: Turnout, pair: Pair) -> None:
    """A living session holds it, so the flip would break that session; others' mistakes are nobody's concern."""
    pair.blue.sql("CREATE TYPE only_here AS ENUM ('x')")
    try:
        with turnout.connect() as connection:
            connection.prepare_threshold = 0
            connection.execute("SELECT %s::int AS fine", (1,))
            assert checks(turnout)["prepared_statements"]["verdict"] == "PASS"
            connection.execute("SELECT 'x'::only_here, %s::int", (1,))
            found = checks(turnout)["prepared_statements"]
            assert found["verdict"] == "FAIL" and "only_here" in found["measured"], found
    finally:
        pair.blue.sql("DROP TYPE only_here")
