"""The shadow at all that is read, and a cutover in the midst of it: nobody notices. A former writer is left alone until asked for."""
from __future__ import annotations

from typing import Any

from conftest import Fresh
from harness.checks import assert_no_errors, assert_report, assert_writer
from harness.ledger import Ledger
from harness.load import Pgbench
from harness.shadowed import report, wait_for_reads

CHANGES: dict[str, Any] = {"shadow": {"brackets": 2}}


def test_cutover_and_rollback_in_the_midst_of_shadow_reads(fresh: Fresh) -> None:
    turnout = fresh.turnout
    # Quick for clients; a shadow of it takes an age at times, so that one or two are at it whenever a hold begins.
    for side in fresh.pair.sides.values():
        side.sql("CREATE FUNCTION slow_shadow(n int) RETURNS int IMMUTABLE LANGUAGE sql AS "
                 "$$SELECT 1 FROM pg_sleep(CASE WHEN current_setting('statement_timeout') <> '0' AND random() < 0.05 THEN 5 ELSE 0 END)$$")
    turnout.ask("shadow", "app", "on", "100")
    script = turnout.home / "slow.sql"
    script.write_text("SELECT slow_shadow(aid) FROM pgbench_accounts WHERE aid = 7;\n")
    load = [Pgbench(turnout.port, turnout.home, mode=mode, script=name, clients=4, rate=rate, seconds=600)
            for mode, name, rate in (("prepared", "tpcb-like", 100), ("prepared", "select-only", 300), ("simple", "select-only", 100),
                                     ("extended", str(script), 5))]
    with Ledger(turnout.conninfo()) as ledger:
        found = wait_for_reads(turnout, "green", 500)
        assert found["different"] == 0 and found["failed"] == 0, [one for one in found["shapes"] if one["difference"]]
        for verb, former in (("cutover", "blue"), ("rollback", "green")):
            assert_report(turnout.ask(verb, "app"), verb)
            assert report(turnout)["standing_still"], "a former writer takes no reads before somebody asks for it"
            ledger.wait_commits(20)
            turnout.ask("shadow", "app", "on", "100")
            assert not report(turnout)["standing_still"]
            found = wait_for_reads(turnout, former, 200)
            assert found["different"] == 0 and found["failed"] == 0, [one for one in found["shapes"] if one["difference"]]
        with ledger.resting():
            assert_no_errors(ledger)
    for pgbench in load:
        result = pgbench.stop()
        assert result.clean(), result.errors[:5]
    assert_writer(fresh.pair, turnout, "blue")
