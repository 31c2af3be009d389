"""A Turnout before one MySQL or MariaDB server, and its clients."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pymysql

from .mariadb import DATABASE, PASSWORD, MariaDb, users_file
from .turnout import Turnout


def make_turnout(server: MariaDb, mode: str, size: int) -> Turnout:
    workspace = server.workspace
    home = workspace.directory(f"turnout-{mode}")
    (home / "admin.pass").write_text(PASSWORD)
    # The harness knows of pairs; here is one server.
    alone = SimpleNamespace(blue=SimpleNamespace(port=server.port), green=SimpleNamespace(port=0), sides={})
    turnout = Turnout(workspace, alone, f"turnout-{mode}", {
        "protocol": "mysql", "green": None, "databases": None, "auth": None, "cutover": None,
        "users": str(users_file(home / "users.txt")),
        "admin": {"user": "turnout", "password_file": str(home / "admin.pass")},
        "pool": {"mode": mode, "size": size},
    })
    turnout.start()
    return turnout


def connect(turnout: Turnout, **options: Any) -> Any:
    options = {"user": "app", "password": PASSWORD, "database": DATABASE, "autocommit": True} | options
    return pymysql.connect(host="127.0.0.1", port=turnout.port, connect_timeout=10, **options)


def one(connection: Any, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
    return row[0] if row else None
