"""A MySQL or MariaDB pair behind host names: a change under load, names that go astray, data that another machine has taken over."""
from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Iterator

import pymysql
import pytest

from harness.certificates import Authority
from harness.dns import Forwarder, NameServer, hosts_of
from harness.mariadb import DATABASE
from harness.mariadb_pair import MariaPair, make_pair_turnout
from harness.mysql_ledger import MysqlLedger
from harness.mysql_products import PRODUCTS, pair_of
from harness.mysql_turnout import connect, one
from harness.turnout import Turnout
from harness.waiting import eventually
from harness.workspace import Workspace, free_port

FIRST, SECOND, THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3"
TTL_S = 1


@dataclass
class Named:
    pair: MariaPair
    turnout: Turnout
    names: NameServer

    def lead(self, side: str, *hosts: str) -> None:
        self.names.records[f"{side}.test"] = list(hosts)

    def hosts(self, side: str) -> set[str]:
        """Where connections of the clients' pools, and of the admin, lead."""
        rows = self.pair.execute(side, "SELECT HOST FROM information_schema.PROCESSLIST WHERE USER IN ('app', 'turnout') AND ID <> CONNECTION_ID() "
                                       "AND COMMAND NOT LIKE 'Binlog Dump%'")
        return hosts_of({int(host.rpartition(":")[2]) for host, in rows}, self.pair.sides[side].port)

    def insert(self, name: str) -> None:
        with connect(self.turnout) as client:
            one(client, f"INSERT INTO item (name) VALUES ('{name}')")

    def count(self, side: str, name: str) -> int:
        return int(self.pair.sides[side].value(f"SELECT COUNT(*) FROM {DATABASE}.item WHERE name = '{name}'"))

    def refusals(self) -> int:
        return self.turnout.log_file.read_text().count("is not used")

    def await_refusal(self, before: int) -> None:
        eventually(lambda: self.refusals() > before, "the refusal in the log")
        assert self.turnout.metrics()['turnout_name_addresses{deployment="app",side="blue",state="refused"}'] == 1


@contextmanager
def named(pair: MariaPair, name: str) -> Iterator[Named]:
    with NameServer(TTL_S) as names:
        names.records = {"blue.test": [FIRST], "green.test": [FIRST]}
        turnout = make_pair_turnout(pair, name, {
            "blue": f"blue.test:{pair.blue.port}", "green": f"green.test:{pair.green.port}", "waive": ["bypassing_clients"],
            # What the servers call each other is asked of their own machine.
            "replication": {"blue_address": f"{FIRST}:{pair.blue.port}", "green_address": f"{FIRST}:{pair.green.port}"}}, start=False)
        turnout.config["dns"] = {"servers": [names.address], "ttl_min": "200ms", "ttl_max": "5s", "timeout": "1s"}
        turnout.write_config()
        turnout.start()
        try:
            yield Named(pair, turnout, names)
        finally:
            turnout.stop()


@pytest.fixture(scope="module", params=PRODUCTS)
def pair(request: pytest.FixtureRequest) -> Iterator[MariaPair]:
    with pair_of(request.param, [f"--bind-address={FIRST},{SECOND}"]) as made:
        yield made


@pytest.fixture
def app(pair: MariaPair, request: pytest.FixtureRequest) -> Iterator[Named]:
    with named(pair, f"turnout-{request.node.originalname}") as made:
        yield made


def test_an_address_changes_under_load_and_the_name_server_dies(app: Named) -> None:
    turnout = app.turnout
    with MysqlLedger(lambda: connect(turnout)) as ledger:
        eventually(lambda: app.hosts("blue") == {FIRST}, "connections to the first address")
        app.lead("blue", SECOND)
        followed_s = eventually(lambda: app.hosts("blue") == {SECOND}, "every connection at the second address")
        assert followed_s < TTL_S + 5, "and the margin is for a machine under load"
        app.lead("green", SECOND)
        eventually(lambda: app.hosts("green") == {SECOND}, "and those to green")
        app.names.die()
        failures = 'turnout_name_failures_total{deployment="app",side="blue"}'
        eventually(lambda: turnout.metrics()[failures] >= 1, "it was asked in vain")
        for verb, writer in (("cutover", "green"), ("rollback", "blue")):
            report = turnout.ask(verb, "app")
            assert (report["outcome"], report["client_errors"]) == ("committed", 0), report
            turnout.wait_settled()
            app.pair.assert_writer(writer)
            ledger.wait_commits(10)
            assert app.hosts(writer) == {SECOND}
    ledger.assert_quiet()
    for writer in ("blue", "green"):
        app.pair.caught_up("blue")
        ledger.assert_books(app.pair.sides[writer])


def test_a_transaction_outlives_the_change(app: Named) -> None:
    with connect(app.turnout, autocommit=False) as client:
        one(client, "INSERT INTO item (name) VALUES ('across')")
        app.lead("blue", SECOND)
        app.insert("beside")
        eventually(lambda: app.hosts("blue") == {FIRST, SECOND}, "new work at the new address")
        client.commit()
        eventually(lambda: app.hosts("blue") == {SECOND}, "the old connection is closed at the end of its lease")
    assert app.count("blue", "across") == 1


def test_a_name_that_leads_to_the_other_side_is_not_followed(app: Named) -> None:
    """Also by a Turnout that starts with it: the store knows who blue is."""
    app.pair.execute("green", "SET GLOBAL read_only = 0")  # the worst case: nothing else would refuse the writes
    try:
        with Forwarder(THIRD, app.pair.blue.port, app.pair.green.port) as astray, connect(app.turnout) as client:
            one(client, "INSERT INTO item (name) VALUES ('before')")
            app.lead("blue", THIRD)
            app.await_refusal(0)
            for _ in range(5):
                app.insert("astray")
            one(client, "INSERT INTO item (name) VALUES ('astray')")
            assert astray.accepted >= 1, "it was looked at"
            assert app.count("blue", "astray") == 6
    finally:
        app.pair.execute("green", "SET GLOBAL read_only = 1")
    app.pair.caught_up("blue")
    app.lead("blue", SECOND)
    eventually(lambda: app.hosts("blue") == {SECOND}, "the right server's new address")


def test_a_start_with_a_name_that_has_gone_astray(app: Named) -> None:
    turnout, before = app.turnout, app.refusals()
    turnout.ask("prepare", "app")
    turnout.stop()
    with Forwarder(THIRD, app.pair.blue.port, app.pair.green.port):
        app.lead("blue", THIRD)
        turnout.start(wait_ready=False)
        eventually(lambda: app.refusals() > before, "the refusal in the log")
        assert turnout.rest("/readyz")[0] == 503
        app.lead("blue", FIRST)
        turnout.wait_ready()
    app.insert("after the start")
    assert app.count("blue", "after the start") == 1


def test_a_stranger_with_blues_server_id_is_not_followed(app: Named) -> None:
    space = Workspace()
    try:
        stranger = app.pair.SERVER(space, "stranger", app.pair.blue.server_id, app.pair.OPTIONS)
        stranger.start()
        assert stranger.value("SELECT @@server_id") == app.pair.blue.value("SELECT @@server_id")
        stranger.value("FLUSH BINARY LOGS")
        with Forwarder(THIRD, app.pair.blue.port, stranger.port):
            app.insert("known")
            app.lead("blue", THIRD)
            app.await_refusal(0)
            app.insert("not astray")
        assert app.count("blue", "not astray") == 1
        assert stranger.value(f"SELECT COUNT(*) FROM {DATABASE}.item WHERE name = 'not astray'") == 0
    finally:
        space.close()


def test_a_name_that_a_certificate_is_for(pair: MariaPair) -> None:
    """The data path and the control side connect to numbers; what they verify is the name."""
    space = Workspace()
    try:
        authority = Authority(space.directory("certificates"))
        cert, key = authority.server()
        key.chmod(0o644)  # the servers run as another user
        fresh = type(pair)(space, [f"--ssl-cert={cert}", f"--ssl-key={key}", f"--ssl-ca={authority.certificate}"])
        fresh.start()
        for name, works in (("localhost", True), ("blue.test", False)):
            with NameServer(TTL_S) as names:
                names.records = {"blue.test": [FIRST]}
                turnout = make_pair_turnout(fresh, f"turnout-{name}", {
                    "blue": f"{name}:{fresh.blue.port}", "green": f"localhost:{fresh.green.port}",
                    "server_tls": {"sslmode": "verify-full", "ca_file": str(authority.certificate)}}, start=False)
                turnout.config["dns"] = {"servers": [names.address], "timeout": "1s"}
                turnout.write_config()
                turnout.start(wait_ready=works)
                if works:
                    turnout.ask("prepare", "app")
                    with connect(turnout) as client:
                        assert one(client, "SHOW STATUS LIKE 'Ssl_cipher'")
                else:
                    eventually(turnout.alive, "it runs")
                    with pytest.raises(pymysql.MySQLError):
                        connect(turnout)
                turnout.stop()
    finally:
        space.close()


def test_data_that_another_machine_has_taken_over(app: Named) -> None:
    """The last one: blue is elsewhere afterwards. To MariaDB another port is another machine as well."""
    pair, turnout = app.pair, app.turnout
    pair.execute("blue", "FLUSH BINARY LOGS")
    turnout.restart()  # it learns of the new file
    app.insert("before it moved")
    was = pair.blue.value("SHOW GLOBAL VARIABLES LIKE 'server_uid'") and pair.blue.value("SELECT @@server_uid")
    known_at = pair.blue.port
    pair.blue.stop()
    pair.blue.port = free_port()
    pair.blue.start()
    pair.execute("blue", "SET GLOBAL read_only = 0")
    if was:
        assert pair.blue.value("SELECT @@server_uid") != was
    with Forwarder(THIRD, known_at, pair.blue.port):
        app.lead("blue", THIRD)
        eventually(lambda: _is_there(app), "work at the new place", timeout_s=20)
        assert app.refusals() == 0
        answer = turnout.cli("preflight", "app", "-o", "json").json
        identity, = [check for check in answer["checks"] if check["name"] == "identity"]
        assert identity["verdict"] == "PASS", identity
    assert app.count("blue", "elsewhere") >= 1


def _is_there(app: Named) -> bool:
    try:
        app.insert("elsewhere")
        return True
    except pymysql.MySQLError:
        return False
