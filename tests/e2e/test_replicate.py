"""`prepare --replicate`: from a green that holds nothing to one that a cutover can move to, under a running application.

What stops a step for as long as a test wants: a green that may run no table copies, a transaction on blue that keeps
writing (a slot waits for it).
"""
from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from typing import Any, Callable, Iterator

import pytest

from conftest import Fresh
from harness.certificates import Authority
from harness.checks import assert_books, assert_no_errors, assert_writer
from harness.ledger import Ledger
from harness.pair import PUBLISHED, Pair, Template
from harness.turnout import CONFLICT, DONE, REFUSED, Turnout
from harness.workspace import Workspace

DATABASES = ("app", "second")
PASSWORD = "between the servers"
OURS = {
    "slots": "SELECT slot_name FROM pg_replication_slots WHERE NOT temporary",
    "publications": "SELECT pubname FROM pg_publication",
    "subscriptions": "SELECT subname FROM pg_subscription",
}


NOTHING_LEFT: dict[str, list[str]] = {f"{side}.{what}": [] for side in ("blue", "green") for what in OURS}


def empty_green(pair: Pair) -> None:
    pair.green.sql("DROP SUBSCRIPTION turnout_fwd", user="turnout")
    pair.blue.sql("DROP PUBLICATION turnout_fwd")
    pair.green.sql("DROP DATABASE app WITH (FORCE)", database="postgres")
    pair.green.sql("CREATE DATABASE app OWNER app_owner", database="postgres")


@pytest.fixture
def bare(workspace: Workspace, template: Template, request: pytest.FixtureRequest) -> Iterator[Fresh]:
    """A pair whose green has the roles and an empty database; a Turnout with the test's changes."""
    pair = template.copy()
    empty_green(pair)
    turnout = Turnout(workspace, pair, f"{pair.name}/turnout", getattr(request, "param", None))
    turnout.start()
    yield Fresh(pair, turnout)
    turnout.stop()
    Template.drop(pair)


def left(pair: Pair) -> dict[str, list[str]]:
    return {f"{side}.{what}": [row[0] for row in server.sql(text)]
            for side, server in pair.sides.items() for what, text in OURS.items()}


def tables_on(pair: Pair, side: str) -> list[str]:
    return [row[0] for row in pair.sides[side].sql(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1")]


def copy_state(turnout: Turnout) -> dict[str, Any]:
    status, body = turnout.rest("/v1/deployments/app/prepare")
    assert status == 200, body
    return dict(body)


def wait_copy(turnout: Turnout, what: Callable[[dict[str, Any]], bool], timeout_s: float = 60) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    while True:
        now = copy_state(turnout)
        if what(now):
            return now
        assert time.monotonic() < deadline, f"not in {timeout_s} s: {now}\n{turnout.log_tail()}"
        time.sleep(0.02)


def let_go(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def allow_copies(pair: Pair, count: int) -> None:
    pair.green.sql(f"ALTER SYSTEM SET max_sync_workers_per_subscription = {count}", database="postgres")
    pair.green.sql("SELECT pg_reload_conf()", database="postgres")
    pair.green.wait_for("SHOW max_sync_workers_per_subscription", str(count), database="postgres")


def assert_copied(pair: Pair) -> None:
    pair.caught_up()
    for table in PUBLISHED:
        if table == "ledger":
            continue  # still being written
        text = f"SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {table} t"
        assert pair.blue.sql(text) == pair.green.sql(text), table


@pytest.mark.smoke
def test_an_empty_green_under_load(bare: Fresh) -> None:
    """Replicate, preflight, cutover, rollback, cutover, finish: and at the end nothing is left that holds log back."""
    pair, turnout = bare.pair, bare.turnout
    ledger = Ledger(turnout.conninfo(), sessions_per_kind=1).start()
    made = turnout.ask("prepare", "app", "--replicate", timeout_s=120)
    assert (made["phase"], made["running"], made["tables_ready"]) == ("done", False, made["tables"]), made
    assert made["bytes_copied"] == made["bytes_total"] > 0, made
    said = "\n".join(made["done"])
    for part in ("schema copied to green", "publication turnout_fwd on blue", "slot turnout_fwd_app on blue", "subscription turnout_fwd on green",
                 "tables analyzed on green", "publication turnout_rev on green"):
        assert part in said, said
    assert pair.green.sql("SELECT count(*) FROM pg_stats WHERE tablename = 'pgbench_accounts'") != [(0,)], "no statistics"
    assert turnout.ask("prepare", "app", "--replicate")["done"] == [], "a second call has nothing to do"
    checks = turnout.ask("preflight", "app")
    assert checks["go"], checks
    turnout.ask("cutover", "app", timeout_s=60)
    assert_writer(pair, turnout, "green")
    ledger.wait_commits(10)
    turnout.wait_settled()
    turnout.ask("rollback", "app", timeout_s=60)
    assert_writer(pair, turnout, "blue")
    ledger.wait_commits(10)
    turnout.wait_settled()
    turnout.ask("cutover", "app", timeout_s=60)
    assert_writer(pair, turnout, "green")
    ledger.wait_commits(10)
    ledger.stop()
    assert_no_errors(ledger)
    assert_books(ledger, pair, "green")
    turnout.wait_settled()
    turnout.ask("finish", "app")
    assert left(pair) == NOTHING_LEFT
    for side in pair.sides:
        assert [table for table in tables_on(pair, side) if table.startswith("turnout.")] == ["turnout.journal"]
    with turnout.connect() as connection:
        connection.execute("INSERT INTO notes (body) VALUES ('still works')")


def test_killed_while_it_copies(bare: Fresh) -> None:
    pair, turnout = bare.pair, bare.turnout
    allow_copies(pair, 0)
    process = turnout.cli_start("prepare", "app", "--replicate")
    seen = wait_copy(turnout, lambda now: now.get("phase") == "copy" and "tables" in now)
    assert seen["running"] and seen["tables_ready"] == 0 and seen["bytes_total"] > 0, seen
    status = turnout.status()["replication"]
    assert (status["phase"], status["tables"]) == ("copy", seen["tables"]), status
    turnout.kill9()
    let_go(process)
    turnout.start()
    allow_copies(pair, 4)
    outcome = turnout.cli("prepare", "app", "--replicate", timeout_s=120)
    assert outcome.code == DONE, str(outcome)
    assert "tables_ready" in outcome.stdout, outcome.stdout
    assert_copied(pair)
    assert turnout.ask("preflight", "app")["go"]


def test_killed_before_the_subscription(bare: Fresh) -> None:
    """The slot waits for whoever writes; the process dies while it does."""
    pair, turnout = bare.pair, bare.turnout
    writer = pair.blue.connect(database="app")
    writer.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 200")
    process = turnout.cli_start("prepare", "app", "--replicate")
    wait_copy(turnout, lambda now: now.get("phase") == "slot")
    turnout.kill9()
    let_go(process)
    writer.execute("COMMIT")
    writer.close()
    turnout.start()
    # What the dead one had begun ends on the server by itself.
    pair.blue.wait_for("SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE '%pg_create_logical_replication_slot%' AND pid <> pg_backend_pid()")
    made = turnout.ask("prepare", "app", "--replicate", timeout_s=120)
    assert "schema copied" not in "\n".join(made["done"]), "it was copied already"
    assert_copied(pair)
    assert turnout.ask("preflight", "app")["go"]


@pytest.mark.parametrize("bare", [{"replicate": {"pg_dump": "/nonexistent/pg_dump"}}], indirect=True)
def test_what_is_refused_touches_nothing(bare: Fresh) -> None:
    pair, turnout = bare.pair, bare.turnout
    pair.blue.sql("CREATE TABLE journal_of_clicks (at timestamptz, what text)")
    before = pair.snapshot()
    answer = turnout.ask("prepare", "app", "--replicate", expect=REFUSED)
    failed = {check["name"]: check for check in answer["checks"] if check["verdict"] == "FAIL"}
    assert list(failed) == ["replica_identity", "replicate.pg_dump"], "all that is wrong is said at once"
    assert "journal_of_clicks" in failed["replica_identity"]["measured"] and "PRIMARY KEY" in failed["replica_identity"]["todo"]
    assert "/nonexistent/pg_dump" in failed["replicate.pg_dump"]["measured"]
    assert "postgresql-client" in failed["replicate.pg_dump"]["todo"]
    text = turnout.cli("prepare", "app", "--replicate")
    assert text.code == REFUSED and "journal_of_clicks" in text.stderr, str(text)
    assert pair.snapshot() == before
    assert tables_on(pair, "green") == [] and "turnout.marker" not in tables_on(pair, "blue")

    # Mended; now green itself refuses one statement of the schema, and has none of it.
    pair.blue.sql("ALTER TABLE journal_of_clicks REPLICA IDENTITY FULL")
    del turnout.config["deployments"]["app"]["replicate"]
    turnout.write_config()
    turnout.ask("reload")
    for statement in ("CREATE SCHEMA turnout",
                      "CREATE FUNCTION turnout.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$",
                      "CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE SEQUENCE') EXECUTE FUNCTION turnout.refuse()"):
        pair.green.sql(statement)
    outcome = turnout.cli("prepare", "app", "--replicate", "-o", "json")
    assert outcome.code == REFUSED, str(outcome)
    assert "not today" in outcome.json["error"] and 'CREATE SEQUENCE "public"' in outcome.json["error"], outcome.json
    assert tables_on(pair, "green") == [] and left(pair) == NOTHING_LEFT
    pair.green.sql("DROP EVENT TRIGGER refuse")
    turnout.ask("prepare", "app", "--replicate", timeout_s=120)
    assert_copied(pair)


def test_nobody_waits_for_a_copy_and_abort_ends_it(bare: Fresh) -> None:
    pair, turnout = bare.pair, bare.turnout
    allow_copies(pair, 0)
    process = turnout.cli_start("prepare", "app", "--replicate")
    wait_copy(turnout, lambda now: now.get("phase") == "copy" and "tables" in now)
    for words in (("preflight",), ("prepare",), ("prepare", "--replicate"), ("cutover", "--yes"), ("shift", "50"), ("finish", "--yes")):
        verb, *rest = words
        refused = turnout.cli(verb, "app", *rest)
        assert refused.code == CONFLICT and refused.seconds < 5, str(refused)
    assert turnout.rest("/readyz")[0] == 200
    turnout.ask("abort", "app")
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == REFUSED, stdout + stderr
    assert "given up" in stdout, stdout
    with turnout.connect() as connection:
        connection.execute("INSERT INTO notes (body) VALUES ('went on')")
    removed = turnout.ask("prepare", "app", "--undo")["removed"]
    assert left(pair) == NOTHING_LEFT, removed
    # The tables on green are nobody's to drop but the operator's.
    answer = turnout.ask("prepare", "app", "--replicate", expect=REFUSED)
    assert [check["name"] for check in answer["checks"] if check["verdict"] == "FAIL"] == ["replicate.empty_green"]
    pair.green.sql("DROP DATABASE app WITH (FORCE)", database="postgres")
    missing = turnout.ask("prepare", "app", "--replicate", expect=REFUSED)
    todo = next(check["todo"] for check in missing["checks"] if check["verdict"] == "FAIL")
    pair.green.sql(todo.removeprefix("on green: "), database="postgres")
    allow_copies(pair, 4)
    turnout.ask("prepare", "app", "--replicate", timeout_s=120)
    assert_copied(pair)


# No word of Turnout's role, and nothing that the two servers tell each other, goes over the wire in the clear.
ENCRYPTED_AND_BY_PASSWORD = """
local all all trust
hostssl all turnout 127.0.0.1/32 scram-sha-256
host all turnout 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
"""


def lock_down(pair: Pair, authority: Authority, turnout: Turnout) -> None:
    certificate, key = authority.server()
    for server in pair.sides.values():
        server.sql(f"ALTER ROLE turnout PASSWORD '{PASSWORD}'")
        server.speak_tls(certificate, key)
        (server.data / "pg_hba.conf").write_text(ENCRYPTED_AND_BY_PASSWORD)
        server.sql("SELECT pg_reload_conf()")
    password_file = turnout.home / "admin.pass"
    password_file.write_text(PASSWORD)
    turnout.config["deployments"]["app"] |= {
        "databases": list(DATABASES), "replication": {"tls": "require"},
        "admin": {"user": "turnout", "password_file": str(password_file)},
        "server_tls": {"sslmode": "verify-full", "ca_file": str(authority.certificate)}}
    turnout.write_config()


def test_two_databases_by_password_and_encrypted(workspace: Workspace, template: Template) -> None:
    pair = template.copy()
    turnout = Turnout(workspace, pair, f"{pair.name}/turnout", {})
    try:
        pair.add_database("second")
        for database, name in (("app", "turnout_fwd"), ("second", "second_fwd")):
            pair.green.sql(f"DROP SUBSCRIPTION {name}", user="turnout", database=database)
            pair.blue.sql(f"DROP PUBLICATION {name}", database=database)
            pair.green.sql(f"DROP DATABASE {database} WITH (FORCE)", database="postgres")
            pair.green.sql(f"CREATE DATABASE {database} OWNER app_owner", database="postgres")
        lock_down(pair, Authority(turnout.home), turnout)
        turnout.start()
        made = turnout.ask("prepare", "app", "--replicate", timeout_s=120)
        assert made["tables_ready"] == made["tables"] >= 2 * len(PUBLISHED), made
        in_the_clear = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE usename = 'turnout' AND NOT s.ssl"
        with ExitStack() as stack:
            ledgers = {database: stack.enter_context(Ledger(turnout.conninfo(database=database), sessions_per_kind=1)) for database in DATABASES}
            for verb, writer in (("cutover", "green"), ("rollback", "blue"), ("cutover", "green")):
                turnout.ask(verb, "app", timeout_s=60)
                turnout.wait_settled()
                assert_writer(pair, turnout, writer)
                for ledger in ledgers.values():
                    ledger.wait_commits(10)
                assert [server.value(in_the_clear) for server in pair.sides.values()] == [0, 0]
            for database, ledger in ledgers.items():
                ledger.stop()
                assert_no_errors(ledger)
                assert_books(ledger, pair, "green", database=database)
        turnout.ask("finish", "app")
        assert left(pair) == NOTHING_LEFT
    finally:
        turnout.stop()
        Template.drop(pair)
