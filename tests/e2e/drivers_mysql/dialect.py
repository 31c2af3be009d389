"""The words of the programs and of their schema, as each product says them.

What is written down is MariaDB's; here is what MySQL says instead. What has no counterpart there stays: an error is an answer, too.
"""
from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent

_IN_TRANSACTION = ("(SELECT COUNT(*) FROM performance_schema.events_transactions_current WHERE THREAD_ID = PS_CURRENT_THREAD_ID() "
                   "AND STATE = 'ACTIVE' AND AUTOCOMMIT = 'NO')")
# In this order.
_MYSQL = (
    ("RETURN @@in_transaction", f"RETURN {_IN_TRANSACTION}"), ("@@in_transaction", "shop.in_transaction()"), ("tx_isolation", "transaction_isolation"),
    ("CREATE OR REPLACE TABLE", "CREATE TABLE"), ("uid UUID, address INET6", "uid CHAR(36), address VARCHAR(39)"), (" AS UUID)", " AS CHAR(36))"),
    (" AS INET6)", " AS CHAR(39))"), ("838:59:59.999999", "838:59:59"), ("SET max_statement_time = 7.5", "SET max_execution_time = 7500"),
    ("max_statement_time = DEFAULT", "max_execution_time = DEFAULT"), ("@@max_statement_time", "@@max_execution_time"),
    ("SET STATEMENT max_statement_time = 0.05 FOR SELECT SLEEP(10)", "SELECT /*+ MAX_EXECUTION_TIME(50) */ SLEEP(10)"),
    ("SET STATEMENT sort_buffer_size = 400000 FOR SELECT", "SELECT /*+ SET_VAR(sort_buffer_size = 400000) */"),
)
# Functions that are no longer built in, and MariaDB's engine of numbers, as far as somebody asks for them.
_MADE = "INSTALL COMPONENT 'file://component_classic_hashing'; -- MD5\n" + "".join(f"""
CREATE TABLE shop.seq_1_to_{count} (seq BIGINT UNSIGNED PRIMARY KEY) ENGINE=InnoDB;
INSERT INTO shop.seq_1_to_{count} SELECT seq FROM JSON_TABLE(CONCAT('[', REPEAT('1,', {count - 1}), '1]'), '$[*]' COLUMNS (seq FOR ORDINALITY)) AS numbers;
""" for count in (500, 1000, 5000, 20000))


def schema(product: str) -> str:
    text = _said((HERE / "schema.sql").read_text(), product)
    return text if product == "mariadb" else text + _MADE


def statements(product: str, home: Path) -> Path:
    """The file that the programs read, written below `home` for a product that says it otherwise."""
    file = HERE / "statements.json"
    if product == "mariadb":
        return file
    own = home / f"statements-{product}.json"
    own.write_text(_said(file.read_text(), product))
    return own


def _said(text: str, product: str) -> str:
    for maria, mysql in () if product == "mariadb" else _MYSQL:
        text = text.replace(maria, mysql)
    return text
