"""Types with other numbers (OIDs) on each side: clients see blue's, whoever answers, so nothing they remember goes wrong."""
from __future__ import annotations

import struct
from typing import Any, Iterator

import psycopg
import pytest

from harness.pair import DATABASE, Pair
from harness.turnout import Turnout
from harness.typed import Asyncpg, Client, Psycopg3, go_client, java_client, prepare_types

CHANGES: dict[str, Any] = {}


@pytest.fixture(scope="module", autouse=True)
def types(pair: Pair) -> dict[str, tuple[int, int]]:
    """name → (number on blue, number on green)"""
    prepare_types(pair)
    numbers = [dict(server.sql("SELECT oid::regtype::text, oid::bigint FROM pg_type WHERE oid >= 16384 AND typnamespace = 'public'::regnamespace"))
               for server in (pair.blue, pair.green)]
    both = {name: (number, numbers[1][name]) for name, number in numbers[0].items() if name in numbers[1]}
    assert all(both[name][0] != both[name][1] for name in ("mood", "mood[]", "spot", "spot[]", "hstore", "citext", "mood_span"))
    # The same number means different things: nothing works by luck.
    assert {blue for blue, _ in both.values()} & {green for _, green in both.values()}
    return both


@pytest.fixture
def clients(turnout: Turnout) -> Iterator[list[Client]]:
    kinds = [Asyncpg, Psycopg3, go_client(turnout.home), java_client(turnout.home)]
    missing = [name for name, kind in zip(("pgx (golang-github-jackc-pgx-v4-dev)", "pgjdbc (libpostgresql-jdbc-java)"), kinds[2:]) if kind is None]
    if missing:
        print(f"left out, not installed: {', '.join(missing)}")
    made = [kind(turnout.conninfo(), row).start() for row, kind in enumerate((kind for kind in kinds if kind), 1)]
    yield made
    for client in made:
        client.stop()


def all_rounds(clients: list[Client], more: int = 6) -> None:
    for client in clients:
        client.wait_rounds(more)


@pytest.mark.smoke
def test_drivers_through_ramp_cutover_and_rollback(turnout: Turnout, pair: Pair, clients: list[Client]) -> None:
    all_rounds(clients)
    turnout.ask("shift", "app", "100")
    all_rounds(clients)
    turnout.ask("shift", "app", "0")
    turnout.ask("cutover", "app")
    all_rounds(clients, 10)
    turnout.ask("rollback", "app")
    all_rounds(clients)
    for client in clients:
        client.stop()
        assert not client.errors, f"{client.name}: {client.errors[:3]}"
    before = [server.sql("SELECT id, m, ms::text, s::text, ss::text, r::text, rs::text, sr::text, h::text, t::text, ts::text, o::bigint FROM typed ORDER BY id")
              for server in (pair.blue, pair.green)]
    assert before[0] == before[1] and len({row[1:] for row in before[0]}) == 1, "all rows hold what they held, on both sides"


def test_drivers_directly(pair: Pair) -> None:
    """The same clients without Turnout: what they check is what PostgreSQL does."""
    made = [kind(pair.blue.conninfo("app", DATABASE), row).start() for row, kind in ((8, Asyncpg), (9, Psycopg3))]
    all_rounds(made, 5)
    for client in made:
        client.stop()
        assert not client.errors, client.errors[:3]
