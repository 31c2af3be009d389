#!/usr/bin/python3
"""The whole story in one command: two real servers, load, ramp, cutover, verification, rollback, verification, report.

Exits non-zero when a client saw an error, or when an acknowledged commit was lost or is there twice. Leaves nothing
behind, unless --keep asks for it.
"""
from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from demo_mysql import MysqlStory  # noqa: E402
from demo_postgres import PostgresStory  # noqa: E402
from harness.story import BOLD, PLAIN, RED, Failed  # noqa: E402
from harness.workspace import Workspace, exit_on_signals  # noqa: E402

STORIES = {"postgres": PostgresStory, "mysql": MysqlStory}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("protocol", nargs="?", choices=list(STORIES), default="postgres")
    arguments.add_argument("--keep", action="store_true", help="leave the servers and Turnout running")
    options = arguments.parse_args()
    exit_on_signals()
    began = time.monotonic()
    workspace = Workspace()
    workspace.outlive = options.keep
    demo, failure = STORIES[options.protocol](workspace), ""
    try:
        try:
            demo.run()
        except (Failed, AssertionError, TimeoutError) as error:
            failure = str(error)
        done = demo.load.stop() if hasattr(demo, "load") else ""
        good = hasattr(demo, "load") and demo.report(done, time.monotonic() - began) and not failure
        if failure:
            print(f"\n{RED}{BOLD}failed:{PLAIN} {failure}", flush=True)
        if hasattr(demo, "turnout") and demo.turnout.alive():
            demo.by_hand()
            if options.keep:
                demo.leave_running()
        return 0 if good else 1
    except KeyboardInterrupt:
        print("\ninterrupted: cleaning up", flush=True)
        return 130
    finally:
        workspace.close()


if __name__ == "__main__":
    sys.exit(main())
