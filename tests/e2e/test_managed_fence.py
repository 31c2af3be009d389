"""The fence of an admin who is no superuser: by ALTER DATABASE and REVOKE CONNECT, with the same guarantees."""
from __future__ import annotations

import threading
import time
from typing import Any, Iterator

import psycopg
import pytest

from conftest import Fresh
from harness.checks import assert_books, assert_no_errors, assert_report, assert_writer
from harness.ledger import Ledger
from harness.managed import admin_by_password, make_managed
from harness.pair import Template
from harness.turnout import REFUSED, REVERTED, Turnout, merged
from harness.workspace import Workspace
from test_abort import assert_reverted
from test_crash import kill_at, let_go, restart_and_judge
from test_cutover import cutover_and_rollback
from test_hammer import hammered

SETTINGS = {"track_commit_timestamp": "on"}
SHORT: dict[str, Any] = {"cutover": {"drain": "600ms", "proof": "800ms", "window": "2s"}}
LONG: dict[str, Any] = {"cutover": {"drain": "6s", "proof": "2s", "window": "10s"}}
HAMMERED: dict[str, Any] = {"waive": ["bypassing_clients"]}  # it is there on purpose


@pytest.fixture
def managed(workspace: Workspace, template: Template, request: pytest.FixtureRequest) -> Iterator[Fresh]:
    changes, grants = request.param if hasattr(request, "param") else ({}, True)
    copy = template.copy(**SETTINGS)
    make_managed(copy, grants)
    running = Turnout(workspace, copy, f"{copy.name}/turnout", merged(admin_by_password(workspace, copy), changes))
    running.start()
    yield Fresh(copy, running)
    running.stop()
    Template.drop(copy)


def configured(*changes: dict[str, Any], grants: bool = True) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("managed", [(change, grants) for change in changes], indirect=True, ids=["changed"] * len(changes))


def check(fresh: Fresh, name: str) -> dict[str, Any]:
    answer = fresh.turnout.cli("preflight", "app", "-o", "json", "--yes")
    return next(dict(one) for one in answer.json["checks"] if one["name"] == name)


def assert_no_superuser(fresh: Fresh) -> None:
    for side, server in fresh.pair.sides.items():
        assert not server.value("SELECT rolsuper FROM pg_roles WHERE rolname = 'turnout'"), side


@pytest.mark.smoke
def test_cutover_and_rollback_under_load(managed: Fresh) -> None:
    assert_no_superuser(managed)
    assert check(managed, "privileges")["verdict"] == "PASS"
    fence = check(managed, "fence.effective")
    assert fence["verdict"] == "PASS" and "ALTER DATABASE" in fence["measured"], fence
    cutover_and_rollback(managed)
    assert_no_superuser(managed)
    auto_conf = [server.sql("SELECT count(*) FROM pg_file_settings WHERE sourcefile LIKE '%%auto.conf'") for server in
                 managed.pair.sides.values()]
    assert auto_conf == [[(0,)], [(0,)]], "the servers' configuration is nobody's to touch here"


def stuck_cutover(fresh: Fresh) -> dict[str, Any]:
    with fresh.turnout.connect() as stuck:
        stuck.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 200")
        return dict(fresh.turnout.ask("cutover", "app", expect=REVERTED))


@configured(SHORT)
def test_abort_by_deadline_leaves_no_trace(managed: Fresh) -> None:
    """Word for word: grants in their order and with their options, settings of databases and of roles in them."""
    for server in managed.pair.sides.values():
        server.sql("ALTER ROLE app SET default_transaction_read_only = off")  # it outranks the database's, so it is set too
        server.sql("ALTER ROLE app IN DATABASE app SET work_mem = '5MB'")
        server.sql("GRANT app TO turnout WITH ADMIN OPTION; ALTER ROLE turnout CREATEROLE")
        server.sql("ALTER DATABASE app SET bytea_output = 'escape'")
    managed.turnout.ask("prepare", "app")
    before = managed.pair.snapshot()
    assert "app=Tc" in before["blue.database_acl"][0][1]
    with Ledger(managed.turnout.conninfo(), sessions_per_kind=1) as ledger:
        report = stuck_cutover(managed)
        ledger.wait_commits(20)
    assert_reverted(managed, before, report)
    assert report["undo"]["identical"], report["undo"]
    assert_no_errors(ledger)
    assert_books(ledger, managed.pair, "blue")
    assert_writer(managed.pair, managed.turnout, "blue")


@pytest.mark.soak
@configured(SHORT, grants=False)
def test_built_in_grants_come_back_spelled_out(managed: Fresh) -> None:
    """Only a superuser can give NULL back; what it means is the same."""
    managed.turnout.ask("prepare", "app")
    before = managed.pair.snapshot()
    report = stuck_cutover(managed)
    after = managed.pair.snapshot()
    assert {key for key in before if before[key] != after[key]} == {"blue.database_acl"}
    acl = dict((row[0], row[1]) for row in after["blue.database_acl"])
    assert acl["app"] == "{=Tc/app_owner,app_owner=CTc/app_owner}", acl
    assert report["undo"]["identical"], report["undo"]


@configured(LONG)
def test_killed_in_the_hold(managed: Fresh) -> None:
    turnout, pair = managed.turnout, managed.pair
    turnout.ask("prepare", "app")
    before = pair.snapshot()
    ledger = Ledger(turnout.conninfo(), sessions_per_kind=1).start()
    stuck = turnout.connect()
    stuck.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 200")
    process = turnout.cli_start("cutover", "app", "--yes")
    turnout.wait_phase("drain", "fence")
    pair.blue.wait_for("SELECT count(*) > 0 FROM pg_db_role_setting WHERE setconfig::text LIKE '%read_only=on%'")
    turnout.kill9()
    let_go(process)
    stuck.close()
    assert pair.snapshot() != before, "the fence was not up: this proves nothing"
    assert restart_and_judge(managed, ledger, "blue") == "blue"
    assert pair.snapshot() == before, "a trace is left"


@pytest.mark.soak
@configured(LONG)
def test_killed_after_the_decision(managed: Fresh) -> None:
    assert kill_at(managed, "cutover", "flip", 0) == "green"
    managed.turnout.ask("rollback", "app")
    assert_writer(managed.pair, managed.turnout, "blue")


@configured(HAMMERED)
@pytest.mark.parametrize("verb", ["cutover", pytest.param("rollback", marks=pytest.mark.soak)])
def test_under_the_hammer(managed: Fresh, verb: str) -> None:
    if verb == "rollback":
        managed.turnout.ask("cutover", "app")
        managed.turnout.wait_settled()
        hammered(managed, verb, "green", "blue")
        return
    managed.turnout.ask("prepare", "app")  # from here on green is read-only
    hammered(managed, verb, "blue", "green")


@configured(LONG)
def test_a_session_that_is_just_starting(managed: Fresh) -> None:
    """It has been let in and has read its settings, but no list of sessions has it yet: the fence waits for it all the same."""
    pair, inserted = managed.pair, []
    managed.turnout.ask("prepare", "app")

    def start_slowly() -> None:
        try:
            with pair.blue.connect("hammer", "app", options="-c post_auth_delay=5") as late:
                late.execute("INSERT INTO hammer (side, how) VALUES ('blue', 'late')")
                inserted.append(True)
        except psycopg.Error:
            pass  # ended, as it should be

    starting = threading.Thread(target=start_slowly)
    starting.start()
    pair.blue.wait_for("SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'object' AND classid = 'pg_database'::regclass "
                       "AND mode = 'RowExclusiveLock' AND pid <> pg_backend_pid()")
    report = managed.turnout.ask("cutover", "app")
    starting.join(30)
    rows = [server.value("SELECT count(*) FROM hammer WHERE how = 'late'") for server in pair.sides.values()]
    assert rows == [len(inserted)] * 2, f"written on the old writer after the fence: {rows}"
    assert inserted or "hammer" in {session["user"] for session in report["ended_sessions"]}, report


@configured(SHORT)
def test_advisory_locks_stay_where_they_are(managed: Fresh) -> None:
    """A connection that had taken them on the new writer before the decision could never write: so they are a blocker."""
    with managed.turnout.connect() as holder:
        holder.execute("SELECT pg_advisory_lock(7)")
        found = check(managed, "unmovable_sessions")
        assert found["verdict"] == "FAIL" and "advisory_lock" in found["measured"], found
        managed.turnout.ask("cutover", "app", "--waive", "unmovable_sessions", expect=REVERTED)
        assert holder.execute("SELECT pg_advisory_unlock(7)").fetchone() == (True,)
    managed.turnout.ask("cutover", "app")
    assert_writer(managed.pair, managed.turnout, "green")


@pytest.mark.soak
def test_alter_system_may_be_granted(managed: Fresh) -> None:
    for server in managed.pair.sides.values():
        server.sql("GRANT ALTER SYSTEM ON PARAMETER default_transaction_read_only TO turnout; GRANT SELECT ON pg_file_settings TO turnout; "
                   "GRANT EXECUTE ON FUNCTION pg_reload_conf(), pg_show_all_file_settings() TO turnout")
    found = check(managed, "fence.effective")
    assert found["verdict"] == "PASS" and "blue by ALTER SYSTEM, green by ALTER SYSTEM" in found["measured"], found
    for verb, writer in (("cutover", "green"), ("rollback", "blue")):
        managed.turnout.ask(verb, "app")
        assert_writer(managed.pair, managed.turnout, writer)


def test_what_is_missing_is_named_with_its_grant(managed: Fresh) -> None:
    pair = managed.pair
    pair.blue.sql("GRANT CONNECT ON DATABASE app TO turnout; REVOKE app_owner, pg_monitor FROM turnout")
    pair.green.sql("REVOKE pg_create_subscription, pg_signal_backend FROM turnout")
    found = check(managed, "privileges")
    assert found["verdict"] == "FAIL", found
    for grant in ("blue: GRANT app_owner TO turnout", "blue: GRANT pg_monitor TO turnout", "green: GRANT pg_signal_backend TO turnout",
                  "green: GRANT pg_create_subscription TO turnout"):
        assert grant in found["todo"], (grant, found)
    assert managed.turnout.cli("cutover", "app", "--yes").code == REFUSED


def test_an_owner_beside_turnout_is_named(managed: Fresh) -> None:
    managed.pair.blue.sql("GRANT app_owner TO app")
    managed.pair.green.sql("GRANT app_owner TO app")
    found = check(managed, "fence.effective")
    assert found["verdict"] == "WARN" and "app may act as app_owner" in found["measured"], found


def test_a_15_that_lets_nobody_subscribe_is_named(managed: Fresh) -> None:
    """PostgreSQL 15 as it is: without a superuser there is no way back, and the preflight says so."""
    if managed.pair.blue.major >= 16:
        return
    managed.pair.blue.sql("DROP EVENT TRIGGER lend; DROP EVENT TRIGGER take_back")
    found = check(managed, "reverse.possible")
    assert found["verdict"] == "FAIL" and "superuser" in found["measured"], found


def test_who_replicates_past_turnout(managed: Fresh) -> None:
    """A replication connection runs SQL too: one that is no stream of ours is named before, and ended in the window."""
    managed.pair.blue.sql("CREATE ROLE copier LOGIN REPLICATION; GRANT CONNECT ON DATABASE app TO copier")
    managed.pair.green.sql("CREATE ROLE copier LOGIN REPLICATION")
    stray = psycopg.connect(managed.pair.blue.conninfo("copier", "app", replication="database"), autocommit=True)
    stray.execute("SELECT 1")
    time.sleep(1.1)  # a shorter login is a question, not a client
    found = check(managed, "bypassing_clients")
    assert found["verdict"] == "FAIL" and "copier" in found["measured"], found
    report = managed.turnout.ask("cutover", "app", "--waive", "bypassing_clients")
    assert_report(report, "cutover")
    assert "copier" in {session["user"] for session in report["ended_sessions"]}, report
    with pytest.raises(psycopg.OperationalError):
        stray.execute("SELECT 1")
    stray.close()
