"""Limits of server connections, and how pools keep to them: sizes, reserve, least number, sharing, refused logins."""
from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from typing import Any, Callable

import psycopg
import pytest

from harness.crowd import Lost, Member, Refused
from harness.load import Pgbench
from harness.pair import Pair
from harness.raw import Message, Raw, framed, query
from harness.slow import SlowRoad
from harness.turnout import Turnout
from harness.waiting import eventually

CHANGES: dict[str, Any] = {}
Make = Callable[..., Turnout]


class Census:
    """Looks at the backends of our users as fast as the server answers. One look is no instant: the server reads one
    backend's entry after the other's. Who is in two looks in a row was there all the time between: the most of those count."""

    _SQL = ("SELECT pid, backend_start, usename FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND usename IN ('app', 'hammer', 'reader')")

    def __init__(self, pair: Pair) -> None:
        self._pair, self._stop = pair, threading.Event()
        self.most, self.most_of_user, self.looks = 0, 0, 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Census":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        before: set[tuple[object, ...]] = set()
        with self._pair.blue.connect() as connection:
            while not self._stop.is_set():
                now = set(connection.execute(self._SQL).fetchall())
                of_user = Counter(user for _, _, user in before & now)
                self.most, self.most_of_user = max(self.most, of_user.total()), max(self.most_of_user, *of_user.values(), 0)
                self.looks, before = self.looks + 1, now


def backends(pair: Pair, user: str = "app") -> int:
    return int(pair.blue.value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename = %s", [user]))


@pytest.mark.smoke
def test_never_more_server_connections_than_the_limits(other_turnout: Make, pair: Pair) -> None:
    """Clients and server connections come and go on every worker; the server itself is asked how many there are."""
    turnout = other_turnout({"pool": {"size": 5, "lifetime": "150ms", "lifetime_jitter": 50},
                             "limits": {"server_connections": 8, "server_connections_per_user": 4}})
    script = turnout.home / "look.sql"
    script.write_text("SELECT count(*) FROM pg_class;\n")
    with Census(pair) as census:
        loads = [Pgbench(turnout.port, turnout.home, user=user, script=str(script), clients=8, seconds=4, extra=extra)
                 for user in ("app", "hammer", "reader") for extra in ((), ("-C",))]
        results = [load.wait() for load in loads]
    for result in results:
        assert result.clean(), result.output
    assert census.looks > 50
    assert 4 < census.most <= 8, "all of them together"
    assert census.most_of_user <= 4
    metrics = turnout.metrics()
    assert metrics['turnout_server_logins_total{deployment="app",outcome="accepted"}'] > 50, "they did come and go"


def test_idle_connections_of_another_pool_give_way(other_turnout: Make, pair: Pair) -> None:
    turnout = other_turnout({"pool": {"size": 2, "wait_timeout": "20s"}, "limits": {"server_connections_per_database": 2}})
    held = [turnout.connect(autocommit=False) for _ in range(2)]
    for connection in held:
        connection.execute("SELECT 1")
    waiter: list[Any] = []
    thread = threading.Thread(target=lambda: waiter.append(turnout.connect("hammer")))
    thread.start()
    eventually(lambda: any(pool["waits_for"] or pool["servers_active"] == 2 for pool in turnout.ask("pools")["pools"]), "pools are full")
    held[0].commit()
    thread.join(20)
    assert waiter, "the login of the other user got a server connection when one fell free"
    assert turnout.metrics()['turnout_server_evictions_total{deployment="app"}'] == 1
    assert waiter[0].execute("SELECT current_user").fetchone() == ("hammer",)
    held[1].commit()
    assert held[0].execute("SELECT current_user").fetchone() == ("app",)
    for connection in (*held, *waiter):
        connection.close()
    assert backends(pair) + backends(pair, "hammer") <= 2


def test_the_least_number_is_kept_open(other_turnout: Make, pair: Pair) -> None:
    turnout = other_turnout({"pool": {"size": 6, "size_min": 3, "idle_timeout": "100ms", "lifetime": "2s"}})
    with turnout.connect() as connection:
        connection.execute("SELECT 1")
        eventually(lambda: backends(pair) == 3, "three are open although one was needed")
        pair.blue.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        eventually(lambda: backends(pair) == 3, "three again")
        first = {row[0] for row in pair.blue.sql("SELECT pid FROM pg_stat_activity WHERE usename = 'app'")}
        eventually(lambda: not first & {row[0] for row in pair.blue.sql("SELECT pid FROM pg_stat_activity WHERE usename = 'app'")},
                   "each was replaced at the end of its lifetime")
        assert backends(pair) <= 3
    eventually(lambda: backends(pair) == 0, "nobody is there any more, and the idle time-out counts")


def test_the_reserve_is_for_who_has_waited(other_turnout: Make, pair: Pair) -> None:
    turnout = other_turnout({"pool": {"size": 1, "reserve": 1, "reserve_after": "500ms"}})
    with turnout.connect(autocommit=False) as first, turnout.connect() as second:
        first.execute("SELECT 1")
        begun = time.monotonic()
        second.execute("SELECT 1")
        assert 0.45 <= time.monotonic() - begun < 10
        assert backends(pair) == 2
        first.rollback()
        eventually(lambda: backends(pair) == 1, "the reserve is closed when it is not needed")
        for _ in range(20):
            second.execute("SELECT 1")
        eventually(lambda: backends(pair) == 1, "nobody has waited since")


def test_connections_open_in_parallel_within_the_knob(other_turnout: Make, pair: Pair) -> None:
    """All who wait get theirs at the same time, as after a flip; a knob says how many at most."""
    seconds = {}
    for opening in (16, 2):
        with SlowRoad(pair.blue.port, connect_s=0.25) as road:
            turnout = other_turnout({"blue": f"127.0.0.1:{road.port}", "pool": {"size": 16, "opening": opening}})

            async def body() -> float:
                members = [await Member.open(turnout.port) for _ in range(16)]
                begun = time.monotonic()
                await asyncio.gather(*(member.query("BEGIN") for member in members))
                return time.monotonic() - begun

            seconds[opening] = asyncio.run(body())
            assert road.most_opening <= max(opening, 3), f"the login of the control side may be beside them: {road.most_opening}"
            if opening == 16:
                assert road.most_opening >= 8
            turnout.stop()
    assert seconds[2] >= 1.5 and seconds[16] < seconds[2], seconds


def test_a_connection_that_nobody_needs_here_serves_who_waits_on_another_worker(other_turnout: Make, pair: Pair) -> None:
    """It was opened for a session that another connection has served meanwhile, and the pool has no room for one more."""
    with SlowRoad(pair.blue.port, connect_s=0.7) as road:
        turnout = other_turnout({"blue": f"127.0.0.1:{road.port}", "pool": {"mode": "transaction", "size": 2}}, start=False)
        turnout.config["workers"] = 2
        turnout.write_config()
        turnout.start()
        members: dict[int, list[Raw]] = {0: [], 1: []}
        while min(len(there) for there in members.values()) == 0 or max(len(there) for there in members.values()) < 2:
            member = Raw(turnout.port)
            assert member.login() == {}
            members[member.pid >> 26].append(member)  # a session's number begins with its worker's
        elsewhere, here = sorted(members.values(), key=len)
        here[0].ask("BEGIN")
        here[1].send(query("BEGIN"))  # a second connection is opened for it
        time.sleep(0.2)
        here[0].ask("COMMIT")
        here[1].until("Z")
        assert elsewhere[0].value("SELECT 'served'") == "served"
        for member in here + elsewhere:
            member.close()


@pytest.mark.smoke
def test_a_refused_login_is_told_to_who_waited_for_it(other_turnout: Make, pair: Pair) -> None:
    """In the server's own words; whoever comes next asks the server again."""
    turnout = other_turnout({"pool": {"size": 2}})
    with turnout.connect("hammer") as connection:
        connection.execute("SELECT 1")
        pair.blue.sql("ALTER ROLE hammer NOLOGIN")
        try:
            pair.blue.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'hammer'")
            eventually(lambda: backends(pair, "hammer") == 0, "its server connections are gone")
            with pytest.raises(psycopg.OperationalError, match="not permitted to log in") as refused:
                connection.execute("SELECT 1")
            assert refused.value.sqlstate == "28000"
        finally:
            pair.blue.sql("ALTER ROLE hammer LOGIN")
        assert connection.execute("SELECT 2").fetchone() == (2,)
    assert turnout.metrics()['turnout_server_logins_total{deployment="app",outcome="failed"}'] >= 1


def test_a_server_that_is_full_for_a_moment(other_turnout: Make, pair: Pair) -> None:
    """Those who wait go on waiting, and none of them sees an error."""
    turnout = other_turnout({"pool": {"size": 2, "wait_timeout": "30s"}})

    async def body() -> None:
        members = [await Member.open(turnout.port, "reader") for _ in range(6)]
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, pair.blue.sql, "ALTER ROLE reader CONNECTION LIMIT 0")
        await loop.run_in_executor(None, pair.blue.sql, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'")
        await loop.run_in_executor(None, eventually, lambda: backends(pair, "reader") == 0, "its server connections are gone")
        waiting = [asyncio.create_task(member.query("SELECT 1")) for member in members]
        failures = 'turnout_server_logins_total{deployment="app",outcome="failed"}'
        await loop.run_in_executor(None, eventually, lambda: turnout.metrics()[failures] >= 3, "it was tried again and again")
        pools = await loop.run_in_executor(None, turnout.ask, "pools")
        assert any(pool["user"] == "reader" and pool["waits_for"].startswith("53300") for pool in pools["pools"]), pools
        assert not any(task.done() for task in waiting)
        await loop.run_in_executor(None, pair.blue.sql, "ALTER ROLE reader CONNECTION LIMIT -1")
        assert [row for rows in await asyncio.gather(*waiting) for row in rows] == [("1",)] * 6

    try:
        asyncio.run(body())
    finally:
        pair.blue.sql("ALTER ROLE reader CONNECTION LIMIT -1")


def test_the_wait_ends_with_the_servers_own_words(other_turnout: Make, pair: Pair) -> None:
    turnout = other_turnout({"pool": {"size": 2, "wait_timeout": "1s"}})
    with turnout.connect("reader") as connection:
        pair.blue.sql("ALTER ROLE reader CONNECTION LIMIT 0")
        try:
            pair.blue.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'")
            eventually(lambda: backends(pair, "reader") == 0, "its server connections are gone")
            with pytest.raises(psycopg.OperationalError, match="too many connections for role") as refused:
                connection.execute("SELECT 1")
            assert refused.value.sqlstate == "53300"
        finally:
            pair.blue.sql("ALTER ROLE reader CONNECTION LIMIT -1")
        assert connection.execute("SELECT 2").fetchone() == (2,)


def test_members_that_vanish_leave_no_unit_behind(other_turnout: Make, pair: Pair) -> None:
    """Clients that go away in the middle of statements and transactions: the limit is neither passed nor used up."""
    turnout = other_turnout({"pool": {"size": 3}})

    async def body() -> None:
        for _ in range(8):
            members = [await Member.open(turnout.port) for _ in range(9)]
            asks = [asyncio.create_task(member.query("SELECT pg_sleep(0.2)" if n % 3 else "BEGIN")) for n, member in enumerate(members)]
            await asyncio.sleep(0.03)
            for member in members:
                member.close()
            for outcome in await asyncio.gather(*asks, return_exceptions=True):
                assert isinstance(outcome, (list, Lost, Refused)), outcome

    with Census(pair) as census:
        asyncio.run(body())
        with turnout.connect() as connection:
            assert connection.execute("SELECT 5").fetchone() == (5,)
    assert census.most <= 3

    async def all_at_once() -> None:
        members = [await Member.open(turnout.port) for _ in range(3)]
        await asyncio.wait_for(asyncio.gather(*(member.query("BEGIN") for member in members)), 20)

    asyncio.run(all_at_once())


def _parse(sql: str) -> bytes:
    return framed("P", b"\0" + sql.encode() + b"\0\0\0") + framed("S")


def _run_unnamed(raw: Raw) -> list[Message]:
    raw.send(framed("B", b"\0\0" + b"\0\0" * 3) + framed("E", b"\0" + b"\0" * 4) + framed("S"))
    return raw.until("Z")


@pytest.mark.parametrize("padding", [0, 100_000])
def test_unnamed_statements_are_their_sessions_own(other_turnout: Make, padding: int) -> None:
    """Prepared in one segment and run in another, on a connection that others used meanwhile: long ones too."""
    turnout = other_turnout({"pool": {"size": 1}})
    with Raw(turnout.port) as one, Raw(turnout.port) as two:
        one.login()
        two.login()
        for text in ("older of one", "text of one"):
            one.send(_parse(f"SELECT '{text}' /* {'x' * padding} */"))
            one.until("Z")
        two.send(_parse("SELECT 'text of two'"))
        two.until("Z")
        assert any(b"text of one" in body for _, body in _run_unnamed(one))
        assert any(b"text of two" in body for _, body in _run_unnamed(two))
        one.ask("SELECT 1")  # destroys it
        two.send(_parse("SELECT 'text of two'"))
        two.until("Z")
        answer = _run_unnamed(one)
        assert [kind for kind, _ in answer] == ["E", "Z"] and b"26000" in answer[0][1], answer
