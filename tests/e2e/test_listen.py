"""LISTEN and NOTIFY in transaction pooling: as on a connection of one's own, without keeping one."""
from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import asyncpg
import psycopg
import pytest

from harness.listening import Ear, Listeners, Senders
from harness.pair import Pair
from harness.turnout import Turnout
from harness.waiting import eventually

POOL = 3
CHANGES = {"pool": {"mode": "transaction", "size": POOL}}


def clients(turnout: Turnout) -> list[dict[str, Any]]:
    return list(turnout.ask("clients")["clients"])


def pinned(turnout: Turnout) -> list[str]:
    return [client["pinned_by"] for client in clients(turnout) if client["pinned_by"]]


def leased(turnout: Turnout) -> int:
    return sum(1 for client in clients(turnout) if client["side"])


@pytest.mark.smoke
def test_more_listeners_than_connections(turnout: Turnout) -> None:
    """Each hears all, none of them keeps a server connection, and others go on working."""
    ears = [Ear(turnout.conninfo(), "crowd") for _ in range(POOL * 4)]
    with turnout.connect() as sender:
        for number in range(20):
            sender.execute(f"NOTIFY crowd, '{number}'")
        for ear in ears:
            ear.wait(*(str(number) for number in range(20)))
        eventually(lambda: leased(turnout) == 0, "all connections are free")
        assert pinned(turnout) == []
    for ear in ears:
        ear.close()


@pytest.mark.smoke
def test_what_was_committed_after_the_answer_is_heard(turnout: Turnout) -> None:
    """Each round listens anew while notifications run: from the answer on none is missing, none comes twice."""
    senders = Senders(turnout.conninfo(), "stream", 2, pause_s=0.0)
    with turnout.connect() as witness:
        for _ in range(15):
            with Ear(turnout.conninfo(), "stream") as ear:
                # Committed after the answer to LISTEN, hence behind everything that may or may not be heard.
                for number in range(3):
                    witness.execute(f"NOTIFY stream, '9:{number}'")
                eventually(lambda: (ear.look(0.05), "9:2" in ear.payloads)[1], "the last one is heard")
                for sender in range(2):
                    numbers = [int(payload[2:]) for payload in ear.payloads if payload.startswith(f"{sender}:")]
                    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True, numbers
                assert [payload for payload in ear.payloads if payload.startswith("9:")] == ["9:0", "9:1", "9:2"]
    senders.stop()
    assert not senders.errors


@pytest.mark.smoke
def test_channels_of_many_are_taken_over_at_once(other_turnout: Callable[..., Turnout]) -> None:
    """Whoever marks the queue hears the others' marks too: only his own is where his backend's part ends."""
    turnout = other_turnout({"pool": {"mode": "transaction", "size": 30}})
    senders = Senders(turnout.conninfo(), "stream", 4, pause_s=0.0)
    ears = [Ear(turnout.conninfo()) for _ in range(20)]

    def listen_a_while(ear: Ear) -> None:
        ear.run("LISTEN stream")
        until = time.monotonic() + 0.1
        while time.monotonic() < until:
            ear.look(0.02)
        ear.run("UNLISTEN stream")

    with ThreadPoolExecutor(len(ears)) as threads:
        for _ in range(10):
            list(threads.map(listen_a_while, ears))
            for ear in ears:
                for sender in range(4):
                    numbers = [int(payload[2:]) for payload in ear.payloads if payload.startswith(f"{sender}:")]
                    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True, numbers
                ear.heard.clear()
    senders.stop()
    assert not senders.errors
    for ear in ears:
        ear.close()


@pytest.mark.smoke
def test_every_notification_once_and_in_order(turnout: Turnout) -> None:
    listeners = Listeners(turnout.conninfo(), "load", POOL * 2)
    senders = Senders(turnout.conninfo(), "load", 4)
    eventually(lambda: sum(senders.sent) > 400 or bool(senders.errors), "400 notifications are sent")
    sent = senders.stop()
    assert not senders.errors
    listeners.assert_heard_all(sent)


def test_names_are_the_servers(turnout: Turnout) -> None:
    long_name = "a" * 70
    with Ear(turnout.conninfo(), "Folded", '"Quoted.Name"', '"with ""quote"', long_name) as ear, turnout.connect() as sender:
        for channel in ("folded", "FOLDED", '"Folded"', '"Quoted.Name"', '"with ""quote"', "a" * 63):
            sender.execute(f"NOTIFY {channel}, 'x'")
        sender.execute("SELECT pg_notify('end', ''), pg_notify('folded', 'last')")
        ear.wait("x", "x", "x", "x", "x", "last")
        ear.run("UNLISTEN FOLDED")
        ear.run(f"UNLISTEN {long_name}")
        sender.execute(f"NOTIFY folded, 'no'; NOTIFY {long_name[:63]}, 'no'; NOTIFY \"Quoted.Name\", 'yes'")
        ear.wait("yes")


@pytest.mark.smoke
def test_transactions_decide(turnout: Turnout) -> None:
    with Ear(turnout.conninfo(), "kept") as ear, turnout.connect() as sender:
        ear.run("BEGIN")
        ear.run("LISTEN rolled_back")
        ear.run("UNLISTEN kept")
        ear.run("ROLLBACK")
        ear.run("BEGIN; LISTEN committed; SAVEPOINT s; LISTEN undone; UNLISTEN kept; ROLLBACK TO s; COMMIT")
        eventually(lambda: leased(turnout) == 0, "the channels are the hub's")
        sender.execute("NOTIFY rolled_back, 'no'; NOTIFY undone, 'no'; NOTIFY kept, 'kept'; NOTIFY committed, 'committed'")
        ear.wait("kept", "committed")
        with pytest.raises(psycopg.errors.DivisionByZero):
            ear.run("LISTEN failed; SELECT 1/0")
        ear.run("BEGIN; UNLISTEN kept; COMMIT")
        sender.execute("NOTIFY failed, 'no'; NOTIFY kept, 'no'; NOTIFY committed, 'yes'")
        ear.wait("yes")
        eventually(lambda: leased(turnout) == 0, "all connections are free")


def test_nothing_arrives_inside_a_transaction(turnout: Turnout) -> None:
    with Ear(turnout.conninfo(), "quiet") as ear, turnout.connect() as sender:
        ear.run("BEGIN")
        sender.execute("NOTIFY quiet, 'one'")
        sender.execute("NOTIFY quiet, 'two'")
        for _ in range(5):
            ear.run("SELECT pg_sleep(0.05)")
            assert ear.heard == []
        ear.run("COMMIT")
        ear.wait("one", "two")


def test_unlisten_all_and_discard_all(turnout: Turnout) -> None:
    with turnout.connect() as sender:
        for goodbye in ("UNLISTEN *", "DISCARD ALL"):
            with Ear(turnout.conninfo(), "one", "two") as ear:
                # Between two channels the order is the server's once both have been taken over (README, "not guaranteed").
                eventually(lambda: leased(turnout) == 0, "both are the hub's")
                sender.execute("NOTIFY one, '1'; NOTIFY two, '2'")
                ear.wait("1", "2")
                ear.run(goodbye)
                sender.execute("NOTIFY one, 'no'; NOTIFY two, 'no'")
                ear.run("LISTEN two")
                sender.execute("NOTIFY one, 'no'; NOTIFY two, 'yes'")
                ear.wait("yes")
    eventually(lambda: leased(turnout) == 0, "all connections are free")


def test_listening_again_brings_nothing_twice(turnout: Turnout) -> None:
    with Ear(turnout.conninfo(), "again", "again") as ear, turnout.connect() as sender:
        for number in range(20):
            ear.run("LISTEN again")
            sender.execute(f"NOTIFY again, '{number}'")
        ear.wait(*(str(number) for number in range(20)))
        ear.run("BEGIN; UNLISTEN again; LISTEN again; COMMIT")
        sender.execute("NOTIFY again, 'last'")
        ear.wait("last")


@pytest.mark.smoke
def test_unlisten_while_the_channel_is_being_taken_over(turnout: Turnout) -> None:
    """At each moment of it: what is notified then comes to nobody, and its answer does not wait for it."""
    with turnout.connect(connect_timeout=10) as connection:
        connection.execute("SET statement_timeout = '20s'")
        for moment in range(400):
            channel = f"short_{moment % 7}"
            connection.execute(f"LISTEN {channel}")
            if moment % 5:
                time.sleep(moment % 40 / 10_000)
            if moment % 3 == 0:
                connection.execute("SELECT 1")
            connection.execute(f"UNLISTEN {channel}")
            connection.execute(f"NOTIFY {channel}, '{moment}'")
        connection.execute("SELECT pg_sleep(0.2)")
        assert connection.pgconn.notifies() is None
    eventually(lambda: not pinned(turnout), "nothing is left of it")


def test_own_notifications_carry_the_own_pid(turnout: Turnout) -> None:
    """Sessions compare the pid with their own to know their own ones; a trigger's count as well."""
    with Ear(turnout.conninfo(), "mine") as first, Ear(turnout.conninfo(), "mine") as second, turnout.connect() as stranger:
        for round_ in range(10):
            if round_ == 5:
                eventually(lambda: leased(turnout) == 0, "the channel is the hub's")
            first.run("SELECT pg_notify('mine', 'first')")
            second.run("NOTIFY mine, 'second'")
            stranger.execute("NOTIFY mine, 'stranger'")
            for ear in (first, second):
                eventually(lambda: (ear.look(0.05), len(ear.heard) >= 3)[1], f"three are heard in round {round_}")
                pids = {payload: pid for _, payload, pid in ear.heard}
                for payload, its in (("first", first), ("second", second)):
                    if ear is its or round_ >= 5:
                        assert pids[payload] == its.pid
                    else:
                        assert pids[payload] != ear.pid
                assert pids["stranger"] not in (first.pid, second.pid)
                ear.heard.clear()


@pytest.mark.smoke
def test_own_notifications_are_there_with_the_answer(turnout: Turnout) -> None:
    """As from a server: before it is ready again. psql looks just then, and not again."""
    with Ear(turnout.conninfo(), "own") as ear:
        for _ in range(2):
            for number in range(10):
                ear.run("NOTIFY own, 'alone'")
                ear.run(f"SELECT pg_notify('own', '{number}')")
                ear.run("BEGIN")
                ear.run("NOTIFY own, 'in a transaction'")
                assert ear.payloads == ["alone", str(number)]
                ear.run("COMMIT")
                assert ear.payloads == ["alone", str(number), "in a transaction"]
                ear.heard.clear()
                with pytest.raises(psycopg.errors.DivisionByZero):
                    ear.run("NOTIFY own, 'never'; SELECT 1/0")
                ear.run("BEGIN; NOTIFY own, 'never'; ROLLBACK")
                assert ear.heard == []
            eventually(lambda: leased(turnout) == 0, "the channel is the hub's")
        with ear.connection.pipeline():
            for number in range(20):
                ear.connection.execute("SELECT pg_notify('own', %s)", (str(number),))
        ear.wait(*(str(number) for number in range(20)))
        ear.run("NOTIFY own, 'heard'; UNLISTEN *")
        ear.run("NOTIFY own, 'unheard'")
        ear.run("SELECT 1")
        assert ear.payloads in ([], ["heard"])  # PostgreSQL itself says nothing here: UNLISTEN is done before it looks


def test_duplicates_in_one_transaction_are_one(turnout: Turnout) -> None:
    with Ear(turnout.conninfo(), "same") as ear, turnout.connect() as sender:
        sender.execute("BEGIN; NOTIFY same, 'a'; NOTIFY same, 'a'; NOTIFY same, 'b'; COMMIT")
        sender.execute("NOTIFY same, 'a'")
        ear.wait("a", "b", "a")


def test_asyncpg(turnout: Turnout) -> None:
    async def body() -> None:
        listener = await asyncpg.connect(host="127.0.0.1", port=turnout.port, user="app", database="app", ssl=False)
        sender = await asyncpg.connect(host="127.0.0.1", port=turnout.port, user="app", database="app", ssl=False)
        heard: asyncio.Queue[Any] = asyncio.Queue()
        callback: Callable[..., None] = lambda connection, pid, channel, payload: heard.put_nowait((channel, payload))
        await listener.add_listener("events", callback)
        for number in range(30):
            await sender.execute("SELECT pg_notify('events', $1)", str(number))
            if number % 3 == 0:  # extended protocol on the listening session meanwhile
                assert await listener.fetchval("SELECT $1::int", number) == number
        for number in range(30):
            assert await asyncio.wait_for(heard.get(), 20) == ("events", str(number))
        await listener.remove_listener("events", callback)
        await sender.execute("NOTIFY events, 'unheard'")
        assert await listener.fetchval("SELECT 1") == 1
        assert heard.empty()
        await listener.close(timeout=5)
        await sender.close(timeout=5)

    asyncio.run(body())


def test_a_lost_listening_connection_ends_its_sessions(turnout: Turnout, pair: Pair) -> None:
    """As with one's own server connection: what was missed cannot be known, so the session is told; a new one hears."""
    with Ear(turnout.conninfo(), "fragile") as ear, turnout.connect() as bystander:
        eventually(lambda: leased(turnout) == 0, "the channel is the hub's")
        ended = pair.blue.value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'app' "
                                "AND query LIKE 'LISTEN %%'")
        assert ended >= 1
        notices: list[str] = []
        ear.connection.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))

        def lost() -> bool:
            try:
                ear.look(0.05)  # what the server said last is read before anything is sent to where nobody listens
                ear.run("SELECT 1")
            except psycopg.OperationalError as error:
                ear.connection.pgconn.notifies()  # libpq takes an end that it did not ask for as a notice
                assert any("listened for this session" in text for text in (str(error), *notices)), (error, notices)
                return True
            return False

        eventually(lost, "the session is told")
        assert bystander.execute("SELECT 1").fetchone() == (1,)
        with Ear(turnout.conninfo(), "fragile") as again:
            bystander.execute("NOTIFY fragile, 'heard'")
            again.wait("heard")


def test_a_client_that_does_not_take_them_is_ended(other_turnout: Callable[..., Turnout]) -> None:
    turnout = other_turnout({"limits": {"notification_queue": "64KiB"}})
    with Ear(turnout.conninfo(), "flood") as ear, turnout.connect() as sender:
        eventually(lambda: leased(turnout) == 0, "the channel is the hub's")
        ear.run("BEGIN")
        for _ in range(20):
            sender.execute("SELECT pg_notify('flood', repeat('x', 7000))")

        # libpq takes an error that comes between two statements for a notice.
        said: list[str] = []
        ear.connection.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))

        def ended() -> bool:
            try:
                ear.run("SELECT 1")
            except psycopg.OperationalError as error:
                assert "notification_queue" in f"{error} {said}", (error, said)
                return True
            return False

        eventually(ended, "the session is ended")


def test_beyond_its_limits_a_session_keeps_its_connection(other_turnout: Callable[..., Turnout]) -> None:
    turnout = other_turnout({"limits": {"session_channels": 1}})
    with Ear(turnout.conninfo(), "one", "two") as ear, turnout.connect() as sender:
        eventually(lambda: pinned(turnout) == ["listen"], "the session is pinned")
        sender.execute("NOTIFY one, '1'")
        ear.wait("1")
        sender.execute("NOTIFY two, '2'")
        ear.wait("2")
        ear.run("UNLISTEN one")
        eventually(lambda: pinned(turnout) == [], "the session is free again")
        sender.execute("NOTIFY two, '2'")
        ear.wait("2")
