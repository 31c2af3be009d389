"""Types with other numbers (OIDs) on each side: clients see blue's, whoever answers, so nothing they remember goes wrong."""
from __future__ import annotations

import subprocess
from typing import Any, Iterator

import psycopg
import psycopg.types.numeric
import pytest

from harness.pair import DATABASE, Pair
from harness.postgres import DEBIAN_BIN
from harness.turnout import Turnout
from harness.typed import Asyncpg, Client, Psycopg3, go_client, java_client, prepare_types

# Four runtimes with transactions of several statements: on a busy machine one of those takes its time.
CHANGES: dict[str, Any] = {"cutover": {"drain": "8s", "proof": "8s", "window": "20s"}}


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


def psql(turnout: Turnout, text: str) -> str:
    ran = subprocess.run([str(DEBIAN_BIN / "psql"), "-X", "-d", turnout.conninfo(), "-c", text], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return "".join(line for line in ran.stdout.splitlines(True) if "turnout_" not in line)  # publications differ


def test_the_catalogs_on_green_tell_blues_numbers(turnout: Turnout, pair: Pair, types: dict[str, tuple[int, int]]) -> None:
    """What drivers ask when they do not know a type, and what they send back; also when Turnout starts without blue."""
    described = psql(turnout, r"\d+ typed")
    listed = psql(turnout, r"\dT+")
    turnout.ask("cutover", "app")
    mood, table = types["mood"][0], pair.blue.value("SELECT 'typed'::regclass::oid::bigint")

    def look() -> None:
        assert psql(turnout, r"\d+ typed") == described and psql(turnout, r"\dT+") == listed
        for binary in (False, True):
            with turnout.connect() as connection, connection.cursor(binary=binary) as cursor:
                one = lambda sql, *values: cursor.execute(sql, values or None).fetchone()  # noqa: E731, B023
                assert one("SELECT 'mood'::regtype::oid, 'mood[]'::regtype::oid") == (mood, types["mood[]"][0])
                assert one("SELECT oid, typarray FROM pg_type WHERE typname = 'mood'") == (mood, types["mood[]"][0])
                assert one("SELECT typname FROM pg_type WHERE oid = %s", mood) == ("mood",)
                assert one("SELECT typname FROM pg_type WHERE oid = ANY(%s)", [mood]) == ("mood",)
                assert one(f"SELECT typname FROM pg_type WHERE oid = {mood} AND oid = '{mood}'") == ("mood",)
                assert one("SELECT format_type(%s, NULL)", mood) == ("mood",)
                assert one("SELECT array_agg(atttypid ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'spot'::regclass") == (
                    [mood, types["positive_int"][0], types["mood[]"][0]],)
                assert one("SELECT tableoid, o FROM typed WHERE id = 1") == (table, mood)
                assert cursor.pgresult is not None and cursor.pgresult.ftable(1) == table
                # A user's own numbers are nobody's business, nor is a lock.
                assert one("SELECT o FROM typed WHERE o = %s", psycopg.types.numeric.Oid(mood) if binary else mood) == (mood,)
                assert one("SELECT pg_try_advisory_xact_lock(%s), 17 + %s", mood, mood) == (True, 17 + mood)
                assert one("SELECT m FROM typed WHERE id = 1") in (("ok",), (b"ok",))
                assert cursor.pgresult is not None and cursor.pgresult.ftype(0) == mood

    look()
    pair.blue.kill9()
    turnout.stop()
    turnout.start()
    look()
    pair.blue.start()
    turnout.restart()
    look()
