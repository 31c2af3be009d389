"""psql, the program: scripts through the simple protocol, its \\copy, its large objects, its way of fetching in pieces.

LD_LIBRARY_PATH decides with which libpq it runs; everything that it prints is the result.
"""
from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from common import USER_VALUES, VALUES, Program, in_parallel

PSQL = Path(os.environ.get("DRIVER_PSQL", "/usr/lib/postgresql/15/bin/psql"))
ENVIRONMENT = {"PGSSLMODE": "disable", "PGGSSENCMODE": "disable", "PGOPTIONS": "-c work_mem=5MB", "PGAPPNAME": "psql program"}

program = Program("psql", lambda: None, lambda _connection: None)


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([str(PSQL), "-X", "-A", "-q", "-v", "VERBOSITY=verbose", *words], stdin=subprocess.PIPE, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | ENVIRONMENT)


def psql(script: str, *words: str) -> list[Any]:
    """Exit code and lines; the programs' own errors stand between the results, where a person would see them."""
    process = start(*words)
    output, _ = process.communicate(script, timeout=60)
    return [process.returncode, *output.splitlines()]


def scenario(body: Any) -> Any:
    program.add(body.__name__, lambda _connection: body())
    return body


INSERT = "INSERT INTO drivers.items (owner, id, name) VALUES ('psql', {}, '{}');\n"
EMPTY = "DELETE FROM drivers.items WHERE owner = 'psql';\n"
ITEMS = "SELECT id, name FROM drivers.items WHERE owner = 'psql' ORDER BY id;\n"


@scenario
def transactions() -> Any:
    return psql(EMPTY + "BEGIN;\n" + INSERT.format(1, "committed") + "COMMIT;\nBEGIN;\n" + INSERT.format(2, "rolled back") + "ROLLBACK;\n"
                + "BEGIN;\n" + INSERT.format(3, "before") + "SAVEPOINT s;\n" + INSERT.format(4, "given up") + "ROLLBACK TO s;\n"
                + INSERT.format(5, "after") + "COMMIT AND CHAIN;\n" + INSERT.format(6, "chained") + "ROLLBACK AND CHAIN;\n"
                + INSERT.format(7, "chained again") + "COMMIT;\n" + ITEMS
                + "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;\nSHOW transaction_isolation;\n" + INSERT.format(8, "refused") + "COMMIT;\n"
                + "SHOW transaction_isolation;\n" + INSERT.format(9, "one text").strip() + "\\;" + INSERT.format(9, "twice") + ITEMS
                + "COMMIT;\nROLLBACK;\n")


@scenario
def single_transaction() -> Any:
    return psql(EMPTY + INSERT.format(1, "kept") + ITEMS, "-1", "-v", "ON_ERROR_STOP=1") + psql(
        INSERT.format(2, "given up") + "SELECT 1/0;\n", "-1", "-v", "ON_ERROR_STOP=1") + psql(ITEMS)


@scenario
def rollback_on_error() -> Any:
    return psql(EMPTY + "BEGIN;\n" + INSERT.format(1, "kept") + "SELECT 1/0;\n" + INSERT.format(2, "kept too") + "COMMIT;\n" + ITEMS,
                "-v", "ON_ERROR_ROLLBACK=on")


@scenario
def prepared() -> Any:
    return psql("PREPARE p(int) AS SELECT $1 + 1;\nEXECUTE p(1);\nEXECUTE p(2);\nPREPARE p AS SELECT 1;\nDEALLOCATE p;\nEXECUTE p(1);\n"
                + "".join(f"PREPARE q{number} AS SELECT {number} + $1::int;\n" for number in range(30))
                + "".join(f"EXECUTE q{number}(1);\n" for number in range(30)) + "DEALLOCATE ALL;\nEXECUTE q1(1);\n"
                + "SELECT count(*) FROM pg_prepared_statements;\n")


@scenario
def cursors() -> Any:
    return psql("BEGIN;\nDECLARE c SCROLL CURSOR FOR SELECT generate_series(1, 50);\nFETCH 3 FROM c;\nMOVE 20 IN c;\nFETCH BACKWARD 2 FROM c;\n"
                "CLOSE c;\nCOMMIT;\n\\set FETCH_COUNT 40\nSELECT n, n * 2 FROM generate_series(1, 100) AS n;\nSELECT 1/0;\nSELECT 'usable';\n")


@scenario
def held_cursors() -> Any:
    return psql("BEGIN;\nDECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 50);\nCOMMIT;\nFETCH 3 FROM c;\nSELECT 1;\nFETCH 3 FROM c;\n"
                "CLOSE c;\nFETCH 1 FROM c;\n")


@scenario
def copy() -> Any:
    rows = "".join(f"psql\t{number}\trow {number}\t\\N\n" for number in range(500))
    return psql(f"{EMPTY}\\copy drivers.items FROM pstdin\n{rows}\\.\nSELECT 'after';\nCOPY drivers.items FROM STDIN;\npsql\tnonsense\tx\t1\n\\.\n"
                "\\copy (SELECT id, name FROM drivers.items WHERE owner = 'psql' ORDER BY id LIMIT 40) TO pstdout CSV HEADER\n"
                "COPY (SELECT 1/(n - 5) FROM generate_series(1, 9) AS n) TO STDOUT;\nSELECT count(*) FROM drivers.items WHERE owner = 'psql';\n"
                "BEGIN;\nCOPY drivers.items (owner, id, name) FROM STDIN;\npsql\t9001\tlost\n\\.\nROLLBACK;\nCOPY nowhere FROM STDIN;\n"
                "SELECT count(*) FROM drivers.items WHERE owner = 'psql';\n")


@scenario
def notify() -> Any:
    seen = psql("LISTEN psql_news;\nNOTIFY psql_news, 'one';\nBEGIN;\nNOTIFY psql_news, 'two';\nNOTIFY psql_news, 'two';\nCOMMIT;\n"
                "SELECT pg_notify('psql_news', 'three') \\g /dev/null\nUNLISTEN *;\nNOTIFY psql_news, 'unheard';\nSELECT 'end';\n")
    return [line.split(" received from")[0] if isinstance(line, str) else line for line in seen]


@scenario
def cancel() -> Any:
    process = start("-c", "SELECT 'before'", "-c", "SELECT pg_sleep(30)")
    begin = time.monotonic()
    assert process.stdout is not None
    first = [process.stdout.readline(), process.stdout.readline(), process.stdout.readline()]
    time.sleep(0.3)  # the sleep has begun, whichever way it takes
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    return [process.returncode, first, output.splitlines(), time.monotonic() - begin < 20,
            psql("SET statement_timeout = 50;\nSELECT pg_sleep(30);\nSHOW statement_timeout;\n")]


@scenario
def errors() -> Any:
    return psql(EMPTY + "SELEC 1;\nSELECT 1/0;\nSELECT * FROM nowhere;\nSELECT nothing();\nSELECT 'x'::int;\n" + INSERT.format(1, "first")
                + "BEGIN;\n" + INSERT.format(2, "lost") + INSERT.format(1, "again") + "SELECT 1;\nROLLBACK;\n" + ITEMS
                + "SELECT 1 \\; SELECT 1/0 \\; SELECT 3;\nDO $$ BEGIN RAISE WARNING 'watch out'; RAISE NOTICE 'a note'; END $$;\nSELECT 'usable';\n"
                "\\gset\nSELECT 41 AS n \\gset\nSELECT :n + 1;\n\\echo :SERVER_VERSION_NAME :ENCODING\n")


@scenario
def types() -> Any:
    return psql("".join(f"SELECT {value};\n" for value in VALUES) + "\\pset null (null)\nSELECT NULL, '';\nSELECT;\n\n;\nSELECT 1 WHERE false;\n")


@scenario
def user_types() -> Any:
    return psql("".join(f"SELECT {value};\n" for value in USER_VALUES) + "\\dT drivers.*\n\\d drivers.items\n\\gdesc\nSELECT 1 AS a, 'x'::drivers.colour \\gdesc\n")


@scenario
def parameters() -> Any:
    show = "SHOW work_mem;\nSHOW search_path;\nSHOW TimeZone;\nSHOW DateStyle;\n"
    return psql(show + "SET work_mem = '7MB';\nSET search_path = drivers, public;\nSET TimeZone = 'Asia/Tokyo';\n" + show
                + "BEGIN;\nSET work_mem = '9MB';\nSET LOCAL DateStyle = 'German';\n" + show + "ROLLBACK;\n" + show
                + "SELECT set_config('work_mem', '6MB', false);\n" + show + "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ;\nSHOW transaction_isolation;\n"
                "SET nothing = 1;\nSET work_mem = 'much';\nSET client_encoding = 'LATIN1';\nSELECT 'ü';\n\\encoding\n\\encoding UTF8\n\\encoding\n")


@scenario
def resets() -> Any:
    show = "SHOW work_mem;\nSHOW application_name;\n"
    return psql("".join(f"SET work_mem = '7MB';\nSET application_name = 'other';\n{text};\n{show}" for text in
                        ("RESET work_mem", "RESET ALL", "DISCARD ALL", "SET application_name TO DEFAULT"))
                + "SELECT name, setting FROM pg_settings WHERE source IN ('client', 'session') ORDER BY 1;\n")


@scenario
def session_state() -> Any:
    seen = psql("CREATE TEMP TABLE mine (n int);\nINSERT INTO mine SELECT generate_series(1, 5);\nSELECT count(*) FROM mine;\n\\d mine\nDROP TABLE mine;\n"
                "SELECT pg_advisory_lock(4713);\nSELECT pg_advisory_unlock(4713);\nSELECT pg_advisory_unlock(4713);\n"
                "CREATE TEMP TABLE once (n int) ON COMMIT DROP;\nSELECT * FROM once;\nCREATE TEMP VIEW look AS SELECT 1 AS one;\nTABLE look;\n"
                "DISCARD ALL;\nTABLE look;\n")
    return [re.sub(r"pg_temp_\d+", "pg_temp_*", str(line)) for line in seen]  # which of them is no promise


@scenario
def large_objects() -> Any:
    script = ("\\lo_import /etc/debian_version\nSELECT lo_get(:LASTOID) = convert_to(pg_catalog.convert_from(lo_get(:LASTOID), 'UTF8'), 'UTF8');\n"
              "SELECT length(lo_get(:LASTOID)) > 2;\n\\lo_export :LASTOID /dev/null\n\\lo_unlink :LASTOID\n\\lo_unlink 1\n")
    seen = psql(script, "-v", "VERBOSITY=terse")
    return [line if not isinstance(line, str) else line.rstrip("0123456789") for line in seen]


@scenario
def catalogue() -> Any:
    """What a person looks at first."""
    return psql("\\conninfo\n\\dn\n\\dt drivers.*\n\\l app\n\\du app\n\\dx\n\\df drivers.*\n\\sf lower\n")[2:]


@scenario
def parallel() -> Any:
    def session(number: int) -> Any:
        show = "SELECT current_setting('work_mem'), current_setting('application_name'), a.n FROM (VALUES ({})) AS a (n);\n"
        script = f"SET work_mem = '{1000 + number}kB';\nSET application_name = 'session {number}';\n"
        seen = psql(script + "".join(show.format(turn) + "SELECT 1/0;\n" * (turn % 3 == 0) for turn in range(10)), "-t", "-v", "VERBOSITY=terse")
        assert sum(line == "ERROR:  division by zero" for line in seen) == 4, seen
        assert [line for line in seen[1:] if "ERROR" not in line] == [f"{1000 + number}kB|session {number}|{turn}" for turn in range(10)], seen
        return seen

    return in_parallel(session)


if __name__ == "__main__":
    program.main()
