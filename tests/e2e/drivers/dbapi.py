"""The scenarios that drivers of Python's DB-API 2.0 have in common; what a driver has besides is in its own program."""
from __future__ import annotations

import re
from typing import Any, Callable

from common import SESSIONS, USER_VALUES, VALUES, Program, in_parallel


class Dbapi:
    """`mark` is the driver's parameter marker, `sqlstate` reads an error's code, `autocommit` switches it."""

    def __init__(self, program: Program, error: type[Exception], sqlstate: Callable[[Any], str], mark: str = "%s",
                 autocommit: Callable[[Any, bool], None] = lambda connection, on: setattr(connection, "autocommit", on)) -> None:
        self.program, self.error, self.sqlstate, self.mark, self.autocommit = program, error, sqlstate, mark, autocommit
        program.settle = lambda connection: connection.rollback()
        for name in ("transactions", "prepared", "errors", "types", "batch", "parallel"):
            program.add(name, getattr(self, name), movable=True)
        for name in ("user_types", "parameters", "resets", "held_cursors", "session_state", "large_objects"):
            program.add(name, getattr(self, name))

    # ---- words

    def run(self, connection: Any, text: str, *values: Any) -> Any:
        cursor = connection.cursor()
        text = text.replace("?", self.mark)
        if values:
            cursor.execute(text, values)
        else:
            cursor.execute(text)
        return cursor

    def rows(self, connection: Any, text: str, *values: Any) -> list[list[Any]]:
        return [list(row) for row in self.run(connection, text, *values).fetchall()]

    def one(self, connection: Any, text: str, *values: Any) -> Any:
        return self.rows(connection, text, *values)[0][0]

    def refusal(self, connection: Any, text: str, *values: Any) -> list[str]:
        """What the server says to a statement that must fail."""
        try:
            self.run(connection, text, *values)
        except self.error as error:
            return [self.sqlstate(error), str(error).strip().splitlines()[0]]
        return ["no error"]

    def empty(self, connection: Any) -> None:
        self.run(connection, "DELETE FROM drivers.items WHERE owner = ?", self.program.owner)
        connection.commit()

    def insert(self, connection: Any, number: int, name: str) -> None:
        self.run(connection, "INSERT INTO drivers.items (owner, id, name) VALUES (?, ?, ?)", self.program.owner, number, name)

    def items(self, connection: Any) -> list[list[Any]]:
        found = self.rows(connection, "SELECT id, name FROM drivers.items WHERE owner = ? ORDER BY id", self.program.owner)
        connection.commit()
        return found

    # ---- scenarios

    def transactions(self, connection: Any) -> Any:
        self.empty(connection)
        self.insert(connection, 1, "committed")
        connection.commit()
        self.insert(connection, 2, "rolled back")
        connection.rollback()
        self.insert(connection, 3, "before the savepoint")
        self.run(connection, "SAVEPOINT s")
        self.insert(connection, 4, "given up")
        self.run(connection, "ROLLBACK TO SAVEPOINT s")
        self.insert(connection, 5, "after the savepoint")
        self.run(connection, "RELEASE SAVEPOINT s")
        connection.commit()
        seen: list[Any] = [self.items(connection)]
        self.run(connection, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY")
        seen.append(self.rows(connection, "SHOW transaction_isolation"))
        seen.append(self.refusal(connection, "INSERT INTO drivers.items (owner, id, name) VALUES ('nobody', 1, 'x')"))
        connection.rollback()
        seen.append(self.rows(connection, "SHOW transaction_isolation"))
        connection.commit()
        self.autocommit(connection, True)
        self.insert(connection, 6, "alone")
        self.autocommit(connection, False)
        connection.rollback()
        return seen + [self.items(connection)]

    def prepared(self, connection: Any) -> Any:
        """By repetition, which is how DB-API drivers come to prepare, and by many texts."""
        repeated = []
        for number in range(25):
            repeated.append(self.one(connection, "SELECT CAST(? AS int) * 2 + 1", number))
            if number % 5 == 0:
                connection.commit()
        many = []
        for turn in range(2):
            for number in range(60):
                many.append(self.one(connection, f"SELECT CAST(? AS int) + {number}", turn))
            connection.commit()
        return [repeated, sum(many), many[-1]]

    def errors(self, connection: Any) -> Any:
        self.empty(connection)
        seen: list[Any] = []
        for text in ("SELEC 1", "SELECT 1/0", "SELECT * FROM nowhere", "SELECT nothing()", "SELECT 'x'::int",
                     "INSERT INTO drivers.items (owner, id) VALUES ('nobody', 1)"):
            seen.append(self.refusal(connection, text))
            connection.rollback()
        self.insert(connection, 1, "first")
        connection.commit()
        self.insert(connection, 2, "lost with its transaction")
        seen.append(self.refusal(connection, "INSERT INTO drivers.items (owner, id, name) VALUES (?, 1, 'again')", self.program.owner))
        seen.append(self.refusal(connection, "SELECT 1"))
        connection.rollback()
        return seen + [self.items(connection), self.rows(connection, "SELECT 'usable'")]

    def types(self, connection: Any) -> Any:
        return self._values(connection, VALUES)

    def user_types(self, connection: Any) -> Any:
        return self._values(connection, USER_VALUES)

    def _values(self, connection: Any, values: tuple[str, ...]) -> Any:
        seen = []
        for value in values:
            text, native = self.rows(connection, f"SELECT CAST({value} AS text), {value}".replace("%", "%%"))[0]
            seen.append([value, text, native.hex() if isinstance(native, (bytes, memoryview)) else re.sub(r" at 0x[0-9a-f]+", "", repr(native))])
        connection.commit()
        return seen

    def batch(self, connection: Any) -> Any:
        self.empty(connection)
        text = "INSERT INTO drivers.items (owner, id, name) VALUES (?, ?, ?)".replace("?", self.mark)
        connection.cursor().executemany(text, [(self.program.owner, number, f"row {number}") for number in range(100)])
        connection.commit()
        return self.rows(connection, "SELECT count(*), sum(id), max(name) FROM drivers.items WHERE owner = ?", self.program.owner)

    def parameters(self, connection: Any) -> Any:
        def show(*names: str) -> list[str]:
            return [self.one(connection, f"SHOW {name}") for name in names]

        watched = ("work_mem", "search_path", "statement_timeout", "TimeZone", "DateStyle")
        connection.commit()
        seen = [show(*watched)]
        self.run(connection, "SET work_mem = '7MB'")
        self.run(connection, "SET search_path = drivers, public")
        self.run(connection, "SET TimeZone = 'Asia/Tokyo'")
        connection.commit()
        seen.append(show(*watched))
        connection.commit()
        self.run(connection, "SET work_mem = '9MB'")
        seen.append(show(*watched))
        connection.rollback()
        seen.append(show(*watched))
        connection.commit()
        self.run(connection, "SET LOCAL statement_timeout = '77s'")
        self.run(connection, "SELECT set_config('DateStyle', 'German', true)")
        seen.append(show(*watched))
        connection.commit()
        seen.append(show(*watched))
        self.run(connection, "SELECT set_config('statement_timeout', '66s', false)")
        connection.commit()
        seen.append(show(*watched))
        connection.commit()
        seen.append(self.refusal(connection, "SET no.such_thing TO 'is allowed'") + self.refusal(connection, "SET nothing = 1"))
        connection.rollback()
        for name in watched:
            self.run(connection, f"SET {name} TO DEFAULT")
        connection.commit()
        return seen

    def resets(self, _connection: Any) -> Any:
        """RESET goes back to what the session asked for at its start. Last, the settings as they are seen from inside."""
        mine = self.program.connect()
        mine.commit()
        seen = []
        for text in ("SET work_mem = '7MB'", "RESET work_mem", "SET work_mem = '8MB'", "RESET ALL", "SET work_mem = '9MB'",
                     "SET work_mem TO DEFAULT"):
            self.run(mine, text)
            mine.commit()
            seen.append(self.rows(mine, "SHOW work_mem"))
            mine.commit()
        seen.append(self.rows(mine, "SELECT name, setting FROM pg_settings WHERE source IN ('client', 'session') ORDER BY 1"))
        mine.close()
        return seen

    def held_cursors(self, connection: Any) -> Any:
        self.run(connection, "DECLARE kept CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 20)")
        connection.commit()
        seen = [self.rows(connection, "FETCH 3 FROM kept")]
        connection.commit()
        seen.append(self.rows(connection, "FETCH 2 FROM kept"))
        self.run(connection, "CLOSE kept")
        connection.commit()
        seen.append(self.refusal(connection, "FETCH 1 FROM kept"))
        connection.rollback()
        return seen

    def session_state(self, connection: Any) -> Any:
        """Temporary tables, session advisory locks, SQL-level PREPARE: all of them outlive their transaction."""
        self.run(connection, "CREATE TEMPORARY TABLE mine (n int)")
        connection.commit()
        for number in range(5):
            self.run(connection, "INSERT INTO mine VALUES (?)", number)
            connection.commit()
        seen = [self.rows(connection, "SELECT count(*), sum(n) FROM mine")]
        self.run(connection, "DROP TABLE mine")
        connection.commit()
        self.run(connection, "SELECT pg_advisory_lock(4711)")
        connection.commit()
        seen.append(self.rows(connection, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"))
        connection.commit()
        seen.append(self.rows(connection, "SELECT pg_advisory_unlock(4711), pg_advisory_unlock(4711)"))
        connection.commit()
        self.run(connection, "PREPARE plus AS SELECT $1::int + 1")
        connection.commit()
        seen.append(self.rows(connection, "EXECUTE plus(41)"))
        connection.commit()
        seen.append(self.rows(connection, "SELECT name, statement, parameter_types::text FROM pg_prepared_statements WHERE from_sql"))
        self.run(connection, "DEALLOCATE plus")
        connection.commit()
        seen.append(self.refusal(connection, "EXECUTE plus(41)"))
        connection.rollback()
        self.run(connection, "DISCARD TEMP")
        connection.commit()
        return seen

    def large_objects(self, connection: Any) -> Any:
        """By the server's functions; drivers with an interface of their own show that one instead."""
        oid = self.one(connection, "SELECT lo_from_bytea(0, decode(repeat('00ff10', 20000), 'hex'))")
        connection.commit()
        seen = [self.one(connection, "SELECT length(lo_get(?))", oid), bytes(self.one(connection, "SELECT lo_get(?, 59998, 9)", oid)).hex()]
        descriptor = self.one(connection, "SELECT lo_open(?, 393216)", oid)
        seen.append(self.one(connection, "SELECT lo_lseek(?, 30000, 0)", descriptor))
        seen.append(self.one(connection, "SELECT lowrite(?, 'changed')", descriptor))
        seen.append(self.one(connection, "SELECT lo_close(?)", descriptor))
        connection.commit()
        seen.append(bytes(self.one(connection, "SELECT lo_get(?, 29999, 9)", oid)).hex())
        seen.append(self.one(connection, "SELECT lo_unlink(?)", oid))
        connection.commit()
        return seen

    def parallel(self, _connection: Any) -> Any:
        """Each session has its own state and verifies its own results."""

        def session(number: int) -> Any:
            mine = self.program.connect()
            try:
                self.run(mine, f"SET work_mem = '{1000 + number}kB'")
                self.run(mine, f"SET application_name = 'session {number}'")
                mine.commit()
                sums = 0
                for turn in range(10):
                    value = self.one(mine, f"SELECT CAST(? AS int) * {number}", turn)
                    assert value == turn * number, value
                    state = self.rows(mine, "SELECT current_setting('work_mem'), current_setting('application_name')")[0]
                    assert state == [f"{1000 + number}kB", f"session {number}"], state
                    if turn % 3 == 0:
                        assert self.refusal(mine, f"SELECT {number}/0")[0] == "22012"
                        mine.rollback()
                    else:
                        mine.commit()
                    sums += value
                return sums
            finally:
                mine.close()

        results = in_parallel(session)
        assert len(results) == SESSIONS
        return results
