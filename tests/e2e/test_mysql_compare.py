"""`turnout compare` of a MariaDB pair and of a MySQL one, under live writes; what was planted is named, and nothing else is."""
from __future__ import annotations

import itertools
import random
import threading
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Iterator

import pymysql
import pytest

from harness.compared import assert_goes_on_after_a_kill, compare, rows_of, stage_of, stop, wait_for
from harness.mariadb_pair import MariaPair, make_pair_turnout
from harness.mysql_ledger import MysqlLedger
from harness.mysql_products import PRODUCTS, pair_of
from harness.mysql_turnout import connect
from harness.turnout import ABORTED, CONFLICT, DONE, REFUSED, Turnout, UNKNOWN
from harness.waiting import eventually

CHANGES: dict[str, Any] = {"compare": {"rows_per_second": 0, "piece_rows": 1000}}
ODD = "`o``dd; -- '\"`"
MAX = 2**64 - 1
TABLES = ["""
CREATE TABLE people (region VARCHAR(5), id INT, name TEXT, born DATETIME(6), seen TIMESTAMP(3) NULL, weight DOUBLE, ratio FLOAT,
  raw VARBINARY(16), flags BIT(9), kind ENUM('ok', 'sad'), doc JSON, place POINT, price DECIMAL(20, 6), tags SET('a', 'b', 'c'),
  latin VARCHAR(20) CHARACTER SET latin1, day DATE, blank TIME, image LONGBLOB, born_year INT AS (YEAR(born)) STORED, PRIMARY KEY (region, id))""",
          "CREATE TABLE words (word VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, n INT)",
          "CREATE TABLE terms (term VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, n INT)",
          "CREATE TABLE digests (k VARBINARY(20) PRIMARY KEY, n INT)",
          "CREATE TABLE moments (at TIMESTAMP(6) NOT NULL, e ENUM('b', 'a') NOT NULL, b BIT(4) NOT NULL, n INT, PRIMARY KEY (at, e, b))",
          "CREATE TABLE reals (k DOUBLE PRIMARY KEY, w DOUBLE, n INT, whole INT)",
          "CREATE TABLE bag (a INT, b TEXT)",
          "CREATE TABLE maybe (u INT UNIQUE, b VARCHAR(20))",
          "CREATE TABLE wide (id BIGINT UNSIGNED PRIMARY KEY, payload VARCHAR(40), n INT)",
          "CREATE TABLE huge (id BIGINT UNSIGNED PRIMARY KEY, n INT)",
          "CREATE TABLE parted (id INT, at DATE, body TEXT, PRIMARY KEY (id, at)) PARTITION BY RANGE (id) "
          "(PARTITION p0 VALUES LESS THAN (500), PARTITION p1 VALUES LESS THAN MAXVALUE)",
          f"CREATE TABLE {ODD} (`i'd` VARCHAR(30), `a``b` ENUM('ok', 'sad'), PRIMARY KEY (`i'd`, `a``b`))",
          "CREATE TABLE flips (id INT PRIMARY KEY, n INT)",
          "CREATE TABLE empty_one (id INT PRIMARY KEY)",
          "CREATE TABLE other.stock (id INT PRIMARY KEY, n INT)"]
ROWS = [
    ("people (region, id, name, born, seen, weight, ratio, raw, flags, kind, doc, place, price, tags, latin, day, blank, image)",
     "CONCAT('r', seq % 3), seq, CASE WHEN seq % 5 = 0 THEN '' WHEN seq % 7 = 0 THEN NULL ELSE CONCAT('name ', seq) END, "
     "TIMESTAMP('2001-01-01 00:00:00.000001') + INTERVAL seq HOUR, '2024-03-31 02:30:00' + INTERVAL seq MINUTE, seq / 3e0, seq / 7e0, "
     "UNHEX(LEFT(SHA2(seq, 256), 32)), seq % 512, IF(seq % 2 = 0, 'ok', 'sad'), CONCAT('{\"b\": ', seq, ', \"a\": [1, 2.50]}'), "
     "ST_GeomFromText(CONCAT('POINT(', seq, ' 1)')), seq / 7, seq % 8, 'Käse', '2020-02-29', '-12:00:00', REPEAT(CHAR(seq % 256), 3000)", 3000),
    ("words", "CONCAT(ELT(seq % 3 + 1, 'Äpfel ', 'apfel-', 'Zebra'''), seq), seq", 2500),
    ("terms", "CONCAT(ELT(seq % 3 + 1, 'Äpfel ', 'apfel-', 'Zebra'''), seq), seq", 2500),
    ("moments", "'2024-03-31 00:00:00.5' + INTERVAL seq MINUTE, seq % 2 + 1, seq % 16, seq", 2000),
    ("reals", "-seq / 3e-150, -seq / 7e30, seq, seq", 2000),
    ("bag", "seq % 10, 'x'", 900),
    ("maybe", "IF(seq % 3 = 0, NULL, seq), 'x'", 300),
    ("wide", "seq, CONCAT('pppppppppppppppp', seq), 0", 60000),
    ("huge", f"{MAX} - seq, seq", 2500),
    ("parted", "seq, '2020-01-01' + INTERVAL seq DAY, CONCAT('body ', seq)", 1500),
    (ODD, "CONCAT('it''s \\\\ ', seq), 'ok'", 20),
    ("flips", "seq, 0", 40),
    ("other.stock", "seq, seq", 100),
]


@dataclass
class Compared:
    pair: MariaPair
    turnout: Turnout
    product: str

    def on_blue(self, *statements: str) -> None:
        with self.pair.blue.connect("turnout") as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def by_hand(self, *statements: str, side: str = "green") -> None:
        """Past replication and every fence, as somebody would who should not."""
        fence = "read_only" if self.product == "mariadb" else "super_read_only"

        def try_it() -> bool:
            with self.pair.sides[side].connect("turnout") as connection, connection.cursor() as cursor:
                cursor.execute("SET sql_log_bin = 0")
                try:
                    cursor.execute(f"SET GLOBAL {fence} = 0")
                    while left:
                        cursor.execute(left[0])
                        left.pop(0)
                except pymysql.MySQLError as error:
                    if error.args[0] != 1290:  # Turnout has closed it again meanwhile
                        raise
            return not left

        left = list(statements)
        eventually(try_it, "it is done by hand")


@pytest.fixture(scope="module", params=PRODUCTS)
def compared(request: pytest.FixtureRequest) -> Iterator[Compared]:
    with pair_of(request.param) as pair:
        made = Compared(pair, make_pair_turnout(pair, changes=CHANGES), request.param)
        made.on_blue("SET sql_mode = ''", "SET time_zone = '+00:00'", *TABLES,
                     *(f"INSERT INTO {into} SELECT {what} FROM {pair.blue.numbers(count)}" for into, what, count in ROWS),
                     *(f"INSERT INTO digests VALUES (UNHEX(RPAD('', {2 * n}, '0')), {n}), (UNHEX(LEFT(SHA2({n}, 256), 40)), {n})" for n in range(20)),
                     "UPDATE people SET day = '0000-00-00' WHERE id = 7")
        pair.caught_up()
        # The sides order these differently: no difference, and no reason not to find one.
        made.by_hand("ALTER TABLE terms MODIFY term VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        made.by_hand("ALTER TABLE reals MODIFY whole DOUBLE")
        made.turnout.ask("prepare", "app")
        yield made


@pytest.fixture(autouse=True)
def one_at_a_time(compared: Compared) -> Iterator[None]:
    yield
    stop(compared.turnout)


def rounds(compared: Compared, enough: threading.Event) -> Iterator[None]:
    """As fast as green follows: one that falls further and further behind takes each marker longer, and no comparison ends."""
    for number in itertools.count():
        if number % 50 == 0:
            compared.pair.caught_up()
        if enough.is_set():
            return
        yield


def churn(compared: Compared, enough: threading.Event, errors: list[BaseException]) -> None:
    """Keys that move, come back, are deleted and inserted again; NULL becomes '' and the other way."""
    chance = random.Random(1)
    try:
        with connect(compared.turnout) as connection, connection.cursor() as cursor:
            for _ in rounds(compared, enough):
                key = chance.randrange(1, 51)
                cursor.execute("UPDATE people SET name = IF(name IS NULL, '', NULL), weight = RAND() WHERE region = %s AND id = %s",
                               [f"r{key % 3}", key])
                cursor.execute("DELETE FROM words WHERE word = %s", [f"apfel-{key * 3 + 1}"])
                cursor.execute("INSERT INTO words VALUES (%s, %s)", [f"APFEL-{key * 3 + 1}", key])
                cursor.execute("UPDATE wide SET id = IF(id > 100000, id - 100000, id + 100000) WHERE id IN (%s, %s) LIMIT 1", [key, key + 100000])
                cursor.execute("UPDATE terms SET n = n + 1 WHERE term = %s", [f"apfel-{key * 3 + 1}"])
    except BaseException as error:  # for the thread that waits
        errors.append(error)


def flip(compared: Compared, enough: threading.Event, errors: list[BaseException]) -> None:
    """Between two contents, and nothing else: a row that looks as if nobody had touched it."""
    try:
        with connect(compared.turnout) as connection, connection.cursor() as cursor:
            for _ in rounds(compared, enough):
                cursor.execute("UPDATE flips SET n = 1 - n WHERE id % 2 = 0")
                cursor.execute("DELETE FROM flips WHERE id = 7")
                cursor.execute("INSERT INTO flips VALUES (7, 0)")
    except BaseException as error:
        errors.append(error)


def test_equal_sides_are_equal_while_everybody_writes(compared: Compared) -> None:
    turnout, enough, errors = compared.turnout, threading.Event(), list[BaseException]()
    writers = [threading.Thread(target=one, args=(compared, enough, errors), daemon=True) for one in (churn, flip)]
    with MysqlLedger(lambda: connect(turnout), pace_s=0.02) as ledger:
        for writer in writers:
            writer.start()
        try:
            outcomes = [turnout.cli("compare", "app", "--anew", "-o", "json", timeout_s=120) for _ in range(3)]
        finally:
            enough.set()
            for writer in writers:
                writer.join(20)
        ledger.assert_quiet()
    assert not errors, errors
    for outcome in outcomes:
        assert outcome.code in (DONE, UNKNOWN), outcome
        found = outcome.json
        assert found["differences"] == 0, found["differing"][:5]
        assert found["failed"] == 0, [one for one in found["tables"] if one["stage"] == "failed"]
        # Rows that really never hold still may be left over; they are said, and they are few.
        assert found["unsettled"] <= 30, found["unsettled_rows"]
    for table, mode in (("people", "ranges"), ("words", "ranges"), ("terms", "keys"), ("bag", "whole"), ("maybe", "whole"), ("moments", "ranges")):
        assert stage_of(found, f"shop.{table}")["mode"] == mode, table
    assert stage_of(found, "shop.wide")["pieces"] >= 60, "60 000 rows in pieces of 1 000"

    compared.pair.caught_up()
    still = compare(turnout)
    assert still["outcome"] == "equal" and still["unsettled"] == 0, still
    assert turnout.status()["comparison"]["outcome"] == "equal"
    assert stage_of(still, "shop.people")["rows"] == 3000 and stage_of(still, "other.stock")["rows"] == 100
    assert stage_of(still, "shop.o`dd; -- '\"")["rows"] == 20
    assert not [one["table"] for one in still["tables"] if one["table"].split(".")[0] in ("mysql", "sys")]


def test_what_was_planted_is_named_and_nothing_else(compared: Compared) -> None:
    turnout = compared.turnout
    altered = {("r1", "100"): "name = NULL", ("r2", "101"): "weight = weight + 1e-12", ("r0", "102"): "born = born + INTERVAL 1 MICROSECOND",
               ("r2", "104"): "ratio = ratio + 1e-6", ("r0", "105"): "raw = CONCAT(raw, '')", ("r1", "106"): "flags = flags ^ 1",
               ("r2", "107"): "kind = 'ok'", ("r0", "108"): "doc = '{\"a\": [1, 2.50], \"b\": 109}'",
               ("r1", "109"): "place = ST_GeomFromText('POINT(1 2)')", ("r2", "110"): "price = price + 0.000001", ("r0", "111"): "tags = 'a'",
               ("r1", "112"): "latin = 'Kase'", ("r2", "113"): "day = '2020-03-01'", ("r0", "114"): "blank = NULL",
               ("r1", "115"): "image = INSERT(image, 2999, 1, 'x')", ("r2", "116"): "seen = seen + INTERVAL 1 HOUR"}
    compared.by_hand(
        "SET sql_mode = ''", "SET time_zone = '+00:00'",
        *(f"UPDATE people SET {what} WHERE region = '{key[0]}' AND id = {key[1]}" for key, what in altered.items()),
        "DELETE FROM people WHERE region = 'r1' AND id = 103", "INSERT INTO people (region, id) VALUES ('r9', 99999)",
        "UPDATE words SET n = -1 WHERE word = 'Äpfel 9'", "DELETE FROM words WHERE word = 'Zebra''11'", "INSERT INTO words VALUES ('surplus', 0)",
        "UPDATE words SET word = 'ZEBRA''14' WHERE word = 'Zebra''14'",
        "UPDATE terms SET n = -1 WHERE term = 'Äpfel 9'", "DELETE FROM terms WHERE term = 'Zebra''11'", "INSERT INTO terms VALUES ('surplus', 0)",
        "UPDATE digests SET n = -1 WHERE k = UNHEX(LEFT(SHA2(3, 256), 40))", "DELETE FROM digests WHERE k = ''",
        "UPDATE moments SET n = -1 WHERE n = 5", "UPDATE reals SET n = -1 WHERE n = 7", "UPDATE reals SET w = w * (1 + 2.3e-16) WHERE n = 9",
        "UPDATE bag SET b = 'y' LIMIT 1", "DELETE FROM maybe WHERE u IS NULL LIMIT 1",
        "DELETE FROM wide WHERE id = 31000", "INSERT INTO wide SELECT 900000 + a + 1, 'far beyond', 0 FROM bag WHERE a < 12 GROUP BY a",
        f"DELETE FROM huge WHERE id = {MAX} - 1700", f"UPDATE huge SET n = 0 WHERE id = {MAX} - 3", "UPDATE parted SET body = 'other' WHERE id = 700",
        f"DELETE FROM {ODD} WHERE `i'd` LIKE '%s _ 7'", "UPDATE other.stock SET n = 0 WHERE id = 50", "INSERT INTO empty_one VALUES (1)")
    found = compare(turnout, expect=REFUSED)
    assert found["outcome"] == "different" and found["unsettled"] == 0
    differs = {tuple(row["key"].values()): row["columns"] for row in found["differing"]
               if row["table"] == "shop.people" and row["kind"] == "differs"}
    wanted = {key: [what.split()[0]] for key, what in altered.items()}
    del wanted["r0", "105"]  # nothing has changed
    assert differs == wanted
    people = rows_of(found, "shop.people")
    assert (people["only_on_blue"], people["only_on_green"]) == ({("r1", "103")}, {("r9", "99999")})
    words = rows_of(found, "shop.words")
    assert words == {"differs": {("Äpfel 9",)}, "only_on_blue": {("Zebra'11",), ("Zebra'14",)}, "only_on_green": {("surplus",), ("ZEBRA'14",)}}
    assert rows_of(found, "shop.terms") == {"differs": {("Äpfel 9",)}, "only_on_blue": {("Zebra'11",)}, "only_on_green": {("surplus",)}}
    assert rows_of(found, "shop.digests") == {"differs": {("0x" + sha256(b"3").hexdigest()[:40].upper(),)}, "only_on_blue": {("0x",)}}
    assert rows_of(found, "shop.moments") == {"differs": {("2024-03-31 00:05:00.500000", "2", "5")}}
    reals = {row["key"]["k"]: row["columns"] for row in found["differing"] if row["table"] == "shop.reals"}
    assert sorted(reals.values()) == [["n"], ["w"]] and {float(key) for key in reals} == {-7 / 3e-150, -9 / 3e-150}, reals
    bag = [row["text"] for row in found["differing"] if row["table"] == "shop.bag"]
    assert bag == ["blue has 900 rows, green has 900 rows with another content"]
    assert [row["text"] for row in found["differing"] if row["table"] == "shop.maybe"] == ["blue has 300 rows, green has 299 rows"]
    assert rows_of(found, "shop.wide") == {"only_on_blue": {("31000",)}, "only_on_green": {(str(900001 + n),) for n in range(10)}}
    assert rows_of(found, "shop.huge") == {"only_on_blue": {(str(MAX - 1700),)}, "differs": {(str(MAX - 3),)}}
    assert rows_of(found, "shop.parted") == {"differs": {("700", "2021-12-01")}}
    assert rows_of(found, "shop.o`dd; -- '\"") == {"only_on_blue": {("it's \\ 7", "1")}}
    assert rows_of(found, "other.stock") == {"differs": {("50",)}}
    assert rows_of(found, "shop.empty_one") == {"only_on_green": {("1",)}}
    counted = 15 + 2 + 5 + 3 + 2 + 1 + 2 + 1 + 1 + 11 + 2 + 1 + 1 + 1 + 1
    assert found["differences"] == counted, [row for row in found["differing"]]
    text = turnout.cli("compare", "app", "--show")
    assert text.code == REFUSED and "region=r1 id=100  in name" in text.stdout and "shop.people" in text.stdout, text
    assert max(map(len, text.stdout.splitlines())) <= 120
    again = compare(turnout, "--table", "shop.words", "--table", "stock", expect=REFUSED)
    assert {one["table"] for one in again["tables"]} == {"shop.words", "other.stock"}
    assert turnout.cli("compare", "app", "--table", "shop.nothing").code == REFUSED


def test_a_table_altered_by_hand_is_named(compared: Compared) -> None:
    turnout = compared.turnout
    compared.on_blue("CREATE TABLE notes (id INT PRIMARY KEY, body VARCHAR(40))", "CREATE TABLE gone (id INT PRIMARY KEY)",
                     "INSERT INTO notes VALUES (1, 'short'), (2, 'much longer')")
    compared.pair.caught_up()
    compared.by_hand("SET sql_mode = ''", "ALTER TABLE notes MODIFY body VARCHAR(6)", "DROP TABLE gone", "CREATE TABLE surplus (id INT PRIMARY KEY)")
    found = compare(turnout, "--table", "notes", "--table", "gone", "--table", "surplus", expect=REFUSED)
    assert [(row["table"], row["kind"], row.get("key"), row.get("columns"), row.get("text")) for row in found["differing"]] == [
        ("shop.gone", "table", None, None, "the table is only on blue"),
        ("shop.notes", "differs", {"id": "2"}, ["body"], None),
        ("shop.surplus", "table", None, None, "the table is only on green")]
    assert any("column body is varchar(40)" in note and "varchar(6)" in note for note in stage_of(found, "shop.notes")["notes"])
    compared.by_hand("ALTER TABLE notes DROP COLUMN body")
    found = compare(turnout, "--table", "shop.notes", expect=REFUSED)
    assert [row["text"] for row in found["differing"]] == ["column body is only on blue"]
    compared.by_hand("CREATE TABLE gone (id INT PRIMARY KEY)", "DROP TABLE surplus")
    compared.on_blue("DROP TABLE notes", "DROP TABLE gone")


def test_a_table_that_is_only_just_made_is_no_difference(compared: Compared) -> None:
    pair, replica = compared.pair, compared.pair.REPLICA
    pair.execute("green", f"STOP {replica} SQL_THREAD")
    try:
        compared.on_blue("CREATE TABLE late (id INT PRIMARY KEY)", "INSERT INTO late VALUES (1)")
        assert compared.turnout.cli("compare", "app", "--anew", "--detach", "--table", "late").code == DONE
        time.sleep(1)
    finally:
        pair.execute("green", f"START {replica} SQL_THREAD")
    done = wait_for(compared.turnout, lambda r: r["phase"] == "finished")
    assert done["outcome"] == "equal", done


def test_lag_is_no_difference(compared: Compared) -> None:
    """Green stands still: what has changed on blue since is neither called different nor equal."""
    pair, turnout, replica = compared.pair, compared.turnout, compared.pair.REPLICA
    pair.caught_up()
    thread = "SQL_THREAD"  # of what is received, nothing is applied
    pair.execute("green", f"STOP {replica} {thread}")
    try:
        compared.on_blue("UPDATE flips SET n = n + 5 WHERE id = 3")
        assert turnout.cli("compare", "app", "--anew", "--detach", "--table", "flips").code == DONE
        wait_for(turnout, lambda r: "tells lag from loss" in r["waiting_for"])
    finally:
        pair.execute("green", f"START {replica} {thread}")
    assert wait_for(turnout, lambda r: r["phase"] == "finished")["outcome"] == "equal"


def test_goes_on_after_a_kill(compared: Compared) -> None:
    turnout = compared.turnout
    compared.by_hand("DELETE FROM wide WHERE id IN (300, 59000)")
    assert_goes_on_after_a_kill(turnout, "shop.wide", pieces_max=64)


def test_stops_when_told_and_gives_way_to_a_cutover(compared: Compared) -> None:
    turnout = compared.turnout
    slow = ("compare", "app", "--anew", "--detach", "--table", "shop.wide", "--rows-per-second", "5000")
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
    if attempt.json["outcome"] != "refused":  # then it may have gone on before the report was written
        assert attempt.json["comparison"]["phase"] == "paused", attempt.json


def test_the_former_writer_is_compared_with_the_new_one(compared: Compared) -> None:
    turnout, pair = compared.turnout, compared.pair
    compared.by_hand("ALTER TABLE terms MODIFY term VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
                     "ALTER TABLE reals MODIFY whole INT")
    compared.on_blue("DROP TABLE bag", "DROP TABLE maybe")  # without a key a preflight warns
    pair.caught_up()
    turnout.ask("cutover", "app", timeout_s=120)
    turnout.wait_settled()
    pair.caught_up("green")
    found = compare(turnout, "--table", "ledger", "--table", "flips")
    assert found["outcome"] == "equal" and found["writer"] == "green", found
    compared.by_hand("UPDATE flips SET n = 77 WHERE id = 5", "DELETE FROM flips WHERE id = 9", side="blue")
    found = compare(turnout, "--table", "flips", expect=REFUSED)
    assert rows_of(found, "shop.flips") == {"differs": {("5",)}, "only_on_green": {("9",)}}
