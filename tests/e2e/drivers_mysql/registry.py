"""The drivers of MySQL and MariaDB: what each program shows, what it needs, and which cells are known to differ."""
from __future__ import annotations

import json
from pathlib import Path

from drivers.driver import E2E, GO, PYTHON, Driver, Family
from harness import sid_tree
from harness.mariadb import DATABASE, PASSWORD

HERE = Path(__file__).resolve().parent
SHARED = " ".join(json.loads((HERE / "statements.json").read_text())["scenarios"]) + " "

MYSQL = Family(HERE, lambda port: {
    "MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": str(port), "MYSQL_USER": "app", "MYSQL_PASSWORD": PASSWORD, "MYSQL_DATABASE": DATABASE,
    "PYTHONPATH": f"{HERE}:{E2E / 'drivers'}", "DRIVER_STATEMENTS": str(HERE / "statements.json")})

_python, _node, _driver, _compiled = MYSQL.python, MYSQL.node, MYSQL.driver, MYSQL.compiled
_DBAPI = SHARED + "commits types typed_rows escaped multi batch large streaming kill databases_by_command ended parallel "

_CLI = SHARED + "types typed_rows several_in_one_text own_commands large kill dump parallel"
# MySQL 9.7's own, of the Debian sid tree (./dev setup --mysql).
_MYSQL_OPTIONS = ["--no-defaults", "--get-server-public-key", f"--plugin-dir={sid_tree.TREE}/usr/lib/mysql/plugin", f"--character-sets-dir={sid_tree.TREE}/usr/share/mysql/charsets"]
_MYSQL_CLI = json.dumps({"client": [*sid_tree.command("usr/bin/mysql"), *_MYSQL_OPTIONS],
                         "dump": [*sid_tree.command("usr/bin/mysqldump"), *_MYSQL_OPTIONS, "--set-gtid-purged=OFF", "--column-statistics=0"]})

_JDBC = "/usr/share/java/mariadb-java-client.jar"
_DBD = SHARED + "commits prepared types typed_rows multi large kill catalogue_calls logins parallel "

DRIVERS: dict[str, Driver] = {driver.name: driver for driver in (
    _python("pymysql", "pymysql_client.py", _DBAPI + "callproc logins local_infile", "pymysql", seconds=4),
    _python("mariadb-cli", "cli_client.py", _CLI, seconds=5),
    _driver("mysql-cli", f"{PYTHON} {{here}}/cli_client.py", _CLI, str(sid_tree.TREE / "usr/bin/mysql"), environment={"DRIVER_CLI": _MYSQL_CLI}, seconds=8),
    _python("mysqlclient", "mysqlclient_client.py", _DBAPI + "change_user refused_change commands logins", "MySQLdb", seconds=4),
    _node("mysql2", "mysql2_client.js", SHARED + "commits prepared redefined types typed_rows multi large streaming kill change_user parallel parallel_prepared "
          "pool", "mysql2", seconds=4),
    _node("mariadb-node", "mariadb_client.js", SHARED + "commits prepared repeated batch pipelined types typed_rows multi large streaming kill reset change_user logins "
          "parallel parallel_prepared pool", "mariadb", loops=True, seconds=4),
    _driver("mysqli", "php {here}/mysqli_client.php", SHARED + "commits prepared cursors types typed_rows multi large streaming kill change_user refused_change commands "
            "greeted_charset", "php /usr/lib/php/20220829/mysqli.so", seconds=4),
    _python("aiomysql", "aiomysql_client.py", SHARED + "commits types typed_rows large streaming commands kill logins parallel pool", "aiomysql", seconds=4),
    _driver("pdo-mysql", "php {here}/pdo_mysql_client.php", SHARED + "commits prepared written types typed_rows multi one_only large streaming logins",
            "php /usr/lib/php/20220829/pdo_mysql.so", seconds=4),
    _driver("ruby-mysql2", "ruby {here}/mysql2_client.rb", SHARED + "commits prepared types typed_rows multi large streaming kill commands logins parallel",
            "ruby /usr/lib/x86_64-linux-gnu/ruby/vendor_ruby/3.1.0/mysql2/mysql2.so", seconds=4),
    _driver("dbd-mariadb", "perl {here}/dbd_client.pl", _DBD, "perl /usr/lib/x86_64-linux-gnu/perl5/5.36/DBD/MariaDB.pm", seconds=4),
    _driver("dbd-mysql", "perl {here}/dbd_client.pl", _DBD, "perl /usr/lib/x86_64-linux-gnu/perl5/5.36/DBD/mysql.pm", environment={"DRIVER_DBD": "mysql"}, seconds=4),
    _compiled("libmariadb", "{out}/program", "g++ -std=c++20 -O0 -I/usr/include/mariadb -o {out}/program", "libmariadb_client.cpp", SHARED + "types commits prepared at_once bulk "
              "cursors sent_ahead not_blocking commands session_told reset parallel", "g++ /usr/include/mariadb/mysql.h", libraries=("-lmariadb", "-lboost_json"),
              loops=True, seconds=4),
    _compiled("go-sql-driver", "{out}/program", GO, "../drivers/go/common.go ../drivers/go/mysql.go", SHARED + "commits prepared interpolated types typed_rows multi large "
              "streaming cancel logins parallel pool", "go /usr/share/gocode/src/github.com/go-sql-driver/mysql", loops=True, seconds=5),
    _compiled("mariadb-java", f"java -Xshare:auto -XX:TieredStopAtLevel=1 -Duser.timezone=UTC -Dfile.encoding=UTF-8 -cp {{out}}:{_JDBC} MysqlJdbc",
              f"javac -encoding UTF-8 -cp {_JDBC} -d {{out}}", "MysqlJdbc.java", SHARED + "types typed_rows commits prepared written batch procedures_called multi large streaming cancel "
              "metadata logins parallel", f"java javac {_JDBC}", seconds=7),
)}

# As in ../drivers/registry.py: a cell (driver, scenario, mode) with the reason why it is known to differ. There is none.
KNOWN_DIFFERENT: dict[tuple[str, str, str], str] = {}
