"""Checks of a MariaDB pair that need servers of their own kind: AUTO_INCREMENT, and the login of the way back."""
from __future__ import annotations

from typing import Any, Iterator

import pymysql
import pytest

from harness.certificates import Authority
from harness.mariadb import DATABASE, PASSWORD
from harness.mariadb_pair import MariaPair, make_pair_turnout
from harness.mysql_turnout import connect, one
from harness.turnout import Turnout
from harness.workspace import Workspace

SECRET = "way back"


@pytest.fixture(scope="module")
def pair() -> Iterator[MariaPair]:
    """With TLS."""
    space = Workspace()
    authority = Authority(space.directory("certificates"))
    cert, key = authority.server()
    key.chmod(0o644)  # the servers run as another user
    made = MariaPair(space, [f"--ssl-cert={cert}", f"--ssl-key={key}", f"--ssl-ca={authority.certificate}"])
    made.start()
    yield made
    space.close()


def check(turnout: Turnout, name: str) -> tuple[str, str]:
    """Its verdict and what was measured."""
    found, = [one for one in turnout.cli("preflight", "app", "-o", "json").json["checks"] if one["name"] == name]
    return found["verdict"], found["measured"]


@pytest.fixture(scope="module")
def made(pair: MariaPair) -> Iterator[Turnout]:
    yield make_pair_turnout(pair)


def test_auto_increment(pair: MariaPair, made: Turnout) -> None:
    assert check(made, "auto_increment")[0] == "PASS"
    with connect(made) as client:
        one(client, "CREATE TABLE small (id TINYINT PRIMARY KEY AUTO_INCREMENT) AUTO_INCREMENT = 120")
        one(client, "INSERT INTO small VALUES ()")
        verdict, measured = check(made, "auto_increment")
        assert verdict == "WARN" and f"{DATABASE}.small: next 121 of 127" in measured, measured
        one(client, "ALTER TABLE small MODIFY id INT AUTO_INCREMENT")
        pair.caught_up("blue")
        assert check(made, "auto_increment")[0] == "PASS"
        # What is rolled back has used up its numbers on the writer alone.
        client.begin()
        one(client, "INSERT INTO small VALUES (), ()")
        client.rollback()
        verdict, measured = check(made, "auto_increment")
        assert verdict == "WARN" and f"{DATABASE}.small: 121 there, 123 here" in measured, measured
        one(client, "INSERT INTO small VALUES ()")
        pair.caught_up("blue")
        assert check(made, "auto_increment")[0] == "PASS"
        one(client, "DROP TABLE small")
    pair.caught_up("blue")


def test_lengths_of_packets(pair: MariaPair, made: Turnout) -> None:
    """A statement that the writer takes shall not be too long for the next one."""
    assert check(made, "settings.parity")[0] == "PASS"
    pair.execute("green", "SET GLOBAL max_allowed_packet = 1048576")
    try:
        verdict, measured = check(made, "settings.parity")
        assert verdict == "WARN" and "max_allowed_packet" in measured, measured
    finally:
        pair.execute("green", "SET GLOBAL max_allowed_packet = 67108864")
    assert check(made, "settings.parity")[0] == "PASS"


def as_root(pair: MariaPair, *statements: str) -> None:
    with pymysql.connect(host="127.0.0.1", port=pair.blue.port, user="root") as root:
        for statement in statements:
            one(root, statement)
    pair.caught_up("blue")


@pytest.fixture(scope="module")
def login(pair: MariaPair) -> Iterator[str]:
    as_root(pair, f"CREATE USER back@'127.0.0.%' IDENTIFIED BY '{SECRET}'")
    yield "back"
    as_root(pair, "DROP USER back@'127.0.0.%'")


def with_login(pair: MariaPair, name: str, password: str, tls: str) -> Turnout:
    home = pair.workspace.directory(name)
    (home / "back.pass").write_text(password)
    changes: dict[str, Any] = {"replication": {"user": "back", "password_file": str(home / "back.pass"), "tls": tls}}
    return make_pair_turnout(pair, name, changes)


def test_the_login_of_the_way_back(pair: MariaPair, login: str) -> None:
    def verdict(password: str, tls: str) -> tuple[str, str]:
        turnout = with_login(pair, f"back-{tls}-{len(password)}", password, tls)
        try:
            return check(turnout, "reverse.possible")
        finally:
            turnout.stop()

    result, measured = verdict("not " + SECRET, "disable")
    assert result == "FAIL" and "1045" in measured, measured
    result, measured = verdict(SECRET, "disable")
    assert result == "FAIL" and f"{login}@127.0.0.% has no REPLICATION SLAVE" in measured, measured
    # Of another account of that name.
    as_root(pair, f"CREATE USER back@'10.0.0.%' IDENTIFIED BY '{PASSWORD}'", "GRANT REPLICATION SLAVE ON *.* TO back@'10.0.0.%'")
    assert verdict(SECRET, "disable")[0] == "FAIL"
    as_root(pair, "DROP USER back@'10.0.0.%'", "GRANT REPLICATION SLAVE ON *.* TO back@'127.0.0.%'")
    assert verdict(SECRET, "disable")[0] == "PASS"
    as_root(pair, "ALTER USER back@'127.0.0.%' REQUIRE SSL")
    result, measured = verdict(SECRET, "prefer")  # a server cannot prefer: it would log in without
    assert result == "FAIL" and "without TLS" in measured, measured
    result, measured = verdict(SECRET, "require")
    assert result == "PASS" and "by TLS" in measured, measured


def test_the_way_back_is_encrypted(pair: MariaPair, made: Turnout, login: str) -> None:
    """What the check has said is what the follower then does."""
    as_root(pair, "GRANT REPLICATION SLAVE ON *.* TO back@'127.0.0.%'", "ALTER USER back@'127.0.0.%' REQUIRE SSL")
    made.stop()
    turnout = with_login(pair, "back-moves", SECRET, "require")
    turnout.ask("cutover", "app")
    turnout.wait_settled()
    pair.assert_writer("green")
    pair.caught_up("green")
    assert pair.green.value("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'back'") == 1
    turnout.ask("rollback", "app")
    turnout.wait_settled()
    pair.assert_writer("blue")
    pair.caught_up("blue")
    turnout.stop()
