"""The ramp that climbs by itself, and steps back by itself when green is worse."""
from __future__ import annotations

import json
import threading
import time
from typing import Any, Callable, Iterator

import psycopg
import pytest

from harness.load import Pgbench
from harness.pair import Pair
from harness.turnout import CONFLICT, Turnout, USAGE

CHANGES: dict[str, Any] = {"ramp": {"ladder": [20, 50, 100], "hold_time": "2s", "samples": 100}}


def wait_for(turnout: Turnout, what: str, is_so: Callable[[dict[str, Any]], bool], timeout_s: float = 60) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    while True:
        ramp = turnout.rest(f"/v1/deployments/{turnout.deployment}/ramp")[1]
        if is_so(ramp):
            return dict(ramp)
        assert time.monotonic() < deadline, f"not {what} after {timeout_s} s: {json.dumps(ramp)[:3000]}\n{turnout.log_tail()}"
        time.sleep(0.1)


@pytest.fixture(autouse=True)
def back_to_zero(turnout: Turnout) -> Iterator[None]:
    yield
    if not turnout.alive():
        turnout.start()
    turnout.ask("shift", "app", "0")


def load(turnout: Turnout, mode: str = "prepared") -> Pgbench:
    return Pgbench(turnout.port, turnout.home, mode=mode, script="select-only", clients=10, rate=400, seconds=600)


def test_climbs_pauses_and_goes_on_after_a_restart(turnout: Turnout) -> None:
    first = load(turnout)
    turnout.ask("ramp", "start", "app")
    assert turnout.cli("ramp", "start", "app", "--yes").code == CONFLICT, "it is on already"
    ramp = wait_for(turnout, "on the second step", lambda r: r["percent"] == 50)
    turnout.ask("ramp", "pause", "app")
    time.sleep(3)  # longer than a step
    ramp = wait_for(turnout, "paused", lambda r: r["phase"] == "paused")
    assert ramp["percent"] == 50
    assert ramp["green"]["reads"] > 0 and ramp["control"]["reads"] > 0
    assert any("select abalance from pgbench_accounts where aid = " in shape["shape"] for shape in ramp["shapes"]), ramp["shapes"]
    assert first.stop().clean()

    turnout.kill9()
    turnout.start()
    ramp = wait_for(turnout, "where it was", lambda r: r["percent"] == 50)
    assert ramp["phase"] == "paused"
    second = load(turnout, "simple")
    turnout.ask("ramp", "resume", "app")
    wait_for(turnout, "at the top", lambda r: r["phase"] == "top" and r["percent"] == 100)
    turnout.ask("ramp", "abort", "app")
    assert turnout.status()["ramp_percent"] == 0
    assert second.stop().clean()
    assert turnout.cli("ramp", "resume", "app", "--yes").code == CONFLICT
    table = turnout.cli("ramp", "show", "app")
    assert table.code == 0 and "select abalance from" in table.stdout, table
    assert turnout.cli("ramp", "jump", "app", "--yes").code == USAGE


def test_waits_for_samples_and_says_so(turnout: Turnout) -> None:
    turnout.ask("ramp", "start", "app")
    ramp = wait_for(turnout, "waiting for reads", lambda r: "reads on green" in r["waiting_for"])
    assert ramp["percent"] == 20 and ramp["phase"] == "climbing"
    assert "reads on green" in turnout.status()["ramp_waiting_for"]


def test_a_weight_set_by_hand_ends_the_climb(turnout: Turnout) -> None:
    turnout.ask("ramp", "start", "app")
    turnout.ask("shift", "app", "30")
    ramp = wait_for(turnout, "off", lambda r: r["phase"] == "off")
    assert ramp["percent"] == 30


class Readers:
    """Sessions that read one row of a table in a loop; simple and extended protocol."""

    def __init__(self, turnout: Turnout, sql: str, sessions: int = 8, pace_s: float = 0.01) -> None:
        self.errors: list[str] = []
        self.reads = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(turnout, sql, pace_s, None if i % 2 else 0), daemon=True)
                         for i in range(sessions)]
        for thread in self._threads:
            thread.start()

    def _run(self, turnout: Turnout, sql: str, pace_s: float, prepare: int | None) -> None:
        try:
            with turnout.connect() as connection:
                connection.prepare_threshold = prepare
                number = 0
                while not self._stop.is_set():
                    number += 1
                    connection.execute(sql.format(1 + number % 10)).fetchall()
                    self.reads += 1
                    time.sleep(pace_s)
        except psycopg.Error as error:
            self.errors.append(repr(error))

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)


@pytest.mark.smoke
def test_a_new_error_on_green_steps_back_at_once(turnout: Turnout, pair: Pair) -> None:
    """A column that somebody took from green: the first read that fails there is answered by blue, and ends the ramp."""
    readers = Readers(turnout, "SELECT tid, 'secret' FROM pgbench_tellers WHERE tid = {}")
    turnout.ask("shift", "app", "50")
    wait_for(turnout, "reading on green", lambda r: r["green"]["reads"] > 20)
    before = turnout.metrics()
    began = time.monotonic()
    pair.green.sql("REVOKE SELECT ON pgbench_tellers FROM app")
    try:
        ramp = wait_for(turnout, "stepped back", lambda r: r["phase"] == "stepped_back")
        took = time.monotonic() - began
    finally:
        pair.green.sql("GRANT SELECT ON pgbench_tellers TO app")
    readers.stop()
    assert not readers.errors, readers.errors[:3]
    back = ramp["last_step_back"]
    assert (back["kind"], back["sqlstate"], back["percent"]) == ("error_class", "42501", 50)
    assert back["shape"] == "select tid, ? from pgbench_tellers where tid = ?"
    assert back["green"]["errors"] >= 1 and back["control"]["errors"] == 0
    status = turnout.status()
    assert status["ramp_percent"] == 0 and "42501" in status["ramp_step_back"]
    after = turnout.metrics()
    assert after['turnout_ramp_step_backs_total{deployment="app"}'] == before['turnout_ramp_step_backs_total{deployment="app"}'] + 1
    audit = json.dumps(turnout.ask("audit"))
    assert "step back" in audit and "secret" not in audit
    print(f"stepped back {took:.2f} s after the first chance to fail")
    assert took < 10

    # Nothing but an operator begins again.
    assert turnout.cli("ramp", "resume", "app", "--yes").code == CONFLICT
    turnout.ask("ramp", "start", "app")
    assert turnout.status()["ramp_percent"] == 20


def test_a_dropped_index_steps_back(turnout: Turnout, pair: Pair) -> None:
    pair.blue.sql("CREATE TABLE big (id int PRIMARY KEY, filler text)")
    pair.blue.sql("INSERT INTO big SELECT n, repeat('x', 20) FROM generate_series(1, 400000) n")
    pair.green.sql("CREATE TABLE big (id int, filler text)")  # somebody forgot its key
    pair.green.sql("INSERT INTO big SELECT n, repeat('x', 20) FROM generate_series(1, 400000) n")
    for side in pair.sides.values():
        side.sql("GRANT SELECT ON big TO app")
        side.sql("VACUUM ANALYZE big")
    pair.blue.sql("ALTER TABLE big OWNER TO app_owner")
    publication = pair.blue.value("SELECT pubname FROM pg_publication WHERE NOT puballtables LIMIT 1")
    pair.blue.sql(f"ALTER PUBLICATION {publication} ADD TABLE big")
    subscription = pair.green.value("SELECT subname FROM pg_subscription LIMIT 1")
    pair.green.sql(f"ALTER SUBSCRIPTION {subscription} REFRESH PUBLICATION WITH (copy_data = false)")
    pair.green.wait_for("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")
    readers = Readers(turnout, "SELECT filler FROM big WHERE id = {}", pace_s=0.02)
    turnout.ask("shift", "app", "50")
    ramp = wait_for(turnout, "stepped back", lambda r: r["phase"] == "stepped_back", timeout_s=90)
    readers.stop()
    pair.green.sql("ALTER TABLE big ADD PRIMARY KEY (id)")
    assert not readers.errors, readers.errors[:3]
    back = ramp["last_step_back"]
    assert back["kind"] == "latency" and "from big where id = " in back["shape"], back
    assert back["green"]["p95_ms"] > back["control"]["p95_ms"] * 1.25
    print(f"found after {back['green']['reads']} reads on green: {back['why']}")
    assert back["green"]["reads"] < 4000


def test_a_cutover_interrupts_the_climb(turnout: Turnout) -> None:
    turnout.ask("ramp", "start", "app")
    turnout.ask("cutover", "app", "--rehearse", timeout_s=90)
    ramp = wait_for(turnout, "interrupted", lambda r: r["phase"] == "interrupted")
    assert ramp["percent"] == 0
    turnout.ask("ramp", "resume", "app")
    assert turnout.status()["ramp_percent"] == 20
