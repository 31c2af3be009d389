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

from demo_mysql import Mysql97Story, MysqlStory  # noqa: E402
from demo_postgres import PostgresStory  # noqa: E402
from harness.story import BOLD, PLAIN, RED, Failed  # noqa: E402
from harness.workspace import Workspace, exit_on_signals  # noqa: E402

STORIES = {"postgres": PostgresStory, "mysql": MysqlStory}
SERVERS = {"mariadb": MysqlStory, "mysql": Mysql97Story}  # of `mysql`


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("protocol", nargs="?", choices=list(STORIES), default="postgres")
    arguments.add_argument("--keep", action="store_true", help="leave the servers and Turnout running")
    arguments.add_argument("--server", choices=list(SERVERS), default=None, help="of the mysql story (mariadb)")
    options = arguments.parse_args()
    if options.server and options.protocol != "mysql":
        arguments.error("--server is for the mysql story")
    exit_on_signals()
    began = time.monotonic()
    workspace = Workspace()
    workspace.outlive = options.keep
    story = SERVERS[options.server] if options.server else STORIES[options.protocol]
    demo, failure = story(workspace), ""
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
