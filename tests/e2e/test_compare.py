"""`turnout compare`: rows of both sides, under live writes; what was planted is named, and nothing else is."""
from __future__ import annotations

import threading
from typing import Any, Iterator

import pytest

from harness.compared import assert_goes_on_after_a_kill, compare, report, rows_of, stage_of, stop, wait_for
from harness.load import Pgbench
from harness.pair import Pair
from harness.turnout import ABORTED, CONFLICT, DONE, REFUSED, Turnout, UNKNOWN
from harness.waiting import eventually

CHANGES: dict[str, Any] = {"compare": {"rows_per_second": 0, "lag_size": "512kB"}}

SCHEMA = """
CREATE TABLE cmp_people ({people},
                         born_year int GENERATED ALWAYS AS (extract(year FROM born AT TIME ZONE 'UTC')) STORED,
                         PRIMARY KEY (region, id));
CREATE TABLE cmp_words (word text {collation} PRIMARY KEY, n int);
CREATE TABLE cmp_parts (id bigint, at date, body text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE cmp_parts_1 PARTITION OF cmp_parts FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE cmp_parts_2 PARTITION OF cmp_parts FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
CREATE TABLE cmp_bag (a int, b text);
ALTER TABLE cmp_bag REPLICA IDENTITY FULL;
CREATE TABLE cmp_wide (id bigint PRIMARY KEY, payload text, n int);
CREATE TABLE cmp_some (id int PRIMARY KEY, a text, secret text);
CREATE TABLE "cmp ""odd"";--" ("i'd" text, "a""b" mood, PRIMARY KEY ("i'd", "a""b"));
CREATE TABLE cmp_root (id int PRIMARY KEY, body text) {partitioned};
CREATE TABLE cmp_unpublished (id int PRIMARY KEY);
"""
# The sides order the words differently, and have the columns of the people in another order: neither is a difference.
BLUE = {"people": "region text, id int, name text, born timestamptz, weight float8, raw bytea", "collation": 'COLLATE "de-x-icu"',
        "partitioned": "PARTITION BY HASH (id); CREATE TABLE cmp_root_1 PARTITION OF cmp_root FOR VALUES WITH (MODULUS 2, REMAINDER 0); "
                       "CREATE TABLE cmp_root_2 PARTITION OF cmp_root FOR VALUES WITH (MODULUS 2, REMAINDER 1)"}
GREEN = {"people": "raw bytea, weight float8, id int, region text, name text, born timestamptz", "collation": "",
         "partitioned": ""}
ROWS = """
INSERT INTO cmp_people SELECT 'r' || n % 3, n, CASE WHEN n % 5 = 0 THEN '' WHEN n % 7 = 0 THEN NULL ELSE 'name ' || n END,
    timestamptz '2001-01-01' + n * interval '1 hour 1 microsecond', n / 3.0::float8, decode(md5(n::text), 'hex')
    FROM generate_series(1, 3000) n;
INSERT INTO cmp_words SELECT CASE n % 3 WHEN 0 THEN 'Äpfel ' WHEN 1 THEN 'apfel-' ELSE 'Zebra''' END || n, n FROM generate_series(1, 2500) n;
INSERT INTO cmp_parts SELECT n, date '2020-01-01' + n % 700, 'body ' || n FROM generate_series(1, 2000) n;
INSERT INTO cmp_some SELECT n, 'a' || n, 'secret' FROM generate_series(1, 100) n;
INSERT INTO "cmp ""odd"";--" SELECT 'it''s \\ ' || n, 'ok' FROM generate_series(1, 20) n;
INSERT INTO cmp_root SELECT n, 'body ' || n FROM generate_series(1, 7000) n;
INSERT INTO cmp_bag SELECT n % 10, 'x' FROM generate_series(1, 900) n;
INSERT INTO cmp_wide SELECT n, repeat('p', 20) || n, 0 FROM generate_series(1, 60000) n;
"""
ODD = '"cmp ""odd"";--"'
NAMES = (ODD, "cmp_some", "cmp_people", "cmp_words", "cmp_parts", "cmp_bag", "cmp_wide", "cmp_root")


@pytest.fixture(scope="module", autouse=True)
def tables(pair: Pair, turnout: Turnout) -> None:
    pair.blue.sql(SCHEMA.format(**BLUE))
    pair.blue.sql(ROWS)
    pair.green.sql(SCHEMA.format(**GREEN))
    for side in pair.sides.values():
        for name in NAMES:
            side.sql(f"ALTER TABLE {name} OWNER TO app_owner")
            side.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO app")
    some = "cmp_some (id, a) WHERE (id > 10)"  # neither the other rows nor the other column are on green
    pair.blue.sql("ALTER PUBLICATION turnout_fwd ADD TABLE " + ", ".join(some if name == "cmp_some" else name for name in NAMES[:-1]))
    # Partitioned on blue alone: a publication of its own sends its rows under the root's name.
    pair.blue.sql("CREATE PUBLICATION roots FOR TABLE cmp_root WITH (publish_via_partition_root = true)")
    pair.green.sql("ALTER SUBSCRIPTION turnout_fwd ADD PUBLICATION roots", user="turnout")
    pair.green.wait_for("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel", timeout_s=60)
    pair.blue.sql("ANALYZE")
    turnout.ask("prepare", "app")


@pytest.fixture(autouse=True)
def one_at_a_time(turnout: Turnout) -> Iterator[None]:
    yield
    stop(turnout)


def on_green(pair: Pair, sql: str) -> None:
    """By hand, past replication, as somebody would who should not."""
    pair.green.sql(sql)


def test_equal_sides_are_equal_while_everybody_writes(turnout: Turnout, pair: Pair) -> None:
    bench = Pgbench(turnout.port, turnout.home, clients=4, rate=150, seconds=600)
    enough = threading.Event()

    def churn() -> None:
        """Keys that move, come back, are deleted and inserted again; NULL becomes '' and the other way."""
        with turnout.connect() as connection:
            number = 0
            while not enough.is_set():
                number += 1
                key = number % 50 + 1
                connection.execute("UPDATE cmp_people SET name = CASE WHEN name IS NULL THEN '' END, weight = random() "
                                   "WHERE region = %s AND id = %s", [f"r{key % 3}", key])
                connection.execute("DELETE FROM cmp_words WHERE word = %s", [f"apfel-{key * 3 + 1}"])
                connection.execute("INSERT INTO cmp_words VALUES (%s, %s) ON CONFLICT (word) DO UPDATE SET n = excluded.n",
                                   [f"apfel-{key * 3 + 1}", number])
                connection.execute("UPDATE cmp_wide SET id = CASE WHEN id > 100000 THEN id - 100000 ELSE id + 100000 END "
                                   "WHERE id IN (%s, %s)", [key, key + 100000])

    writer = threading.Thread(target=churn, daemon=True)
    writer.start()
    try:
        outcome = turnout.cli("compare", "app", "--anew", "-o", "json", timeout_s=120)
    finally:
        enough.set()
        writer.join(20)
        result = bench.stop()
    assert result.clean(), result.errors[:3]
    assert outcome.code in (DONE, UNKNOWN), outcome
    quiet = outcome.json
    assert quiet["differences"] == 0, quiet["differing"][:5]
    assert quiet["failed"] == 0, [one for one in quiet["tables"] if one["stage"] == "failed"]
    # Rows that really never hold still may be left over; they are said, and they are few.
    assert quiet["unsettled"] <= 5, quiet["unsettled_rows"]
    assert stage_of(quiet, "public.cmp_people")["mode"] == "ranges"
    assert stage_of(quiet, "public.cmp_words")["mode"] == "keys"
    assert stage_of(quiet, "public.cmp_bag")["mode"] == "whole"
    assert stage_of(quiet, "public.cmp_wide")["pieces"] >= 12, "60 000 rows in pieces of 5 000"
    assert "app.public.cmp_unpublished" in quiet["not_published"]
    assert not [name for name in quiet["not_published"] if "cmp_root" in name or "cmp_parts" in name], quiet["not_published"]
    assert stage_of(quiet, "public.cmp_root")["rows"] == 7000

    pair.caught_up()
    still = compare(turnout)
    assert still["outcome"] == "equal" and still["unsettled"] == 0, still
    assert turnout.status()["comparison"]["outcome"] == "equal"
    some = stage_of(still, "public.cmp_some")
    assert some["rows"] == 90 and "not published, not compared: secret" in some["notes"]
    assert stage_of(still, 'public.cmp "odd";--')["rows"] == 20


def test_what_was_planted_is_named_and_nothing_else(turnout: Turnout, pair: Pair) -> None:
    on_green(pair, "UPDATE cmp_people SET name = NULL WHERE region = 'r1' AND id = 100")       # was ''
    on_green(pair, "UPDATE cmp_people SET weight = weight + 1e-12 WHERE region = 'r2' AND id = 101")
    on_green(pair, "UPDATE cmp_people SET born = born + interval '1 microsecond' WHERE region = 'r0' AND id = 102")
    on_green(pair, "DELETE FROM cmp_people WHERE region = 'r1' AND id = 103")
    on_green(pair, "INSERT INTO cmp_people (region, id) VALUES ('r9', 99999)")
    on_green(pair, "UPDATE cmp_words SET n = -1 WHERE word = 'Äpfel 9'")
    on_green(pair, "DELETE FROM cmp_words WHERE word = 'Zebra''11'")
    on_green(pair, "INSERT INTO cmp_words VALUES ('surplus', 0)")
    on_green(pair, "UPDATE cmp_parts SET body = 'other' WHERE id = 5")
    on_green(pair, "DELETE FROM cmp_parts WHERE id = 400")
    on_green(pair, "UPDATE cmp_bag SET b = 'y' WHERE ctid = (SELECT min(ctid) FROM cmp_bag)")
    # An UPDATE that replication skips without a word, because the row was not there.
    on_green(pair, "DELETE FROM cmp_wide WHERE id = 31000")
    pair.blue.sql("UPDATE cmp_wide SET n = 7 WHERE id = 31000")
    on_green(pair, f"DELETE FROM {ODD} WHERE \"i'd\" = 'it''s \\ 7'")
    on_green(pair, "UPDATE cmp_root SET body = 'x' WHERE id = 6000")
    on_green(pair, "UPDATE cmp_some SET a = 'b' WHERE id = 50")
    on_green(pair, "INSERT INTO cmp_wide SELECT n, 'far beyond', 0 FROM generate_series(900001, 900012) n")
    pair.caught_up()
    found = compare(turnout, expect=REFUSED)
    assert found["outcome"] == "different"
    assert rows_of(found, "public.cmp_people") == {
        "differs": {("r1", "100"), ("r2", "101"), ("r0", "102")}, "only_on_blue": {("r1", "103")},
        "only_on_green": {("r9", "99999")}}
    columns = {tuple(row["key"].values()): row["columns"] for row in found["differing"]
               if row["table"] == "public.cmp_people" and row["kind"] == "differs"}
    assert columns == {("r1", "100"): ["name"], ("r2", "101"): ["weight"], ("r0", "102"): ["born"]}
    assert rows_of(found, "public.cmp_words") == {"differs": {("Äpfel 9",)}, "only_on_blue": {("Zebra'11",)},
                                                  "only_on_green": {("surplus",)}}
    parts = {kind: keys for table in ("public.cmp_parts", "public.cmp_parts_1", "public.cmp_parts_2")
             for kind, keys in rows_of(found, table).items()}
    assert {key[0] for keys in parts.values() for key in keys} == {"5", "400"}, found["differing"]
    bag = [row for row in found["differing"] if row["table"] == "public.cmp_bag"]
    assert len(bag) == 1 and bag[0]["text"] == "blue has 900 rows, green has 900 rows with another content"
    assert rows_of(found, "public.cmp_wide") == {"only_on_blue": {("31000",)},
                                                 "only_on_green": {(str(n),) for n in range(900001, 900013)}}
    assert rows_of(found, 'public.cmp "odd";--') == {"only_on_blue": {("it's \\ 7", "ok")}}
    assert rows_of(found, "public.cmp_some") == {"differs": {("50",)}}
    assert rows_of(found, "public.cmp_root") == {"differs": {("6000",)}}
    assert found["differences"] == 5 + 3 + 2 + 1 + 13 + 1 + 1 + 1 and found["unsettled"] == 0
    text = turnout.cli("compare", "app", "--show")
    assert text.code == REFUSED and "region=r1 id=100  in name" in text.stdout and "different" in text.stdout, text
    assert max(map(len, text.stdout.splitlines())) <= 120
    assert turnout.status()["comparison"]["differences"] == found["differences"]

    for sql in ("UPDATE cmp_people SET name = '' WHERE region = 'r1' AND id = 100", "DELETE FROM cmp_people WHERE region = 'r9'",
                "DELETE FROM cmp_wide WHERE id > 900000", "DELETE FROM cmp_words WHERE word = 'surplus'"):
        on_green(pair, sql)
    again = compare(turnout, "--table", "public.cmp_words", "--table", "cmp_people", expect=REFUSED)
    assert {one["table"] for one in again["tables"]} == {"public.cmp_words", "public.cmp_people"}
    assert ("r1", "100") not in rows_of(again, "public.cmp_people")["differs"]


def test_a_table_altered_by_hand_is_named(turnout: Turnout, pair: Pair) -> None:
    on_green(pair, "ALTER TABLE notes ALTER COLUMN body TYPE varchar(6) USING left(body, 6)")
    found = compare(turnout, "--table", "public.notes", expect=REFUSED)
    differing = [row for row in found["differing"] if row["table"] == "public.notes"]
    assert differing and all(row["columns"] == ["body"] for row in differing), differing
    assert any("column body is text on blue and character varying(6) on green" in note
               for note in stage_of(found, "public.notes")["notes"])
    on_green(pair, "ALTER TABLE notes DROP COLUMN body")
    found = compare(turnout, "--table", "public.notes", expect=REFUSED)
    assert [row["text"] for row in found["differing"]] == ["column body is only on blue"]
    pair.blue.sql("CREATE TABLE cmp_late (id int PRIMARY KEY)")
    pair.blue.sql("ALTER PUBLICATION turnout_fwd ADD TABLE cmp_late")
    try:
        found = compare(turnout, "--table", "cmp_late", expect=REFUSED)
        assert any("does not carry it" in row["text"] for row in found["differing"]), found["differing"]
    finally:
        pair.blue.sql("DROP TABLE cmp_late")
    assert turnout.cli("compare", "app", "--table", "public.cmp_unpublished").code == REFUSED


def test_lag_is_waited_for_and_a_lock_is_no_difference(turnout: Turnout, pair: Pair) -> None:
    with pair.green.connect(database="app", options="-c default_transaction_read_only=off") as lock:
        with lock.transaction():
            lock.execute("LOCK TABLE hammer, cmp_bag")  # apply stands still at its next row for the hammer
            pair.blue.sql("INSERT INTO hammer (side, how) VALUES ('blue', 'compare')")
            pair.blue.sql("UPDATE cmp_wide SET n = n + 1 WHERE id BETWEEN 40000 AND 50000")
            eventually(lambda: turnout.status().get("lag_bytes", 0) > 600_000, "green is behind")
            assert turnout.cli("compare", "app", "--anew", "--detach", "--table", "cmp_wide").code == DONE
            waiting = wait_for(turnout, lambda r: "bytes behind" in r["waiting_for"])
            assert waiting["phase"] == "running" and waiting["waiting_for"].startswith("green is ")
        found = wait_for(turnout, lambda r: r["phase"] == "finished")
        assert {key for keys in rows_of(found, "public.cmp_wide").values() for key in keys} <= {("31000",)}, found["differing"][:5]
        pair.caught_up()
        with lock.transaction():
            lock.execute("LOCK TABLE hammer")
            pair.blue.sql("INSERT INTO hammer (side, how) VALUES ('blue', 'again'); UPDATE counter SET value = value + 1 WHERE session < 9")
            assert turnout.cli("compare", "app", "--anew", "--detach", "--table", "counter").code == DONE
            wait_for(turnout, lambda r: "tells lag from loss" in r["waiting_for"])
        assert wait_for(turnout, lambda r: r["phase"] == "finished")["outcome"] == "equal"
        with lock.transaction():
            lock.execute("LOCK TABLE cmp_bag")
            found = compare(turnout, "--table", "cmp_bag", expect=UNKNOWN)
    assert found["outcome"] == "unsettled" and "lock timeout" in stage_of(found, "public.cmp_bag")["error"]


def test_goes_on_after_a_kill(turnout: Turnout, pair: Pair) -> None:
    on_green(pair, "DELETE FROM cmp_wide WHERE id IN (300, 59000)")
    assert_goes_on_after_a_kill(turnout, "public.cmp_wide", pieces_max=14)

    turnout.kill9()
    file = turnout.state_dir / "compare-app.json"
    file.write_bytes(file.read_bytes()[:-40])
    turnout.start()
    torn = report(turnout)
    assert torn["phase"] == "none" and "cannot be read" in torn["reason"], torn
    assert compare(turnout, "--table", "counter")["outcome"] == "equal"


def test_stops_when_told_and_gives_way_to_a_cutover(turnout: Turnout, pair: Pair) -> None:
    slow = ("compare", "app", "--anew", "--detach", "--table", "public.cmp_wide", "--rows-per-second", "5000")
    assert turnout.cli(*slow).code == DONE
    wait_for(turnout, lambda r: r["rows"] > 0)
    assert turnout.status()["comparison"]["phase"] == "running"
    turnout.ask("abort", "app")
    assert wait_for(turnout, lambda r: r["phase"] == "stopped")
    assert turnout.cli("compare", "app", "--show").code == ABORTED
    assert turnout.cli("compare", "app", "--stop").code == CONFLICT

    assert turnout.cli(*slow).code == DONE
    wait_for(turnout, lambda r: r["rows"] > 0)
    attempt = turnout.cli("cutover", "app", "--rehearse", "-o", "json", "--yes", timeout_s=90)
    # Whatever became of that attempt, the comparison has given way and goes on by itself.
    before = wait_for(turnout, lambda r: r["phase"] == "running")["rows"]
    wait_for(turnout, lambda r: r["rows"] > before)
    assert attempt.json["comparison"]["phase"] == "paused", attempt.json
