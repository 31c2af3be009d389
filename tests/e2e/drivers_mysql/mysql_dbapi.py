"""The scenarios that PyMySQL and mysqlclient have in common; what each has besides is in its own program.

The rules are those of ../drivers/common.py; the server is where MYSQL_HOST, MYSQL_PORT, MYSQL_USER, MYSQL_PASSWORD and
MYSQL_DATABASE say. What every program says and shows alike stands in statements.json.
"""
from __future__ import annotations

import datetime
import decimal
import json
import os
import threading
from pathlib import Path
from typing import Any, Callable

from common import SESSIONS, Program, in_parallel, wait_until

SHARED = json.loads(Path(os.environ["DRIVER_STATEMENTS"]).read_text())
LOGIN: dict[str, Any] = {"host": os.environ["MYSQL_HOST"], "port": int(os.environ["MYSQL_PORT"]), "user": os.environ["MYSQL_USER"],
                         "password": os.environ["MYSQL_PASSWORD"], "database": os.environ["MYSQL_DATABASE"], "charset": "utf8mb4"}


def shown(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return value if value is None or isinstance(value, (int, str)) else repr(value)


class MysqlDbapi:
    """`module` is the driver's; `state` reads the connection's SQLSTATE after an error, where the driver tells it."""

    def __init__(self, program: Program, module: Any, state: Callable[[Any], Any] = lambda connection: None) -> None:
        self.program, self.module, self.state = program, module, state
        for name, texts in SHARED["scenarios"].items():
            program.add(name, lambda connection, texts=texts: [self.answer(connection, text) for text in texts])  # type: ignore[misc]
        for name in ("commits", "types", "typed_rows", "escaped", "multi", "batch", "large", "streaming", "kill", "databases_by_command", "ended", "parallel"):
            program.add(name, getattr(self, name))

    # ---- words

    def answer(self, connection: Any, text: str, *values: Any, cursor: Any = None) -> list[Any]:
        """All that a statement answers: each result, then an error if there is one."""
        cursor = cursor or connection.cursor()
        results: list[Any] = []
        try:
            cursor.execute(text, values or None)
            while True:
                results.append(self.result(cursor))
                if not cursor.nextset():
                    return results
        except self.module.Error as error:
            return [*results, self.told(connection, error)]
        finally:
            self.close(cursor)

    def close(self, cursor: Any) -> None:
        try:
            cursor.close()
        except self.module.Error:
            pass  # what it would have read is in the answer already

    def result(self, cursor: Any) -> Any:
        if cursor.description is None:
            return {"affected": cursor.rowcount, "id": cursor.lastrowid, "warnings": self.warnings(cursor)}
        return {"columns": [list(map(shown, column)) for column in cursor.description], "rows": [[shown(value) for value in row] for row in cursor.fetchall()],
                "warnings": self.warnings(cursor)}

    def warnings(self, cursor: Any) -> Any:
        return None

    def told(self, connection: Any, error: Any) -> dict[str, Any]:
        return {"error": [type(error).__name__, *map(shown, error.args)], "state": self.state(connection)}

    def rows(self, connection: Any, text: str, *values: Any) -> list[list[Any]]:
        cursor = connection.cursor()
        cursor.execute(text, values or None)
        found = [[shown(value) for value in row] for row in cursor.fetchall()]
        cursor.close()
        return found

    # ---- scenarios

    def commits(self, connection: Any) -> Any:
        self.rows(connection, "DELETE FROM items")
        connection.autocommit(False)
        self.rows(connection, "INSERT INTO items VALUES (1, 'committed')")
        connection.commit()
        self.rows(connection, "INSERT INTO items VALUES (2, 'rolled back')")
        connection.rollback()
        seen = [self.rows(connection, "SELECT id, in_transaction(), @@autocommit FROM items")]
        connection.autocommit(True)
        self.rows(connection, "BEGIN")
        self.rows(connection, "INSERT INTO items VALUES (3, 'committed')")
        seen.append(self.answer(connection, "INSERT INTO items VALUES (3, 'again')"))
        connection.commit()
        return [*seen, self.rows(connection, "SELECT id, in_transaction(), @@autocommit FROM items")]

    def types(self, connection: Any) -> Any:
        return [[value, self.answer(connection, f"SELECT {value}, HEX({value})")] for value in SHARED["values"]]

    def typed_rows(self, connection: Any) -> Any:
        return self.answer(connection, "SELECT * FROM typed ORDER BY id")

    def escaped(self, connection: Any) -> Any:
        values = (None, True, -1, 2**63, 1.5, decimal.Decimal("1.50"), "Größe ≠ 漢字 🙂 '\"\\%\0\n", b"\x00\xff'\\", datetime.date(2024, 2, 29),
                  datetime.datetime(2024, 2, 29, 12, 34, 56, 789012), datetime.timedelta(hours=-12, microseconds=5))
        seen = [self.answer(connection, f"SELECT {'HEX(%s)' if isinstance(value, bytes) else '%s'}, HEX(%s)", value, value) for value in values]
        for number, row in enumerate(SHARED["parameters"]):
            self.rows(connection, f"INSERT INTO typed (id, {', '.join(row)}) VALUES (%s{', %s' * len(row)})", 100 + number, *row.values())
        seen.append(self.rows(connection, "SELECT * FROM typed WHERE id >= 100 ORDER BY id"))
        seen.append(self.answer(connection, "DELETE FROM typed WHERE id >= 100"))
        return seen

    def multi(self, _connection: Any) -> Any:
        """Several statements in one text; one that fails ends them."""
        mine = self.program.connect(multi=True)
        seen = [self.answer(mine, text) for text in (
            "SELECT 1; SELECT 'ä', 2; DO 1; SELECT 3", "TRUNCATE TABLE items; INSERT INTO items VALUES (1, 'a'), (2, 'b'); SELECT COUNT(*) FROM items",
            "SELECT 1; SELECT nonsense; SELECT 2", "BEGIN; INSERT INTO items VALUES (3, 'c'); SELECT in_transaction()", "ROLLBACK; SELECT in_transaction()",
            "CALL two_results(); SELECT 1", "SET @a = 7; SELECT @a; USE other; SELECT DATABASE()", "SELECT @a, DATABASE()", "SET NAMES latin1; SET NAMES utf8mb4",
            "CREATE TEMPORARY TABLE t1 (n INT); INSERT INTO t1 VALUES (1), (2); SELECT * FROM t1; DROP TABLE t1", "SELECT * FROM t1", "SELECT 1;;")]
        mine.close()
        return seen

    def batch(self, connection: Any) -> Any:
        self.rows(connection, "TRUNCATE TABLE entries")
        cursor = connection.cursor()
        counts = [cursor.executemany("INSERT INTO entries (name) VALUES (%s)", [(f"row {number}",) for number in range(300)]), cursor.lastrowid,
                  cursor.executemany("UPDATE entries SET n = %s WHERE id = %s", [(number, number) for number in range(10)])]
        cursor.close()
        return [counts, self.rows(connection, "SELECT COUNT(*), SUM(id), SUM(n), MAX(name) FROM entries")]

    def large(self, connection: Any) -> Any:
        """Rows of 5 and of 17 MB, there and back: the second one is a message of two packets."""
        seen = []
        for number, size in enumerate((5_000_000, 17_000_000)):
            body = bytes(range(256)) * (size // 256)
            self.rows(connection, "REPLACE INTO large VALUES (%s, %s)", number, body)
            cursor = connection.cursor()
            cursor.execute("SELECT LENGTH(body), MD5(body), body FROM large WHERE id = %s", (number,))
            row = cursor.fetchone()
            cursor.close()
            seen.append([row[0], row[1], row[2] == body])
        self.rows(connection, "DELETE FROM large")
        return seen

    def streaming(self, connection: Any) -> Any:
        """Rows as they come, all of them and given up in their midst; then an error behind rows."""
        seen: list[Any] = []
        cursor = connection.cursor(self.unbuffered)
        cursor.execute("SELECT seq, REPEAT('x', 500) FROM seq_1_to_20000")
        seen.append(sum(row[0] + len(row[1]) for row in cursor))
        cursor.close()
        cursor = connection.cursor(self.unbuffered)
        cursor.execute("SELECT seq, REPEAT('x', 500) FROM seq_1_to_20000")
        seen.append([cursor.fetchone()[0], [row[0] for row in cursor.fetchmany(3)]])
        cursor.close()
        seen.append(self.rows(connection, "SELECT 'usable'"))
        cursor = connection.cursor(self.unbuffered)
        try:
            cursor.execute("SELECT seq, (SELECT 1 UNION SELECT seq FROM dual WHERE seq > 5000) FROM seq_1_to_20000")
            count = 0
            for _ in cursor:
                count += 1
        except self.module.Error as error:
            seen.append([count, self.told(connection, error)])
        self.close(cursor)
        return [*seen, self.rows(connection, "SELECT 'usable'")]

    @property
    def unbuffered(self) -> Any:
        return self.module.cursors.SSCursor

    def kill(self, connection: Any) -> Any:
        """KILL QUERY by the number of the greeting, from a second connection; then KILL of the whole session."""
        victim, seen = self.program.connect(), []
        for verb in ("QUERY", ""):
            text = f"SELECT SLEEP(30), 'victim {verb}'"
            caught: list[Any] = []
            thread = threading.Thread(target=lambda: caught.extend(self.answer(victim, text)))
            thread.start()
            running = wait_until(lambda: self.rows(connection, "SELECT COUNT(*) FROM information_schema.processlist WHERE info = %s", text)[0][0] == 1)
            seen.append([running, self.answer(connection, f"KILL {verb} {victim.thread_id()}")])
            thread.join(20)
            seen.append(caught)
            if verb:
                seen.append(self.answer(victim, "SELECT 'usable'"))
        return seen

    def databases_by_command(self, connection: Any) -> Any:
        connection.select_db("other")
        seen = [self.rows(connection, "SELECT DATABASE(), name FROM things")]
        try:
            connection.select_db("no_such_database")
        except self.module.Error as error:
            seen.append([self.told(connection, error)])
        connection.select_db("shop")
        return [*seen, self.rows(connection, "SELECT DATABASE()"), connection.ping() is None]

    def ended(self, _connection: Any) -> Any:
        """Temporary tables, locks, variables and transactions are gone with their session."""
        mine = self.program.connect()
        for text in ("CREATE TEMPORARY TABLE mine (n INT)", "SELECT GET_LOCK('ended', 0)", "SET @a = 1, time_zone = '+07:00'", "BEGIN", "INSERT INTO items VALUES (4712, 'lost')"):
            self.rows(mine, text)
        mine.close()
        mine = self.program.connect()
        wait_until(lambda: self.rows(mine, "SELECT IS_FREE_LOCK('ended')") == [[1]])
        seen = [self.answer(mine, text) for text in ("SELECT * FROM mine", "SELECT IS_FREE_LOCK('ended'), @a, @@time_zone", "SELECT * FROM items WHERE id = 4712")]
        mine.close()
        return seen

    def parallel(self, _connection: Any) -> Any:
        """Each session has its own state and verifies its own results."""

        def session(number: int) -> Any:
            mine = self.program.connect()
            try:
                self.rows(mine, f"SET sort_buffer_size = {1024 * (100 + number)}, time_zone = '+{number % 13:02}:00'")
                if number % 2:
                    self.rows(mine, f"SET @mine = {number}")
                total = 0
                for turn in range(10):
                    assert self.rows(mine, "SELECT %s * %s", turn, number) == [[turn * number]]
                    state = self.rows(mine, "SELECT @@sort_buffer_size, @@time_zone, @mine")
                    assert state == [[1024 * (100 + number), f"+{number % 13:02}:00", number if number % 2 else None]], state
                    self.rows(mine, "BEGIN")
                    self.rows(mine, "REPLACE INTO entries (id, name) VALUES (%s, %s)", 1000 + number, f"turn {turn}")
                    assert self.answer(mine, f"SELECT nonsense{number}")[0]["error"][1] == 1054
                    self.rows(mine, "COMMIT" if turn % 2 else "ROLLBACK")
                    total += turn * number
                return [total, self.rows(mine, "SELECT name FROM entries WHERE id = %s", 1000 + number)]
            finally:
                mine.close()

        results = in_parallel(session)
        assert len(results) == SESSIONS
        return results
