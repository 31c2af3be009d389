"""`turnout compare` after the writer has moved: green is right then, and blue follows."""
from __future__ import annotations

from harness.ledger import Ledger
from harness.turnout import REFUSED


def test_the_former_writer_is_compared_with_the_new_one(fresh) -> None:  # type: ignore[no-untyped-def]
    turnout, pair = fresh.turnout, fresh.pair
    turnout.ask("prepare", "app")
    assert turnout.ask("compare", "app", timeout_s=120)["outcome"] == "equal"
    ledger = Ledger(turnout.conninfo(), kinds=("extended",)).start()
    cut = turnout.ask("cutover", "app", timeout_s=120)
    assert cut["comparison"]["outcome"] == "equal", "the report says what was compared before"
    ledger.stop()
    back = turnout.ask("compare", "app", timeout_s=120)
    assert back["outcome"] == "equal" and back["writer"] == "green", back
    pair.blue.sql("UPDATE notes SET body = 'by hand' WHERE id = 7")
    found = turnout.ask("compare", "app", "--table", "notes", timeout_s=120, expect=REFUSED)
    assert [(row["kind"], row["key"], row["columns"]) for row in found["differing"]] == [("differs", {"id": "7"}, ["body"])]
    pair.blue.sql("DELETE FROM notes WHERE id = 8")
    found = turnout.ask("compare", "app", "--table", "notes", timeout_s=120, expect=REFUSED)
    assert {row["kind"] for row in found["differing"]} == {"differs", "only_on_green"}
