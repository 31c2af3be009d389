"""A Turnout before one MySQL or MariaDB server, and its clients."""
from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pymysql

from .mariadb import DATABASE, PASSWORD, MariaDb, users_file
from .turnout import Turnout


def make_turnout(server: MariaDb, mode: str, size: int, name: str = "", changes: dict[str, Any] | None = None) -> Turnout:
    workspace = server.workspace
    name = name or f"turnout-{mode}"
    home = workspace.directory(name)
    (home / "admin.pass").write_text(PASSWORD)
    # The harness knows of pairs; here is one server.
    alone = SimpleNamespace(blue=SimpleNamespace(port=server.port), green=SimpleNamespace(port=0), sides={})
    turnout = Turnout(workspace, alone, name, {
        "protocol": "mysql", "green": None, "databases": None, "auth": None, "cutover": None,
        "users": str(users_file(home / "users.txt")),
        "admin": {"user": "turnout", "password_file": str(home / "admin.pass")},
        "pool": {"mode": mode, "size": size},
    } | (changes or {}))
    turnout.start()
    return turnout


def connect(turnout: Turnout, **options: Any) -> Any:
    options = {"user": "app", "password": PASSWORD, "database": DATABASE, "autocommit": True} | options
    return pymysql.connect(host="127.0.0.1", port=turnout.port, connect_timeout=10, **options)


def change_user(connection: Any, user: str, password: str = PASSWORD, database: str = DATABASE, collation: int = 45,
                auth: bytes = b"") -> None:
    """COM_CHANGE_USER, which PyMySQL does not have; raises what the server says."""
    plugin = b"mysql_native_password"
    attributes = b"\x00"  # none
    connection._execute_command(0x11, user.encode() + b"\x00" + bytes([len(auth)]) + auth + database.encode() + b"\x00"
                                + struct.pack("<H", collation) + plugin + b"\x00" + attributes)
    connection.user, connection.password = user.encode(), password.encode()
    packet = connection._read_packet()
    if packet.is_auth_switch_request():
        packet.read_uint8()
        packet = connection._process_auth(packet.read_string(), packet)
    if packet is None:  # PyMySQL has read its answer, after it had sent the whole password
        return
    assert packet.is_ok_packet(), packet._data


def one(connection: Any, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
    return row[0] if row else None


def reads_on(turnout: Turnout) -> dict[str, float]:
    """Those that were proven to be reads while a ramp was on, by where they ran."""
    samples = turnout.metrics()
    return {side: sum(value for key, value in samples.items() if key.startswith("turnout_ramped_reads_total") and f'side="{side}"' in key)
            for side in ("blue", "green")}
