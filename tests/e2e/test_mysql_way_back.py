"""The way back of a pair whose replication login takes TLS only: it is at least as safe as the connection there was before."""
from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import pymysql
import pytest

from harness.certificates import Authority
from harness.mariadb_pair import MariaPair, make_pair_turnout
from harness.mysql_products import PRODUCTS, as_root, pair_of
from harness.turnout import Turnout

LOGIN, SECRET = "back", "way back"


@dataclass
class Encrypted:
    pair: MariaPair
    authority: dict[str, Path]  # the same one, at a path of its own for each server, and for green's connection

    def follow_with(self, **words: str | int) -> None:
        """Green's connection to blue, anew."""
        pair = self.pair
        who = "MASTER" if pair.REPLICA == "SLAVE" else "SOURCE"
        all_words = {"USER": LOGIN, "PASSWORD": SECRET, "SSL": 0, "SSL_CA": "", "SSL_VERIFY_SERVER_CERT": 0} | words
        change = "CHANGE MASTER TO " if who == "MASTER" else "CHANGE REPLICATION SOURCE TO "
        pair.execute("green", f"STOP {pair.REPLICA}")
        pair.execute("green", change + ", ".join(f"{who}_{word} = {value!r}" for word, value in all_words.items()))
        pair.execute("green", f"START {pair.REPLICA}")
        pair.caught_up()

    def link(self, side: str) -> tuple[str, str, str]:
        """Of the one connection there: whether it is encrypted, by whom the other one is verified, and whether by name."""
        with self.pair.sides[side].connect("turnout", None, cursorclass=pymysql.cursors.DictCursor) as connection:
            with connection.cursor() as cursor:
                cursor.execute(self.pair.LINKS)
                row: dict[str, Any] = cursor.fetchall()[0]
        who = "Master" if self.pair.REPLICA == "SLAVE" else "Source"
        return row[f"{who}_SSL_Allowed"], row[f"{who}_SSL_CA_File"], row[f"{who}_SSL_Verify_Server_Cert"]

    def as_root(self, *statements: str) -> None:
        as_root(self.pair.blue, "SET sql_log_bin = 1", *statements)
        self.pair.caught_up()

    def logged_in(self, side: str) -> int:
        return int(self.pair.sides[side].value(f"SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '{LOGIN}'"))


@pytest.fixture(scope="module", params=PRODUCTS)
def encrypted(request: pytest.FixtureRequest) -> Iterator[Encrypted]:
    with pair_of(request.param, start=False) as pair:
        home = pair.workspace.directory("certificates")
        authority = Authority(home)
        cert, key = authority.server()
        key.chmod(0o644)  # the servers run as another user
        paths = {}
        for name in ("blue", "green", "link"):
            paths[name] = home / f"{name}-ca.crt"
            shutil.copy(authority.certificate, paths[name])
        for side, server in pair.sides.items():
            server.options += [f"--ssl-cert={cert}", f"--ssl-key={key}", f"--ssl-ca={paths[side]}"]
        pair.start()
        made = Encrypted(pair, paths)
        made.as_root(f"CREATE USER {LOGIN}@'%' IDENTIFIED BY '{SECRET}' REQUIRE SSL", f"GRANT REPLICATION SLAVE ON *.* TO {LOGIN}@'%'")
        yield made


@pytest.fixture
def turnout(encrypted: Encrypted, request: pytest.FixtureRequest) -> Iterator[Turnout]:
    """`replication.tls` is the test's parameter, or is not written."""
    tls = getattr(request, "param", None)
    home = encrypted.pair.workspace.directory(request.node.name.replace("[", "-").replace("]", ""))
    (home / "back.pass").write_text(SECRET)
    login = {"user": LOGIN, "password_file": str(home / "back.pass")} | ({"tls": tls} if tls else {})
    made = make_pair_turnout(encrypted.pair, f"{home.name}/turnout", {"replication": login})
    yield made
    made.stop()


def check(turnout: Turnout) -> tuple[str, str]:
    found, = [one for one in turnout.cli("preflight", "app", "-o", "json").json["checks"] if one["name"] == "reverse.possible"]
    return found["verdict"], found["measured"]


def move(encrypted: Encrypted, turnout: Turnout, verb: str, writer: str) -> None:
    report = turnout.ask(verb, "app")
    assert report["outcome"] == "committed", report
    turnout.wait_settled()
    encrypted.pair.assert_writer(writer)
    encrypted.pair.caught_up(writer)
    assert encrypted.logged_in(writer) >= 1


def there_and_back(encrypted: Encrypted, turnout: Turnout, blues: tuple[str, str, str], greens: tuple[str, str, str]) -> None:
    """Each side's connection while it follows, as `Encrypted.link` tells it."""
    move(encrypted, turnout, "cutover", "green")
    assert encrypted.link("blue") == blues
    move(encrypted, turnout, "rollback", "blue")
    assert encrypted.link("green") == greens


def test_a_link_that_verifies_is_followed_by_one_that_does(encrypted: Encrypted, turnout: Turnout) -> None:
    """Blue by its own file, for green's path is of green's machine; and green, when it follows again, by the one that it had."""
    encrypted.follow_with(SSL=1, SSL_CA=str(encrypted.authority["link"]), SSL_VERIFY_SERVER_CERT=1)
    verdict, measured = check(turnout)
    assert verdict == "PASS" and f"by TLS, verified by {encrypted.authority['blue']}" in measured, measured
    there_and_back(encrypted, turnout, ("Yes", str(encrypted.authority["blue"]), "Yes"), ("Yes", str(encrypted.authority["link"]), "Yes"))


def test_a_link_that_only_encrypts(encrypted: Encrypted, turnout: Turnout) -> None:
    encrypted.follow_with(SSL=1)
    verdict, measured = check(turnout)
    assert verdict == "PASS" and measured.endswith("by TLS"), measured
    there_and_back(encrypted, turnout, ("Yes", "", "No"), ("Yes", "", "No"))


@pytest.mark.parametrize("turnout", ["verify-full"], indirect=True)
def test_more_than_there_was(encrypted: Encrypted, turnout: Turnout) -> None:
    encrypted.follow_with(SSL=1)
    verdict, measured = check(turnout)
    assert verdict == "PASS" and f"verified by {encrypted.authority['blue']}" in measured, measured
    there_and_back(encrypted, turnout, ("Yes", str(encrypted.authority["blue"]), "Yes"), ("Yes", str(encrypted.authority["green"]), "Yes"))


@pytest.mark.parametrize("turnout", ["disable"], indirect=True)
def test_less_than_there_was(encrypted: Encrypted, turnout: Turnout) -> None:
    """As an operator has asked for it: who must have TLS is refused, who need not is told."""
    encrypted.follow_with(SSL=1)
    verdict, measured = check(turnout)
    assert verdict == "FAIL" and "without TLS" in measured, measured
    encrypted.as_root(f"ALTER USER {LOGIN}@'%' REQUIRE NONE")
    try:
        verdict, measured = check(turnout)
        assert verdict == "WARN" and measured.endswith("without TLS, which the connection that runs now has"), measured
    finally:
        encrypted.as_root(f"ALTER USER {LOGIN}@'%' REQUIRE SSL")


def test_a_file_that_the_old_writer_has_not(encrypted: Encrypted, turnout: Turnout) -> None:
    """The last one: blue is without it from then on."""
    pair = encrypted.pair
    pair.blue.options = [option for option in pair.blue.options if not option.startswith("--ssl-ca")]
    pair.blue.restart()
    pair.execute("blue", "SET GLOBAL read_only = 0")
    encrypted.follow_with(SSL=1, SSL_CA=str(encrypted.authority["link"]), SSL_VERIFY_SERVER_CERT=1)
    assert pair.execute("blue", "SELECT COALESCE(@@global.ssl_ca, '')") == [("",)]
    verdict, measured = check(turnout)
    assert verdict == "FAIL" and "takes ssl_ca of blue, which is not set" in measured, measured
