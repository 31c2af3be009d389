"""Cancel: the statement that was meant, or none; never another session's, however late the request comes."""
from __future__ import annotations

import asyncio
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable

import psycopg
import pytest

from harness.crowd import Member, Refused, cancel
from harness.pair import Pair
from harness.postgres import Postgres
from harness.raw import Raw, query
from harness.slow import SlowRoad
from harness.turnout import Turnout

CANCELED = "57014"
CHANGES = {"pool": {"mode": "transaction", "size": 8}, "limits": {"cancels": 2_000, "cancels_per_second": 100_000}}
ONE = {"pool": {"mode": "transaction", "size": 1}, "limits": {"cancels_per_second": 100_000}}
Make = Callable[..., Turnout]

# Sessions of the storm (even: not spared) that sleep until somebody cancels them.
STUCK, STUCK_S = (0, 2, 4), 1_000.0
SLEEPERS = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep' AND now() - query_start > '1 s'"


@dataclass
class Target:
    """A session of the storm, what was asked against it, and what became of its statements."""

    number: int
    member: Member
    is_spared: bool
    requests: list[tuple[float, float]] = field(default_factory=list)      # sent, closed
    statements: list[tuple[float, float, bool]] = field(default_factory=list)  # begun, ended, cancelled
    wrong: list[str] = field(default_factory=list)

    def unexplained(self) -> list[tuple[float, float]]:
        """Statements that were cancelled although no request against this session was alive while they ran."""
        return [(begun, ended) for begun, ended, cancelled in self.statements if cancelled
                and not any(sent <= ended and closed >= begun for sent, closed in self.requests)]


async def _work(target: Target, storm: asyncio.Event, stop: asyncio.Event, seed: int) -> None:
    dice, count = random.Random(seed), 0
    await target.member.prepare("mine", f"SELECT 'session {target.number}', pg_sleep($1::float8)")
    is_stuck = target.number in STUCK
    while not stop.is_set():
        count += 1
        seconds = dice.choice((0.0, 0.001, 0.05, 0.3))
        if is_stuck and storm.is_set():  # once: on a slow machine a storm could find nobody at work
            is_stuck, seconds = False, STUCK_S
        begun = time.monotonic()
        try:
            if dice.random() < 0.5:
                rows = await target.member.execute("mine", str(seconds))
                expected = f"session {target.number}"
            else:
                expected = f"session {target.number} statement {count}"
                rows = await target.member.query(f"SELECT '{expected}', pg_sleep({seconds})")
            target.statements.append((begun, time.monotonic(), False))
            if rows[0][0] != expected:
                target.wrong.append(f"{rows[0][0]!r} in place of {expected!r}")
        except Refused as refused:
            target.statements.append((begun, time.monotonic(), True))
            if refused.sqlstate != CANCELED:
                target.wrong.append(str(refused))


async def _shoot(port: int, target: Target, after_s: float) -> None:
    await asyncio.sleep(after_s)
    sent = time.monotonic()
    await cancel(port, target.member.pid, target.member.key)
    target.requests.append((sent, time.monotonic()))


async def _storm(port: int, blue: Postgres, sessions: int, requests: int, spread_s: float) -> list[Target]:
    targets = [Target(n, await Member.open(port), n % 2 == 1) for n in range(sessions)]
    storm, stop = asyncio.Event(), asyncio.Event()
    workers = [asyncio.create_task(_work(target, storm, stop, target.number)) for target in targets]
    while min(len(target.statements) for target in targets) < 3:
        await asyncio.sleep(0.01)
    storm.set()
    while blue.sql(SLEEPERS)[0][0] == 0:
        await asyncio.sleep(0.05)
    dice = random.Random(7)
    shots = [_shoot(port, dice.choice([t for t in targets if not t.is_spared]), dice.uniform(0, spread_s)) for _ in range(requests)]
    await asyncio.gather(*shots)
    done = [len(target.statements) for target in targets]
    while any(len(target.statements) < before + 3 for target, before in zip(targets, done)):  # what comes after
        await asyncio.sleep(0.01)
    stop.set()
    await asyncio.gather(*workers)
    for target in targets:
        target.member.close()
    return targets


@pytest.mark.smoke
@pytest.mark.parametrize("spread_s", [0.0, 2.0], ids=["at-once", "spread"])
def test_a_storm_of_a_thousand_against_fifty_sessions(turnout: Turnout, pair: Pair, spread_s: float) -> None:
    before = turnout.metrics()
    targets = asyncio.run(_storm(turnout.port, pair.blue, 50, 1_000, spread_s))
    assert [target.wrong for target in targets if target.wrong] == []
    cancelled = {target.number: sum(hit for _, _, hit in target.statements) for target in targets}
    spared = [target.number for target in targets if target.is_spared and cancelled[target.number]]
    assert not spared, f"statements of sessions that nobody wanted to cancel: {spared}"
    stray = {target.number: target.unexplained() for target in targets if target.unexplained()}
    assert not stray, f"cancelled with no request alive: {stray}"
    assert sum(cancelled.values()) >= 5, "and the storm was one"
    after = turnout.metrics()
    outcomes = ("sent", "answered", "idle", "unknown", "limited")
    keys = {outcome: f'turnout_cancel_requests_total{{deployment="app",outcome="{outcome}"}}' for outcome in outcomes}
    counted = {outcome: after[key] - before[key] for outcome, key in keys.items()}
    assert counted["sent"] > 0 and counted["unknown"] == counted["limited"] == 0, counted
    assert sum(counted.values()) <= 1_000


@pytest.mark.smoke
def test_a_cancel_that_is_late_at_the_server(other_turnout: Make, pair: Pair) -> None:
    """It was sent for a statement that then ended by itself; the next session wants the same server connection."""
    with SlowRoad(pair.blue.port, cancel_s=0.7) as road:
        turnout = other_turnout(ONE | {"blue": f"127.0.0.1:{road.port}"})
        with Raw(turnout.port) as first, turnout.connect() as second:
            assert first.login() == {}
            thread = threading.Thread(target=first.ask, args=("SELECT pg_sleep(0.4)",))
            thread.start()
            time.sleep(0.2)
            asker = threading.Thread(target=first.cancel, args=(first.pid, first.key))
            asker.start()
            thread.join()
            assert road.cancels == 1, "the statement was over before its cancel had arrived"
            second.execute("SELECT pg_sleep(0.8)")  # is not cancelled
            asker.join()


@pytest.mark.smoke
@pytest.mark.parametrize("name", ["", "mine"], ids=["unnamed", "named"])
def test_a_statement_that_was_prepared_elsewhere_is_cancelled(other_turnout: Make, name: str) -> None:
    """Its connection has another statement or none: Turnout prepares it there, in front of the Bind."""
    turnout = other_turnout(ONE | {"pool": {"mode": "transaction", "size": 2}})

    async def body() -> None:
        sleeper, holder = await Member.open(turnout.port), await Member.open(turnout.port)
        await sleeper.prepare(name, "SELECT pg_sleep($1::float8)")
        await holder.query("BEGIN; SELECT 1")  # on the connection that has just been used
        statement = asyncio.create_task(sleeper.execute(name, "100"))
        while turnout.ask("clients")["clients"][0]["state"] != "active":
            await asyncio.sleep(0.05)
        await cancel(turnout.port, sleeper.pid, sleeper.key)
        with pytest.raises(Refused) as refused:
            await asyncio.wait_for(statement, 30)
        assert refused.value.sqlstate == CANCELED
        for member in (sleeper, holder):
            member.close()

    asyncio.run(body())


def test_a_statement_left_behind_ends_although_its_cancel_came_too_early(other_turnout: Make, pair: Pair) -> None:
    """A backend forgets a cancel that overtakes the statement: the locks of a client that is gone would stay."""
    with SlowRoad(pair.blue.port, late=b"left behind", late_s=0.5) as road:
        turnout = other_turnout(ONE | {"blue": f"127.0.0.1:{road.port}"})
        client = Raw(turnout.port)
        assert client.login() == {}
        client.send(query("SELECT pg_sleep(100), 'left behind'"))
        deadline = time.monotonic() + 20
        while turnout.ask("clients")["clients"][0]["state"] != "active":
            assert time.monotonic() < deadline
        client.close()
        while "'left behind'" not in pair.blue.log.read_text():  # it logs the statements of its errors
            assert time.monotonic() < deadline + 20, "it was not cancelled"
            time.sleep(0.05)


def test_the_client_is_told_when_its_request_has_had_its_effect(other_turnout: Make, pair: Pair) -> None:
    """Whoever waits for the end of the cancel's socket, as libpq does, can send the next statement without fear."""
    with SlowRoad(pair.blue.port, cancel_s=0.5) as road:
        turnout = other_turnout(ONE | {"blue": f"127.0.0.1:{road.port}"})
        with turnout.connect(autocommit=False) as connection:
            connection.execute("SELECT 1")  # in a transaction: the next statement runs on the same server connection
            thread = threading.Thread(target=lambda: connection.execute("SELECT pg_sleep(0.3)"))
            thread.start()
            time.sleep(0.1)
            begun = time.monotonic()
            connection.cancel()
            assert time.monotonic() - begun >= 0.4, "it came back before the server had heard of it"
            thread.join()
            connection.execute("SELECT pg_sleep(0.3)")
            connection.rollback()


@pytest.mark.parametrize("held", [False, True], ids=["waiting", "held"])
def test_work_that_never_reached_a_server_is_cancelled_at_once(other_turnout: Make, held: bool) -> None:
    turnout = other_turnout(ONE)
    with turnout.connect(autocommit=False) as first, turnout.connect() as second:
        if held:
            turnout.ask("pause", "app")
        else:
            first.execute("SELECT 1")
        errors: list[Any] = []

        def wait() -> None:
            try:
                second.execute("SELECT 'never'")
            except psycopg.Error as error:
                errors.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        state = "held" if held else "waiting"
        deadline = time.monotonic() + 20
        while not any(client["state"] == state for client in turnout.ask("clients")["clients"]):
            assert time.monotonic() < deadline
        second.cancel()
        thread.join(20)
        assert errors and errors[0].sqlstate == CANCELED
        if held:
            turnout.ask("resume", "app")
        else:
            first.rollback()
        assert second.execute("SELECT 5").fetchone() == (5,)


def test_what_turnout_sends_itself_is_not_cancelled(other_turnout: Make) -> None:
    """Before the statement its session's settings are set on the server connection: the cancel is not for those."""
    turnout = other_turnout(ONE)

    async def body() -> tuple[int, int]:
        hit = passed = 0
        noise, target = await Member.open(turnout.port), await Member.open(turnout.port)
        for n in range(60):
            await noise.query(f"SET work_mem = '{100 + n}kB'; SET search_path = 'noise'")
            await target.query(f"SET work_mem = '{300 + n}kB'; SET search_path = 'target'")
            await noise.query("SELECT 1")  # the one connection carries the noise's settings now
            statement = asyncio.create_task(target.query("SELECT current_setting('work_mem'), current_setting('search_path'), pg_sleep(0.03)"))
            await asyncio.sleep(0.0005 * (n % 6))
            await cancel(turnout.port, target.pid, target.key)
            try:
                rows = await statement
                passed += 1
                assert rows[0][:2] == (f"{300 + n}kB", "target"), rows
            except Refused as refused:
                assert refused.sqlstate == CANCELED, refused
                hit += 1
            rows = await target.query("SELECT current_setting('work_mem'), current_setting('search_path')")
            assert rows[0] == (f"{300 + n}kB", "target"), rows
        return hit, passed

    hit, _ = asyncio.run(body())
    assert hit > 10


def test_too_many_of_one_address(other_turnout: Make) -> None:
    turnout = other_turnout({"limits": {"cancels_per_second": 5}})

    async def body() -> None:
        member = await Member.open(turnout.port)
        await asyncio.gather(*(cancel(turnout.port, member.pid, member.key) for _ in range(50)))
        await asyncio.gather(*(cancel(turnout.port, member.pid, b"none") for _ in range(5)))

    asyncio.run(body())
    metrics = turnout.metrics()
    limited = metrics['turnout_cancel_requests_total{deployment="app",outcome="limited"}']
    idle = metrics['turnout_cancel_requests_total{deployment="app",outcome="idle"}']
    assert limited >= 30 and 5 <= idle <= 20 and limited + idle <= 55, (limited, idle)


def test_a_key_that_was_guessed(turnout: Turnout) -> None:
    async def body() -> None:
        member = await Member.open(turnout.port)
        statement = asyncio.create_task(member.query("SELECT pg_sleep(0.3)"))
        await asyncio.sleep(0.05)
        wrong = bytes(byte ^ 1 for byte in member.key)
        for pid, key in ((member.pid, wrong), (member.pid, b""), (member.pid + 1, member.key), (0x7FFFFFFF, member.key)):
            await cancel(turnout.port, pid, key)
        await statement

    before = turnout.metrics()['turnout_cancel_requests_total{deployment="app",outcome="unknown"}']
    asyncio.run(body())
    # An empty key is no cancel request at all: the packet is refused before anybody looks for the session.
    assert turnout.metrics()['turnout_cancel_requests_total{deployment="app",outcome="unknown"}'] >= before + 3
