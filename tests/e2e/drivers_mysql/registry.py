"""The drivers of MySQL and MariaDB: what each program shows, what it needs, and which cells are known to differ."""
from __future__ import annotations

import json
from pathlib import Path

from drivers.driver import E2E, Driver, Family
from harness.mariadb import DATABASE, PASSWORD

HERE = Path(__file__).resolve().parent
SHARED = " ".join(json.loads((HERE / "statements.json").read_text())["scenarios"]) + " "

MYSQL = Family(HERE, lambda port: {
    "MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": str(port), "MYSQL_USER": "app", "MYSQL_PASSWORD": PASSWORD, "MYSQL_DATABASE": DATABASE,
    "PYTHONPATH": f"{HERE}:{E2E / 'drivers'}", "DRIVER_STATEMENTS": str(HERE / "statements.json")})

_python = MYSQL.python
_DBAPI = SHARED + "commits types typed_rows escaped multi batch large streaming kill databases_by_command ended parallel "

DRIVERS: dict[str, Driver] = {driver.name: driver for driver in (
    _python("pymysql", "pymysql_client.py", _DBAPI + "callproc logins local_infile", "pymysql"),
)}

# As in ../drivers/registry.py: a cell (driver, scenario, mode) with the reason why it is known to differ.
KNOWN_DIFFERENT: dict[tuple[str, str, str], str] = {}
