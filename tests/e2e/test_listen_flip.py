"""LISTEN across a cutover and a rollback: no notification is lost, none comes twice, and nobody is in the way."""
from __future__ import annotations

import pytest

from harness.listening import Ear, Listeners, Senders
from harness.turnout import Turnout
from harness.waiting import eventually


def move_under_load(turnout: Turnout, times: int) -> None:
    listeners = Listeners(turnout.conninfo(), "flow", 6)
    senders = Senders(turnout.conninfo(), "flow", 4)
    for _ in range(times):
        for verb in ("cutover", "rollback"):
            before = sum(senders.sent)
            report = turnout.ask(verb, "app")
            assert report["outcome"] == "committed" and report["client_errors"] == 0, report
            eventually(lambda: sum(senders.sent) > before + 50 or bool(senders.errors), "notifications after the flip")
    sent = senders.stop()
    assert not senders.errors, senders.errors
    listeners.assert_heard_all(sent)


@pytest.mark.smoke
def test_every_notification_once_through_cutover_and_rollback(fresh) -> None:  # type: ignore[no-untyped-def]
    move_under_load(fresh.turnout, 1)


@pytest.mark.soak
def test_many_moves(fresh) -> None:  # type: ignore[no-untyped-def]
    move_under_load(fresh.turnout, 6)


@pytest.mark.parametrize("fresh", [{"pool": {"mode": "session", "size": 20}}], indirect=True)
def test_session_pooling(fresh) -> None:  # type: ignore[no-untyped-def]
    move_under_load(fresh.turnout, 1)


def test_idle_listeners_are_no_blockers(fresh) -> None:  # type: ignore[no-untyped-def]
    """And what is listened to, or no longer, while the other side is the writer counts there."""
    turnout = fresh.turnout
    with Ear(turnout.conninfo(), "stays", "goes") as ear, turnout.connect() as sender:
        assert all(check["verdict"] != "FAIL" for check in turnout.ask("preflight", "app")["checks"]
                   if check["name"] == "unmovable_sessions")
        assert [blocker for blocker in turnout.ask("blockers", "app")["blockers"] if blocker["kind"] == "unmovable_session"] == []
        turnout.ask("cutover", "app")
        ear.run("UNLISTEN goes")
        ear.run("LISTEN comes")
        eventually(lambda: not any(client["side"] for client in turnout.ask("clients")["clients"]), "it is the hub's")
        sender.execute("NOTIFY stays, '1'; NOTIFY goes, 'no'; NOTIFY comes, '2'")
        ear.wait("1", "2")
        turnout.ask("rollback", "app")
        sender.execute("NOTIFY stays, '3'; NOTIFY goes, 'no'; NOTIFY comes, '4'")
        ear.wait("3", "4")


def test_an_aborted_cutover_changes_nothing(fresh) -> None:  # type: ignore[no-untyped-def]
    turnout = fresh.turnout
    listeners = Listeners(turnout.conninfo(), "flow", 4)
    senders = Senders(turnout.conninfo(), "flow", 3)
    report = turnout.ask("cutover", "app", "--rehearse")
    assert report["outcome"] == "rehearsed", report
    eventually(lambda: sum(senders.sent) > 100 or bool(senders.errors), "notifications")
    sent = senders.stop()
    assert not senders.errors, senders.errors
    listeners.assert_heard_all(sent)


def test_the_new_servers_version_is_told(fresh) -> None:  # type: ignore[no-untyped-def]
    """Drivers decide by server_version: a session that lives through the flip hears of the new one's."""
    turnout, sides = fresh.turnout, fresh.pair.sides
    with turnout.connect() as connection:
        for verb, side in ((None, "blue"), ("cutover", "green"), ("rollback", "blue")):
            if verb:
                turnout.ask(verb, "app")
            connection.execute("SELECT 1")
            shown = sides[side].value("SHOW server_version")
            assert connection.info.parameter_status("server_version") == shown
