"""A cutover goes past replication clients: it does not wait for them, and ends them when the writer has moved."""
from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import Fresh
from harness.checks import assert_writer
from harness.pair import DATABASE
from harness.postgres import DEBIAN_BIN
from harness.raw import Raw, error_of

CHANGES: dict[str, Any] = {}


@pytest.mark.smoke
def test_a_cutover_ends_them_at_the_flip(fresh: Fresh, tmp_path: Path) -> None:
    turnout, blue = fresh.turnout, fresh.pair.blue
    for server in fresh.pair.sides.values():
        server.sql("CREATE ROLE repl LOGIN REPLICATION")
    output = tmp_path / "wal"
    output.mkdir()
    receiver = subprocess.Popen([str(DEBIAN_BIN / "pg_receivewal"), "-h", "127.0.0.1", "-p", str(turnout.port), "-U", "repl", "-D", str(output),
                                 "--no-loop", "-s", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 60
    while not blue.value("SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pg_receivewal' AND state = 'streaming'"):
        assert time.monotonic() < deadline and receiver.poll() is None, receiver.communicate()
        time.sleep(0.05)
    with Raw(turnout.port) as idle:
        assert idle.login_with({"user": "repl", "database": DATABASE, "replication": "database"}) == {}
        checks = turnout.ask("preflight", "app")["checks"]
        assert [(check["verdict"], len(check["measured"]) > 0) for check in checks if check["name"] == "replication_clients"] == [("WARN", True)]
        report = turnout.ask("cutover", "app")
        assert report["outcome"] == "committed"
        assert report["client_errors"] == 2, "each of them is counted, and nobody else"
        error = error_of(idle.until("E")[-1][1])
        assert error["C"] == "57P01" and "the writer has moved" in error["M"]
    said, _ = receiver.communicate(timeout=30)
    assert receiver.returncode != 0 and "the writer has moved" in said, said
    with Raw(turnout.port) as again:  # on green now
        assert again.login_with({"user": "repl", "database": DATABASE, "replication": "database"}) == {}
        assert again.value("SHOW server_version").split(".")[0] == str(fresh.pair.green.major)
    assert_writer(fresh.pair, turnout, "green")
