"""Adds up JUnit result files: a line a suite, the failures by name, and last "N passed, N failed".

Usage: summary.py DIRECTORY. Exit code 1 when anything failed, or when nothing was run at all.
"""
from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def cases_of(path: Path) -> list[tuple[str, str]]:
    """(name, outcome) of each test case; a file that cannot be read is a failure of its own."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        return [(f"{path.name}: {error}", "failed")]
    cases = []
    for case in root.iter("testcase"):
        name = ".".join(part for part in (case.get("classname"), case.get("name")) if part)
        if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
            cases.append((name, "failed"))
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            cases.append((name, "skipped"))
        else:
            cases.append((name, "passed"))
    return cases


def main(directory: str) -> int:
    passed = failed = 0
    for path in sorted(Path(directory).glob("*.xml")):
        cases = cases_of(path)
        count = {outcome: sum(1 for case in cases if case[1] == outcome) for outcome in ("passed", "failed", "skipped")}
        passed, failed = passed + count["passed"], failed + count["failed"]
        skipped = f", {count['skipped']} skipped" if count["skipped"] else ""
        print(f"{path.stem:10} {count['passed']} passed, {count['failed']} failed{skipped}")
        for name, outcome in cases:
            if outcome != "passed":
                print(f"           {outcome}: {name}")
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
