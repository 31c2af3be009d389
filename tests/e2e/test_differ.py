"""Every script of the corpus gives the same messages directly and through Turnout, on both servers, in both pool modes."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import differ
from harness.pair import DATABASE, Pair
from harness.turnout import Turnout

POOL = 3
SCRIPTS = sorted(differ.CORPUS.glob("*.*"))


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("side", ["blue", "green"])
def test_no_message_differs(other_turnout: Any, pair: Pair, side: str, mode: str) -> None:
    server = pair.sides[side]
    swapped = {} if side == "blue" else {"blue": f"127.0.0.1:{pair.green.port}", "green": f"127.0.0.1:{pair.blue.port}"}
    turnout: Turnout = other_turnout({"pool": {"mode": mode, "size": POOL}, **swapped})
    parameters = {"user": "postgres", "database": DATABASE}
    found: list[str] = []
    for path in SCRIPTS:
        for script in differ.read_script(path):
            if server.major < script.major:
                continue
            crowd = differ.Crowd(("127.0.0.1", turnout.port), parameters, POOL) if mode == "transaction" else None
            found += differ.compare(script, ("127.0.0.1", server.port), ("127.0.0.1", turnout.port), parameters, crowd)
            if crowd is not None:
                crowd.close()
    assert not found, "\n".join(found)


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
