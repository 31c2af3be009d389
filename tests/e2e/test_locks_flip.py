"""Session advisory locks through a cutover and a rollback: taken on the new writer before they are let go on the old."""
from __future__ import annotations

import threading
import time
from typing import Any, Callable

import psycopg
import pytest

from conftest import Fresh
from harness.turnout import REFUSED, REVERTED
from harness.waiting import eventually

CHANGES: dict[str, Any] = {"cutover": {"drain": "3s", "window": "6s"}}
WAIVED = ("--waive", "green.connections", "--waive", "superuser_sessions")
SHORT: dict[str, Any] = {"cutover": {"drain": "600ms", "proof": "800ms", "window": "2s"}}
BIGGEST = 2**63 - 1
HELD = {("ExclusiveLock", 0, 42, 1), ("ExclusiveLock", 2**31 - 1, 2**32 - 1, 1), ("ShareLock", 0, 43, 1),
        ("ExclusiveLock", 7, 2**32 - 3, 2), ("ShareLock", 8, 9, 2)}


def take_all(connection: psycopg.Connection[Any]) -> None:
    """Bigint and two-int keys, exclusive and shared; 42 three times, 43 twice."""
    for _ in range(3):
        connection.execute("SELECT pg_advisory_lock(42)")
    connection.execute("SELECT pg_advisory_lock(%s::bigint)", (BIGGEST,))
    connection.execute("SELECT pg_advisory_lock_shared(43), pg_advisory_lock_shared(43)")
    connection.execute("SELECT pg_try_advisory_lock(7, -3)")
    connection.execute("SELECT pg_advisory_lock_shared(8, 9)")


def held_on(fresh: Fresh, side: str) -> set[tuple[str, int, int, int]]:
    with fresh.pair.sides[side].connect(database="app") as server:
        rows = server.execute("SELECT mode, classid::bigint, objid::bigint, objsubid FROM pg_locks WHERE locktype = 'advisory' AND granted").fetchall()
    return set(rows)


def can_have(connection: psycopg.Connection[Any], key: int = 42) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s::bigint)", (key,)).fetchone()
    if row and row[0]:
        connection.execute("SELECT pg_advisory_unlock(%s::bigint)", (key,))
    return bool(row and row[0])


class Poll:
    """Tries again and again to have what somebody else holds."""

    def __init__(self, what: Callable[[], bool]) -> None:
        self.what, self.tries, self.had, self.errors = what, 0, 0, list[BaseException]()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self.had += self.what()
                self.tries += 1
                self._over.wait(0.002)
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.errors.append(error)

    def stop(self) -> None:
        self._over.set()
        self._thread.join(30)
        assert not self.errors, self.errors
        assert self.tries > 5 and self.had == 0, (self.tries, self.had)


def wait_held(fresh: Fresh, writer: str, other: str) -> None:
    eventually(lambda: (held_on(fresh, writer), held_on(fresh, other)) == (HELD, set()), f"held on {writer} only")


@pytest.mark.smoke
@pytest.mark.parametrize("fresh", [CHANGES, {**CHANGES, "pool": {"mode": "session", "size": 20}}], indirect=True, ids=["transaction", "session"])
def test_locks_follow_the_writer_and_back(fresh: Fresh) -> None:
    turnout = fresh.turnout
    with turnout.connect() as holder, turnout.connect() as other:
        take_all(holder)
        pid = holder.info.backend_pid
        assert held_on(fresh, "blue") == HELD
        for verb, writer, former in (("cutover", "green", "blue"), ("rollback", "blue", "green")):
            poll = Poll(lambda: can_have(other))
            report = turnout.ask(verb, "app")
            assert report["outcome"] == "committed" and report["client_errors"] == 0, report
            with fresh.pair.sides[writer].connect(database="app") as direct:
                assert not can_have(direct) and not can_have(direct, BIGGEST)
            wait_held(fresh, writer, former)
            with fresh.pair.sides[writer].connect(database="app") as direct:
                assert not can_have(direct)
            poll.stop()
            assert holder.execute("SELECT inet_server_port()").fetchone() == (fresh.pair.sides[writer].port,)
            assert not can_have(other)
        assert holder.info.backend_pid == pid
        # As often as they were taken.
        for left in (2, 1, 0):
            assert holder.execute("SELECT pg_advisory_unlock(42)").fetchone() == (True,)
            assert can_have(other) == (left == 0)
        for again in (True, True, False):
            assert holder.execute("SELECT pg_advisory_unlock_shared(43)").fetchone() == (again,)
        holder.execute("SELECT pg_advisory_unlock_all()")
        eventually(lambda: held_on(fresh, "blue") == set(), "all are let go")
        eventually(lambda: not any(client["pinned_by"] for client in turnout.ask("clients")["clients"]), "nobody is pinned")


def test_preflight_does_not_mind(fresh: Fresh) -> None:
    with fresh.turnout.connect() as holder:
        take_all(holder)
        checks = fresh.turnout.ask("preflight", "app")["checks"]
        assert [check["verdict"] for check in checks if check["name"] == "unmovable_sessions"] == ["PASS"]
        holder.execute("CREATE TEMP TABLE mine (n int)")
        checks = fresh.turnout.ask("preflight", "app", expect=REFUSED)["checks"]
        assert [check["verdict"] for check in checks if check["name"] == "unmovable_sessions"] == ["FAIL"]


def test_what_it_sends_meanwhile_waits_and_has_the_lock(fresh: Fresh) -> None:
    turnout = fresh.turnout
    with turnout.connect() as holder:
        take_all(holder)
        holder.execute("SET statement_timeout = '77s'")
        answers: list[Any] = []

        def work() -> bool:
            row = holder.execute("UPDATE counter SET value = value + 1 WHERE session = 200 RETURNING value, current_setting('statement_timeout'), "
                                 "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())").fetchone()
            assert row and row[1:] == ("77s", 5), row
            answers.append(row[0])
            return False

        before = fresh.pair.blue.value("SELECT value FROM counter WHERE session = 200", database="app")
        for verb in ("cutover", "rollback", "cutover"):
            poll = Poll(work)
            report = turnout.ask(verb, "app")
            assert report["outcome"] == "committed" and report["client_errors"] == 0, report
            poll.stop()
        assert answers == list(range(before + 1, before + 1 + len(answers)))


@pytest.mark.parametrize("fresh", [SHORT], indirect=True)
def test_a_reverted_cutover_leaves_them(fresh: Fresh) -> None:
    turnout = fresh.turnout
    with turnout.connect() as holder, turnout.connect() as other, turnout.connect() as stuck:
        take_all(holder)
        stuck.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 200")
        poll = Poll(lambda: can_have(other))
        report = turnout.ask("cutover", "app", expect=REVERTED)
        assert report["client_errors"] == 0, report
        stuck.execute("ROLLBACK")
        poll.stop()
        wait_held(fresh, "blue", "green")
        assert holder.execute("SELECT inet_server_port()").fetchone() == (fresh.pair.blue.port,)
        holder.execute("UPDATE counter SET value = 6 WHERE session = 200")
        for answer in (True, True, True, False):
            assert holder.execute("SELECT pg_advisory_unlock(42)").fetchone() == (answer,)
        turnout.ask("cutover", "app")
        assert (held_on(fresh, "green"), held_on(fresh, "blue")) == (HELD - {("ExclusiveLock", 0, 42, 1)}, set())


def test_a_rehearsal_leaves_them(fresh: Fresh) -> None:
    with fresh.turnout.connect() as holder:
        take_all(holder)
        report = fresh.turnout.ask("cutover", "app", "--rehearse")
        assert report["outcome"] == "rehearsed" and report["client_errors"] == 0, report
        wait_held(fresh, "blue", "green")
        holder.execute("UPDATE counter SET value = 6 WHERE session = 200")


@pytest.mark.parametrize("fresh", [SHORT], indirect=True)
def test_a_stranger_on_green_has_it(fresh: Fresh) -> None:
    turnout = fresh.turnout
    with turnout.connect(application_name="leader") as holder, fresh.pair.green.connect(database="app") as stranger:
        take_all(holder)
        stranger.execute("SELECT pg_advisory_lock(42)")
        reasons: set[str] = set()

        def look() -> bool:
            reasons.update(blocker["reason"] for blocker in turnout.ask("blockers", "app")["blockers"] if blocker["kind"] == "unmovable_session")
            return False

        poll = Poll(look)
        report = turnout.ask("cutover", "app", *WAIVED, expect=REVERTED)
        poll.stop()
        assert any("42 cannot be had on green" in reason for reason in reasons), reasons
        assert report["client_errors"] == 0, report
        eventually(lambda: held_on(fresh, "blue") == HELD, "it has them all")
        assert held_on(fresh, "green") == {("ExclusiveLock", 0, 42, 1)}
        stranger.execute("SELECT pg_advisory_unlock_all()")
        turnout.ask("cutover", "app", *WAIVED)
        wait_held(fresh, "green", "blue")


@pytest.mark.parametrize("lock", ["SELECT pg_advisory_lock(77)", "SELECT pg_try_advisory_lock(77)"], ids=["waiting", "trying"])
def test_mutual_exclusion_under_load(fresh: Fresh, lock: str) -> None:
    """Read, think, write under a lock: nobody's step is lost, in three moves."""
    turnout = fresh.turnout
    done = [0, 0, 0]
    over = threading.Event()
    errors: list[BaseException] = []

    def count(number: int) -> None:
        try:
            with turnout.connect() as connection:
                while not over.is_set():
                    row = connection.execute(lock).fetchone()
                    if row and row[0] is False:
                        time.sleep(0.001)
                        continue
                    (value,) = connection.execute("SELECT value FROM counter WHERE session = 200").fetchone()  # type: ignore[misc]
                    connection.execute("UPDATE counter SET value = %s WHERE session = 200", (value + 1,))
                    assert connection.execute("SELECT pg_advisory_unlock(77)").fetchone() == (True,)
                    done[number] += 1
        except BaseException as error:  # noqa: BLE001 - told by the test
            errors.append(error)

    before = fresh.pair.blue.value("SELECT value FROM counter WHERE session = 200", database="app")
    threads = [threading.Thread(target=count, args=(number,)) for number in range(len(done))]
    for thread in threads:
        thread.start()
    try:
        for verb in ("cutover", "rollback", "cutover"):
            goal = sum(done) + 30
            eventually(lambda: sum(done) > goal or bool(errors), "steps")
            report = turnout.ask(verb, "app")
            assert report["outcome"] == "committed" and report["client_errors"] == 0, report
        goal = sum(done) + 30
        eventually(lambda: sum(done) > goal or bool(errors), "steps")
    finally:
        over.set()
        for thread in threads:
            thread.join(30)
    assert not errors, errors
    assert fresh.pair.green.value("SELECT value FROM counter WHERE session = 200", database="app") == before + sum(done)


def test_a_lock_taken_behind_the_fence(fresh: Fresh) -> None:
    """In a transaction that was open when the hold began. Its next work must not meet the fence."""
    turnout = fresh.turnout
    with turnout.connect() as late, turnout.connect() as stuck:
        late.execute("BEGIN; UPDATE counter SET value = 1 WHERE session = 200")
        stuck.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 201")
        process = turnout.cli_start("cutover", "app", "--yes")
        # Who asks stays out of the database that moves: preflight would meet a superuser there on a busy machine.
        fresh.pair.blue.wait_for("SELECT setting = 'on' FROM pg_settings WHERE name = 'default_transaction_read_only'",
                                 database="postgres")
        late.execute("SELECT pg_advisory_lock(42)")
        late.execute("COMMIT")
        threading.Timer(0.3, lambda: stuck.execute("ROLLBACK")).start()
        late.execute("UPDATE counter SET value = 2 WHERE session = 200")
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stdout + stderr
        assert held_on(fresh, "green") == {("ExclusiveLock", 0, 42, 1)}
        assert fresh.pair.green.value("SELECT value FROM counter WHERE session = 200", database="app") == 2


class Standby:
    """Waits for 42 in a thread; `how` is the protocol it does that with."""

    def __init__(self, turnout: Any, how: str) -> None:
        self.connection = turnout.connect()
        self.how, self.got, self.error = how, False, None
        if how == "prepared":
            self.connection.execute("SELECT pg_advisory_lock(%s::int)", (99,), prepare=True)
            self.connection.execute("SELECT pg_advisory_unlock(99)")
        if how == "with its own":
            self.connection.execute("SELECT pg_advisory_lock(50)")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            if self.how == "simple":
                psycopg.ClientCursor(self.connection).execute("SELECT pg_advisory_lock(42)")
            else:
                self.connection.execute("SELECT pg_advisory_lock(%s::int)", (42,), prepare=self.how == "prepared")
            self.got = True
        except psycopg.Error as error:
            self.error = error  # type: ignore[assignment]

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.mark.parametrize("fresh", [CHANGES, {**SHORT, "cutover": {"drain": "1s"}}], indirect=True, ids=["committed", "reverted"])
def test_who_waits_goes_on_waiting(fresh: Fresh, request: pytest.FixtureRequest) -> None:
    """A leader and those who wait to be the next one: none is in the way, and the leader stays it."""
    turnout = fresh.turnout
    moves = [("cutover", "green"), ("rollback", "blue"), ("cutover", "green")] if "committed" in request.node.name else [("cutover", "blue")]
    with turnout.connect() as leader:
        leader.execute("SELECT pg_advisory_lock(42)")
        standbys = [Standby(turnout, how) for how in ("simple", "extended", "prepared", "with its own")]
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        fresh.pair.blue.wait_for(waiting, len(standbys))
        stuck = turnout.connect()
        if moves[0][1] == "blue":
            stuck.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 201")
        for verb, writer in moves:
            report = turnout.ask(verb, "app", expect=REVERTED if stuck.info.transaction_status else 0)
            assert report["client_errors"] == 0, report
            fresh.pair.sides[writer].wait_for(waiting, len(standbys))
            assert [(one.got, one.error) for one in standbys] == [(False, None)] * 4
        stuck.close()
        eventually(lambda: ("ExclusiveLock", 0, 50, 1) in held_on(fresh, moves[-1][1]), "a standby's own lock")
        standbys[1].connection.cancel()
        standbys[1].join()
        assert isinstance(standbys[1].error, psycopg.errors.QueryCanceled)
        leader.execute("UPDATE counter SET value = 9 WHERE session = 200")
        assert leader.execute("SELECT pg_advisory_unlock(42)").fetchone() == (True,)
        left = {standbys[0], standbys[2], standbys[3]}
        while left:
            eventually(lambda: any(one.got for one in left), "the next leader")
            (leads,) = [one for one in left if one.got]
            leads.join()
            leads.connection.execute("UPDATE counter SET value = value + 1 WHERE session = 200")
            assert leads.connection.execute("SELECT pg_advisory_unlock(42)").fetchone() == (True,)
            left.remove(leads)
        for one in standbys:
            one.connection.close()
    assert fresh.pair.sides[moves[-1][1]].value("SELECT value FROM counter WHERE session = 200", database="app") == 12
    eventually(lambda: held_on(fresh, moves[-1][1]) == set(), "nothing is left")


def test_the_session_ends_while_its_locks_are_on_both_sides(fresh: Fresh) -> None:
    turnout = fresh.turnout
    holder = turnout.connect()
    take_all(holder)
    with turnout.connect() as stuck:
        stuck.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 200")
        process = turnout.cli_start("cutover", "app", "--yes")
        eventually(lambda: held_on(fresh, "green") == HELD, "held on both sides")
        assert held_on(fresh, "blue") == HELD
        holder.close()
        eventually(lambda: held_on(fresh, "green") == held_on(fresh, "blue") == set(), "let go on both")
        stuck.execute("ROLLBACK")
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stdout + stderr


@pytest.mark.parametrize("fresh", [SHORT], indirect=True)
@pytest.mark.parametrize("side", ["green", "blue"])
def test_a_connection_is_lost_while_parked(fresh: Fresh, side: str) -> None:
    """The new one: it is taken again. The old one: the session ends as it would without a proxy, and has nothing left."""
    turnout = fresh.turnout
    with turnout.connect() as holder, turnout.connect() as stuck:
        take_all(holder)
        stuck.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 200")
        process = turnout.cli_start("cutover", "app", "--yes")
        eventually(lambda: held_on(fresh, "green") == HELD, "held on both sides")
        fresh.pair.sides[side].value("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted LIMIT 1", database="app")
        if side == "green":
            eventually(lambda: held_on(fresh, "green") == HELD, "taken again")
        else:
            eventually(lambda: held_on(fresh, "green") == held_on(fresh, "blue") == set(), "nothing is left")
        stuck.execute("ROLLBACK")
        stdout, stderr = process.communicate(timeout=60)
        if side == "green":
            holder.execute("UPDATE counter SET value = 6 WHERE session = 200")
            wait_held(fresh, turnout.status()["writer"], "blue" if process.returncode == 0 else "green")
        else:
            with pytest.raises(psycopg.OperationalError):
                holder.execute("SELECT 1")
