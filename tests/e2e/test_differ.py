"""The differ itself: its corpus covers the protocol, leaves no trace, and it finds what differs."""
from __future__ import annotations

from pathlib import Path

import differ
from harness.pair import DATABASE, Pair

SCRIPTS = sorted(differ.CORPUS.glob("*.*"))


def test_the_corpus_covers_every_message(pair: Pair) -> None:
    """Of a client, as far as a session may send it, and of a server."""
    sent: set[str] = set()
    got: set[str] = set()
    for path in SCRIPTS:
        for script in differ.read_script(path):
            for step in script.steps:
                at = 0
                while at < len(step.data):
                    sent.add(chr(step.data[at]))
                    at += 1 + int.from_bytes(step.data[at + 1:at + 5], "big")
            if path.suffix == ".wire" or "[simple]" in script.name:
                for answers in differ.play(script, ("127.0.0.1", pair.blue.port), {"user": "postgres", "database": DATABASE}):
                    got |= {message.type for message in answers}
    assert set("QPBDECHSFdcf") <= sent
    assert set("RSKZTDCE123nNtsIGHdcAV") <= got, sorted(got)
    assert len(SCRIPTS) >= 40


def test_the_differ_finds_a_difference(pair: Pair, tmp_path: Path) -> None:
    """Of two servers that do differ: what it calls equal is worth something."""
    (tmp_path / "version.sql").write_text("SHOW server_version\n\nSELECT 1\n")
    scripts = list(differ.read_script(tmp_path / "version.sql"))
    parameters = {"user": "postgres", "database": DATABASE}
    blue, green = ("127.0.0.1", pair.blue.port), ("127.0.0.1", pair.green.port)
    assert not differ.compare(scripts[0], blue, blue, parameters)
    if pair.green_major != pair.blue.major:
        assert differ.compare(scripts[0], blue, green, parameters)
    other = differ.read_script(tmp_path / "version.sql").__next__()
    other.steps[1].data = differ.message(b"Q", differ.cstring("SELECT 2"))
    assert differ.differences(other, differ.play(scripts[0], blue, parameters), differ.play(other, blue, parameters))


def test_a_script_gives_the_same_twice(pair: Pair) -> None:
    """On one server, on 15 and on 18: a script cleans up behind itself, and nothing of it depends on the time."""
    for server in pair.sides.values():
        address = ("127.0.0.1", server.port)
        found: list[str] = []
        for path in SCRIPTS:
            for script in differ.read_script(path):
                if server.major >= script.major:
                    found += differ.compare(script, address, address, {"user": "postgres", "database": DATABASE})
        assert not found, "\n".join(found)
