"""Thousands of sessions over twenty server connections: what one has set up, no other one ever sees."""
from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from harness.crowd import Member, Refused, allow_descriptors
from harness.pair import Pair
from harness.turnout import Turnout

SERVERS = 20
CHANGES = {"pool": {"mode": "transaction", "size": SERVERS}, "limits": {"clients": 11_000}}
ROLES = ("crowd_a", "crowd_b", "crowd_c")
ZONES = ("UTC", "Asia/Tokyo", "America/Lima", "Africa/Cairo", "Etc/GMT+7")
LOOK = ("SELECT current_setting('search_path'), current_setting('statement_timeout'), current_setting('application_name'), "
        "current_setting('work_mem'), current_user, current_setting('TimeZone')")
NAMES = ("search_path", "statement_timeout", "application_name", "work_mem", "role", "TimeZone")


@pytest.fixture(scope="module", autouse=True)
def roles(pair: Pair) -> None:
    for role in ROLES:
        pair.blue.sql(f"CREATE ROLE {role}; GRANT {role} TO app")


class Guest:
    """One session, a model of its settings, and a prepared statement whose name all of them use."""

    def __init__(self, number: int, member: Member) -> None:
        self.number, self.member = number, member
        self.dice = random.Random(number)
        self.own = {"search_path": '"$user", public', "statement_timeout": "0", "application_name": f"guest {number}",
                    "work_mem": "4MB", "role": "app", "TimeZone": "UTC"}
        self.start = dict(self.own)
        self.leaks: list[str] = []
        self.text = ""

    def value(self, name: str) -> str:
        return {"search_path": f"s{self.number}", "statement_timeout": f"{600_001 + 10 * self.number}ms",
                "application_name": f"guest {self.number} says {self.dice.randrange(100)}", "work_mem": f"{1_025 + 2 * self.number}kB",
                "role": self.dice.choice(ROLES), "TimeZone": self.dice.choice(ZONES)}[name]

    async def look(self, expected: dict[str, str], when: str) -> None:
        seen = dict(zip(NAMES, (await self.member.query(LOOK))[0]))
        wrong = {name: (seen[name], expected[name]) for name in NAMES if seen[name] != expected[name]}
        if wrong:
            self.leaks.append(f"guest {self.number} {when}: {wrong}")

    async def set(self) -> None:
        name = self.dice.choice(NAMES)
        value = self.value(name)
        await self.member.query(f"SET {name} = '{value}'")
        self.own[name] = value

    async def reset(self) -> None:
        name = self.dice.choice(NAMES)
        await self.member.query(f"RESET {name}")
        self.own[name] = self.start[name]

    async def set_local(self) -> None:
        names = self.dice.sample(NAMES, 2)
        inside = dict(self.own) | {name: self.value(name) for name in names}
        await self.member.query("BEGIN; " + "; ".join(f"SET LOCAL {name} = '{inside[name]}'" for name in names))
        await self.look(inside, "inside a transaction with SET LOCAL")
        await self.member.query(self.dice.choice(("COMMIT", "ROLLBACK")))

    async def roll_back(self) -> None:
        names = self.dice.sample(NAMES, 3)
        inside = dict(self.own) | {name: self.value(name) for name in names}
        await self.member.query("BEGIN; " + "; ".join(f"SET {name} = '{inside[name]}'" for name in names))
        await self.look(inside, "before its ROLLBACK")
        await self.member.query("ROLLBACK")

    async def fail(self) -> None:
        """The error takes the SETs of its transaction along."""
        name = self.dice.choice(NAMES)
        await self.member.query(f"BEGIN; SET {name} = '{self.value(name)}'")
        try:
            await self.member.query("SELECT 1/0")
        except Refused as refused:
            assert refused.sqlstate == "22012", refused
        await self.member.query("COMMIT")

    async def prepared(self) -> None:
        if not self.text:
            self.text = f"SELECT 'guest {self.number}', $1::int + {self.number}"
            await self.member.prepare("statement", self.text)
        rows = await self.member.execute("statement", "1000")
        if rows != [(f"guest {self.number}", str(1_000 + self.number))]:
            self.leaks.append(f"guest {self.number} got {rows} of its prepared statement")

    async def visit(self) -> None:
        act = self.dice.choice((self.set, self.set, self.reset, self.set_local, self.roll_back, self.fail, self.prepared, self.prepared))
        await act()
        await self.look(self.own, f"after {act.__name__}")


async def party(port: int, guests: int, rounds: int) -> tuple[list[str], int]:
    allow_descriptors(guests + 200)
    gate = asyncio.Semaphore(200)

    async def come(number: int) -> Guest:
        async with gate:
            return Guest(number, await Member.open(port, application_name=f"guest {number}", TimeZone="UTC"))

    everybody = await asyncio.gather(*(come(number) for number in range(guests)))
    everybody_there = len(everybody)
    for _ in range(rounds):
        await asyncio.gather(*(guest.visit() for guest in everybody))
    for guest in everybody:
        guest.member.close()
    return [leak for guest in everybody for leak in guest.leaks], everybody_there


def check(turnout: Turnout, pair: Pair, guests: int, rounds: int) -> None:
    leaks, there = asyncio.run(party(turnout.port, guests, rounds))
    assert not leaks, f"{len(leaks)} leaks, the first ones: {leaks[:5]}"
    assert there == guests
    backends = pair.blue.value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'")
    assert 1 <= backends <= SERVERS
    metrics: dict[str, Any] = turnout.metrics()
    assert metrics['turnout_client_errors_total{deployment="app"}'] == 0


@pytest.mark.smoke
def test_a_thousand_sessions(turnout: Turnout, pair: Pair) -> None:
    check(turnout, pair, guests=1_000, rounds=6)


@pytest.mark.soak
def test_ten_thousand_sessions(turnout: Turnout, pair: Pair) -> None:
    check(turnout, pair, guests=10_000, rounds=6)
