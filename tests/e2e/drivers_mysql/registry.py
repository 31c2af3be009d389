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

_python, _node, _driver = MYSQL.python, MYSQL.node, MYSQL.driver
_DBAPI = SHARED + "commits types typed_rows escaped multi batch large streaming kill databases_by_command ended parallel "

DRIVERS: dict[str, Driver] = {driver.name: driver for driver in (
    _python("pymysql", "pymysql_client.py", _DBAPI + "callproc logins local_infile", "pymysql", seconds=4),
    _python("mariadb-cli", "cli_client.py", SHARED + "types typed_rows several_in_one_text own_commands large kill dump parallel", seconds=5),
    _python("mysqlclient", "mysqlclient_client.py", _DBAPI + "change_user refused_change commands logins", "MySQLdb", seconds=4),
    _node("mysql2", "mysql2_client.js", SHARED + "commits prepared redefined types typed_rows multi large streaming kill change_user parallel parallel_prepared "
          "pool", "mysql2", seconds=4),
    _driver("mysqli", "php {here}/mysqli_client.php", SHARED + "commits prepared cursors types typed_rows multi large streaming kill change_user refused_change commands "
            "greeted_charset", "php /usr/lib/php/20220829/mysqli.so", seconds=4),
)}

# As in ../drivers/registry.py: a cell (driver, scenario, mode) with the reason why it is known to differ.
KNOWN_DIFFERENT: dict[tuple[str, str, str], str] = {}
