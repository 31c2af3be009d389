"""`turnout shadow`: reads run on green as well. What was planted there is named; lag and live writes never are."""
from __future__ import annotations

import json
import threading
import time
from typing import Any, Callable, Iterator

import psycopg
import pytest

from harness.load import Pgbench
from harness.pair import Pair
from harness.shadowed import off, on, report, shape_of, wait_for
from harness.turnout import DONE, REFUSED, Turnout, USAGE

CHANGES: dict[str, Any] = {"shadow": {"lag_time": "2s", "brackets": 2}}

SCHEMA = """
CREATE TABLE sh_rows (id int PRIMARY KEY, grp int, word text {collation}, weight float8);
CREATE TABLE sh_wide (id int PRIMARY KEY, owner int, payload text);
CREATE FUNCTION sh_rate(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n * {factor}';
"""
ROWS = """
INSERT INTO sh_rows SELECT n, n % 10, chr(65 + n % 26) || n, n / 3.0::float8 FROM generate_series(1, 200) n;
INSERT INTO sh_wide SELECT n, n % 4000, repeat('p', 100) || n FROM generate_series(1, 120000) n;
"""


@pytest.fixture(scope="module", autouse=True)
def tables(pair: Pair, turnout: Turnout) -> None:
    pair.blue.sql(SCHEMA.format(collation="", factor=2) + ROWS)
    pair.green.sql(SCHEMA.format(collation="", factor=3))  # the function is another one there
    pair.blue.sql("CREATE INDEX sh_wide_owner ON sh_wide (owner)")  # which green does not have
    for side in pair.sides.values():
        side.sql("GRANT SELECT, INSERT, UPDATE, DELETE ON sh_rows, sh_wide TO app, reader; "
                 "GRANT EXECUTE ON FUNCTION sh_rate(int) TO app, reader")
    pair.blue.sql("ALTER PUBLICATION turnout_fwd ADD TABLE sh_rows, sh_wide")
    pair.green.sql("ALTER SUBSCRIPTION turnout_fwd REFRESH PUBLICATION", user="turnout")
    pair.green.wait_for("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel", timeout_s=60)
    for side in pair.sides.values():
        side.sql("ANALYZE sh_rows; ANALYZE sh_wide")


@pytest.fixture(autouse=True)
def off_again(turnout: Turnout) -> Iterator[None]:
    yield
    off(turnout)


@pytest.mark.smoke
def test_equal_sides_are_equal_while_everybody_writes(turnout: Turnout, pair: Pair) -> None:
    on(turnout)
    stop = threading.Event()
    errors: list[Exception] = []

    def churn() -> None:
        try:
            with turnout.connect() as connection:
                number = 0
                while not stop.is_set():
                    number += 1
                    connection.execute("UPDATE sh_rows SET word = %s WHERE id = %s", [f"w{number}", number % 20 + 1])
        except psycopg.Error as error:
            errors.append(error)

    writer = threading.Thread(target=churn, daemon=True)
    load = [Pgbench(turnout.port, turnout.home, mode=mode, script="select-only", clients=4, rate=100, seconds=600)
            for mode in ("prepared", "extended", "simple")]
    writer.start()
    try:
        with turnout.connect() as connection:
            def read() -> None:
                connection.execute("SELECT id, word, weight FROM sh_rows WHERE id < 30 ORDER BY id", prepare=False)
                connection.execute("SELECT grp, count(*) FROM sh_rows GROUP BY grp")
                connection.execute("SELECT word FROM sh_rows WHERE id = %s", [7], prepare=True)
            found = wait_for(turnout, lambda r: r["same"] >= 500 and shape_of(r, "group by grp").get("same", 0) >= 20, read)
    finally:
        stop.set()
        writer.join()
    results = [pgbench.stop() for pgbench in load]
    assert not errors, errors
    for result in results:
        assert result.clean(), result.errors[:5]
    assert found["different"] == 0 and found["failed"] == 0, [s for s in found["shapes"] if s["different"] or s["failed"]]
    one = shape_of(found, "select abalance from pgbench_accounts where aid = ")
    assert one["green"]["reads"] > 0 and one["blue"]["reads"] == one["green"]["reads"]
    assert 0 < one["green"]["p50_ms"] <= one["green"]["p95_ms"] <= one["green"]["p99_ms"]
    assert turnout.cli("shadow", "app").code == DONE
    assert "select abalance" in turnout.cli("shadow", "app", "report").stdout


def test_what_was_planted_on_green_is_named(turnout: Turnout, pair: Pair) -> None:
    on(turnout)
    pair.green.sql("SET session_replication_role = replica; UPDATE sh_rows SET word = 'planted' WHERE id = 150; "
                   "DELETE FROM sh_rows WHERE id = 151")
    try:
        with turnout.connect() as connection:
            def read() -> None:
                connection.execute("SELECT word FROM sh_rows WHERE id = 150")
                connection.execute("SELECT id FROM sh_rows WHERE id BETWEEN 150 AND 152 ORDER BY id")
                connection.execute("SELECT sh_rate(id) AS rate FROM sh_rows WHERE id = 1")
                connection.execute("SELECT grp FROM sh_rows WHERE id = 1")
            found = wait_for(turnout, lambda r: sum(1 for s in r["shapes"] if s["different"] > 0) >= 3, read)
        by_text = {s["shape"]: s["difference"] for s in found["shapes"] if s["different"]}
        assert "in word" in next(words for text, words in by_text.items() if "select word" in text), by_text
        assert "3 rows on the writer, 2 on the other side" in next(words for text, words in by_text.items() if "between" in text), by_text
        assert "in rate" in next(words for text, words in by_text.items() if "sh_rate" in text), by_text
        assert "planted" not in json.dumps(found), "a report holds no values"
        assert shape_of(found, "select grp from").get("different", 0) == 0
        assert found["outcome"] == "different"
        assert turnout.cli("shadow", "app").code == REFUSED
        assert "different" in turnout.cli("status", "app").stdout
    finally:
        pair.green.sql("SET session_replication_role = replica; "
                       "INSERT INTO sh_rows SELECT 151, 1, chr(65 + 151 % 26) || 151, 151 / 3.0::float8; "
                       "UPDATE sh_rows SET word = chr(65 + 150 % 26) || 150 WHERE id = 150")


def test_errors_of_green_alone(turnout: Turnout, pair: Pair) -> None:
    on(turnout)
    pair.green.sql("ALTER TABLE sh_rows RENAME COLUMN grp TO grp_gone")
    try:
        with turnout.connect() as connection:
            def read() -> None:
                assert connection.execute("SELECT grp, id FROM sh_rows WHERE id = 3").fetchone() == (3, 3)
            found = wait_for(turnout, lambda r: shape_of(r, "select grp, id").get("failed", 0) > 0, read)
        shape = shape_of(found, "select grp, id")
        assert {"sqlstate": "42703", "blue": 0}.items() <= shape["errors"][0].items(), shape
        assert "42703" in shape["difference"]
    finally:
        pair.green.sql("ALTER TABLE sh_rows RENAME COLUMN grp_gone TO grp")


def test_a_difference_ends_the_ramp(turnout: Turnout, pair: Pair) -> None:
    """What is equal, late or being written leaves it on; what the shadow has proven takes all reads back, with the shape and the reason."""
    on(turnout)
    sessions = [turnout.connect() for _ in range(6)]
    number = 0

    def read(sql: str) -> None:
        nonlocal number
        number += 1
        sessions[0].execute("UPDATE sh_rows SET weight = %s WHERE id = 17", [number])
        for session in sessions:
            session.execute(sql)

    def ramp() -> dict[str, Any]:
        return dict(turnout.rest("/v1/deployments/app/ramp")[1])

    try:
        # Until no more of it is looked for, and none is on trial any more: to the ramp none of that is news.
        wait_for(turnout, lambda r: shape_of(r, "sh_rate(id)").get("unproven", 0) > 0 and shape_of(r, "sh_rate(id)")["different"] >= 10,
                 lambda: read("SELECT sh_rate(id) AS rate FROM sh_rows WHERE id = 5"))
        proven, since = 0, time.monotonic()
        while time.monotonic() - since < 3:
            if (now := shape_of(report(turnout), "sh_rate(id)")["different"]) != proven:
                proven, since = now, time.monotonic()
            time.sleep(0.1)
        turnout.ask("shift", "app", "40")
        seen = report(turnout)["runs"]  # however they come out: a busy machine reads the row there when it has been written again
        wait_for(turnout, lambda r: r["runs"] > seen + 200, lambda: read("SELECT weight, word FROM sh_rows WHERE id = 17"))
        wait_for(turnout, lambda r: ramp()["green"]["reads"] > 20 or ramp()["samples"] > 20,
                 lambda: read("SELECT weight, word FROM sh_rows WHERE id = 17"))
        assert ramp()["percent"] == 40, ramp()
        wait_for(turnout, lambda r: ramp()["phase"] == "stepped_back",
                 lambda: read("SELECT sh_rate(id) AS rate FROM sh_rows WHERE id = 5"))
    finally:
        for session in sessions:
            session.close()
        left = ramp()["percent"]
        turnout.ask("shift", "app", "0")
    back = ramp()["last_step_back"]
    assert left == 0 and (back["kind"], back["percent"]) == ("shadow_difference", 40), back
    assert "sh_rate(id)" in back["shape"] and "in rate" in back["why"], back
    assert "in rate" in turnout.status()["ramp_step_back"]
    audit = json.dumps(turnout.ask("audit"))
    assert "step back" in audit and "shadow_difference" in audit
    assert "in rate" in turnout.cli("ramp", "show", "app").stdout


def test_lag_is_no_difference(turnout: Turnout, pair: Pair) -> None:
    """Green stands still: nothing is compared, nothing waits, and afterwards nothing was different."""
    on(turnout)
    pair.green.sql("ALTER SUBSCRIPTION turnout_fwd DISABLE", user="turnout")
    try:
        with turnout.connect() as connection:
            def read() -> None:
                began = time.monotonic()
                connection.execute("UPDATE sh_rows SET weight = weight + 1 WHERE id = 42")
                connection.execute("SELECT weight FROM sh_rows WHERE id = 42 AND grp = 2")
                assert time.monotonic() - began < 5
            wait_for(turnout, lambda r: r["dropped"]["behind"] > 0, read)
            pair.green.sql("ALTER SUBSCRIPTION turnout_fwd ENABLE", user="turnout")
            found = wait_for(turnout, lambda r: shape_of(r, "select weight").get("same", 0) > 5, read)
        assert found["different"] == 0 and found["failed"] == 0, found
    finally:
        pair.green.sql("ALTER SUBSCRIPTION turnout_fwd ENABLE", user="turnout")


def test_what_is_never_the_same_is_not_compared_and_what_is_explained_is_told(turnout: Turnout, pair: Pair) -> None:
    on(turnout)
    # The same rows, met in another order: what a sequential scan gives, and what an aggregate gathers.
    pair.green.sql("SET session_replication_role = replica; UPDATE sh_rows SET id = id WHERE id < 100")
    with turnout.connect() as connection:
        def read() -> None:
            connection.execute("SELECT random() AS chance, id FROM sh_rows WHERE id = 1")
            connection.execute("SELECT now() AS moment, id FROM sh_rows WHERE id = 1")
            connection.execute("SELECT id FROM sh_rows WHERE grp = 3")
            connection.execute("SELECT array_agg(id) AS ids FROM sh_rows WHERE grp = 4")
        found = wait_for(turnout, lambda r: shape_of(r, "random()").get("not_compared", 0) > 0
                         and shape_of(r, "now()").get("not_compared", 0) > 0
                         and shape_of(r, "select id from sh_rows where grp").get("same", 0) > 0
                         and shape_of(r, "array_agg").get("explained", 0) > 0, read)
    assert shape_of(found, "random()")["why_not_compared"] == "random()"
    assert "aggregate" in shape_of(found, "array_agg")["explanation"]
    assert found["different"] == 0, found


def test_settings_of_the_session_travel(turnout: Turnout) -> None:
    on(turnout)
    with turnout.connect() as connection:
        connection.execute("SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SET extra_float_digits = 0")
        connection.execute("SET search_path = pg_catalog, public")
        found = wait_for(turnout, lambda r: shape_of(r, "timestamptz").get("same", 0) > 10,
                         lambda: connection.execute("SELECT id, timestamptz '2001-02-03 04:05:06+00', weight FROM sh_rows WHERE id = 5"))
    assert found["different"] == 0, found


def test_a_shape_that_got_slower_comes_with_both_plans(turnout: Turnout) -> None:
    on(turnout)
    with turnout.connect() as connection:
        numbers = iter(range(10**9))
        found = wait_for(turnout, lambda r: "plans" in shape_of(r, "from sh_wide where owner"),
                         lambda: connection.execute("SELECT id FROM sh_wide WHERE owner = %s", [next(numbers) % 4000]), timeout_s=90)
    shape = shape_of(found, "from sh_wide where owner")
    assert shape["slower"] and shape["p95_ratio"] > 1.25, shape
    assert "sh_wide_owner" in shape["plans"]["blue"], shape["plans"]
    assert "Seq Scan on sh_wide" in shape["plans"]["green"], shape["plans"]
    assert found["outcome"] == "slower"


def test_no_client_waits_for_green(turnout: Turnout, pair: Pair) -> None:
    """Green answers nobody any more: clients do not notice, and what waits for it is dropped."""
    on(turnout)
    with turnout.connect() as connection:
        wait_for(turnout, lambda r: shape_of(r, "sh_rows where id").get("same", 0) > 0,
                 lambda: connection.execute("SELECT 1 FROM sh_rows WHERE id = 9"))
        pair.green.freeze()
        try:
            slowest = 0.0
            for _ in range(600):
                began = time.monotonic()
                connection.execute("SELECT 1 FROM sh_rows WHERE id = 9")
                slowest = max(slowest, time.monotonic() - began)
            assert slowest < 2, f"{slowest:.1f} s"
            wait_for(turnout, lambda r: sum(r["dropped"].values()) > 0)
        finally:
            pair.green.wake()


def test_what_runs_on_green_ends_with_the_shadow(turnout: Turnout, pair: Pair) -> None:
    """A read that takes an age there is cancelled when the shadow goes: nothing of it is left for a cutover to meet."""
    pair.green.sql("CREATE OR REPLACE FUNCTION sh_slow(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(25)'")
    pair.blue.sql("CREATE OR REPLACE FUNCTION sh_slow(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'")
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT sh_slow%' AND state = 'active'"
    for order, undo in (("off", ""), ("pause", "resume")):
        on(turnout)
        with turnout.connect() as connection:
            deadline = time.monotonic() + 40
            while not pair.green.value(running):
                connection.execute("SELECT sh_slow(id) FROM sh_rows WHERE id = 13")
                assert time.monotonic() < deadline, f"{report(turnout)}\n{turnout.log_tail()}"
                time.sleep(0.05)
        began = time.monotonic()
        if undo:
            turnout.ask(order, "app")
        else:
            turnout.ask("shadow", "app", order)
        while pair.green.value(running):
            assert time.monotonic() - began < 15, "it still runs there"
            time.sleep(0.05)
        if undo:
            turnout.ask(undo, "app")


def test_clients_come_first_where_connections_are_few(other_turnout: Callable[..., Turnout], pair: Pair) -> None:
    """The shadow's connections count within the limits that pools share, and are the first to give way."""
    turnout = other_turnout({"pool": {"size": 4, "wait_timeout": "20s"}, "limits": {"server_connections": 4},
                             "shadow": {"brackets": 2, "connections": 4}})
    on(turnout)
    counted = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'"  # nobody else uses it here
    with turnout.connect("reader") as connection, pair.green.connect() as green, pair.blue.connect() as blue:
        def read() -> None:
            connection.execute("SELECT word FROM sh_rows WHERE id = 11")
            connection.execute("SELECT sh_rate(id) AS rate FROM sh_rows WHERE id = 2")  # differs: the writer is asked as well
            for side in (green, blue):
                count = side.execute(counted).fetchone()
                assert count is not None and count[0] <= 4
        wait_for(turnout, lambda r: r["different"] > 0 and r["same"] >= 20, read)
    script = turnout.home / "word.sql"
    script.write_text("SELECT word FROM sh_rows WHERE id = 12;\n")
    load = [Pgbench(turnout.port, turnout.home, user=user, script=str(script), clients=4, seconds=3)
            for user in ("app", "reader")]
    for pgbench in load:
        result = pgbench.wait()
        assert result.clean(), result.output


def test_goes_on_after_a_restart_and_says_no(turnout: Turnout) -> None:
    on(turnout, 25)
    turnout.kill9()
    turnout.start()
    deadline = time.monotonic() + 20
    while turnout.status().get("shadow_percent") != 25:
        assert time.monotonic() < deadline, turnout.log_tail()
        time.sleep(0.1)
    assert turnout.cli("shadow", "app", "on").code == USAGE
    assert turnout.cli("shadow", "app", "on", "101").code == USAGE
    turnout.ask("shadow", "app", "off")
    assert turnout.status()["shadow_percent"] == 0


def test_green_is_warm(turnout: Turnout) -> None:
    def check() -> dict[str, Any]:
        found = turnout.cli("preflight", "app", "-o", "json").json
        return next(dict(one) for one in found["checks"] if one["name"] == "green.warm")

    turnout.restart()
    assert check()["verdict"] == "WARN"
    on(turnout)
    load = Pgbench(turnout.port, turnout.home, mode="prepared", script="select-only", clients=4, rate=300, seconds=600)
    deadline = time.monotonic() + 60
    while report(turnout)["runs"] < 1500:
        assert time.monotonic() < deadline, report(turnout)
        time.sleep(0.2)
    assert load.stop().clean()
    assert check()["verdict"] == "PASS", check()


def test_stands_still_while_a_pause_is_on(turnout: Turnout) -> None:
    turnout.ask("pause", "app")
    try:
        assert report(turnout)["percent"] == 0
        on(turnout)
        assert report(turnout)["standing_still"]
    finally:
        turnout.ask("resume", "app")
    assert not report(turnout)["standing_still"]
    assert turnout.cli("shadow", "app", "on", "0").code == USAGE
