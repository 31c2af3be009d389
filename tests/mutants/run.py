#!/usr/bin/env python3
"""Puts known wrong behaviour back, a mutant at a time, and demands that the test named for it fails.

    cmake --preset release && ninja -C build/release turnout
    tests/mutants/run.py [--junit FILE] [--list] [NAME or TRAP …]

First every named test must pass with the binary as it is. Then, for each mutant, the changed files are compiled from a copy
below build/mutants and linked in front of the libraries of build/release, and only the named test runs. Neither the tree
nor build/release is written to, however the run ends. Says of each mutant: killed, SURVIVED, does not apply, does not build,
or broken test (it failed, but not in what it asserts); exits 1 for anything but killed.
"""
from __future__ import annotations

import argparse
import dataclasses
import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from mutant import Mutant
from mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "release"
PLACE = ROOT / "build" / "mutants"
PYTHON = "/usr/bin/python3"  # Debian's, as in ./dev: the drivers are Debian packages
TEST_S_MAX = 400


@dataclasses.dataclass(frozen=True)
class Outcome:
    word: str
    detail: str  # of a kill the test's own words, of anything else what went wrong


class NotPossible(Exception):
    """The mutant cannot be made: its text is not there once, or does not compile."""

    def __init__(self, word: str, detail: str) -> None:
        super().__init__(detail)
        self.word, self.detail = word, detail


# ---- building --------------------------------------------------------------------------------------------------------

def ninja_commands() -> list[str]:
    done = subprocess.run(["ninja", "-C", str(BUILD), "-t", "commands", "turnout"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}{done.stderr}\nfirst: cmake --preset release && ninja -C build/release turnout")
    return [line for line in done.stdout.splitlines() if line and not line.startswith("ninja:")]


def compile_command(commands: list[str], file: str, source: Path, target: Path) -> list[str]:
    """The build's own command for that file, of another source and another target."""
    of_file = [words for words in map(shlex.split, commands) if words[-1] == str(ROOT / file) and "-c" in words]
    if len(of_file) != 1:
        raise NotPossible("does not apply", f"{file} is not compiled exactly once in build/release: name a .cpp of the binary")
    words = of_file[0]
    for option, value in (("-MF", f"{target}.d"), ("-MT", str(target)), ("-o", str(target)), ("-c", str(source))):
        words[words.index(option) + 1] = value
    return words


def link_command(commands: list[str], objects: list[Path], target: Path) -> list[str]:
    """What is linked first is found first, so the archives' own objects of these names are left where they are."""
    words = shlex.split(commands[-1].removeprefix(": && ").removesuffix(" && :"))
    at = words.index("-o")
    words[at + 1] = str(target)
    return words[:at] + [str(one) for one in objects] + words[at:]


def call(words: list[str]) -> None:
    done = subprocess.run(words, cwd=BUILD, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotPossible("does not build", (done.stdout + done.stderr)[-3000:])


def mutated(mutant: Mutant) -> dict[str, str]:
    texts: dict[str, str] = {}
    for edit in mutant.edits:
        text = texts.get(edit.file) or (ROOT / edit.file).read_text()
        count = text.count(edit.old)
        if count != 1:
            raise NotPossible("does not apply", f"{edit.file} has this text {count} times, not once:\n{edit.old}")
        texts[edit.file] = text.replace(edit.old, edit.new)
    return texts


def build(mutant: Mutant, commands: list[str], place: Path) -> Path:
    objects = []
    for number, (file, text) in enumerate(mutated(mutant).items()):
        source = place / f"{number}_{Path(file).name}"
        source.write_text(text)
        objects.append(source.with_suffix(".o"))
        call(compile_command(commands, file, source, objects[-1]))
    binary = place / "turnout"
    call(link_command(commands, objects, binary))
    return binary


# ---- testing ---------------------------------------------------------------------------------------------------------

def run_tests(tests: list[str], binary: Path, place: Path) -> tuple[ElementTree.Element | None, str]:
    """The test cases as pytest reports them, and what it said. A process group of its own: nothing of it stays behind."""
    report = place / "report.xml"
    report.unlink(missing_ok=True)
    process = subprocess.Popen([PYTHON, "-m", "pytest", "-p", "no:cacheprovider", "-q", f"--junitxml={report}", *tests], cwd=ROOT,
                               env=os.environ | {"TURNOUT_BINARY": str(binary)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace", start_new_session=True)
    try:
        said, _ = process.communicate(timeout=TEST_S_MAX * len(tests))
    except BaseException as error:
        process.terminate()  # its fixtures stop servers and remove what they made
        try:
            said, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said = ""
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
    try:
        return ElementTree.parse(report).getroot(), said
    except (OSError, ElementTree.ParseError):
        return None, said


def reason(failure: ElementTree.Element) -> str:
    """One line: what the test says, and where."""
    first = (failure.get("message") or "").split("\n", 1)[0]
    places = re.findall(r"^(?:\S+/)?(test_\w+\.py:\d+): ", failure.text or "", re.MULTILINE)
    return f"{first[:150]} ({places[-1] if places else '?'})"


def verdict(mutant: Mutant, binary: Path, place: Path) -> Outcome:
    root, said = run_tests([mutant.test], binary, place)
    cases = [] if root is None else list(root.iter("testcase"))
    if len({case.get("name") for case in cases}) != 1:
        return Outcome("broken test", said[-2000:])
    # A mutant that also kills Turnout fails twice: in the test, and in a case of its own behind it.
    failures = [failure for case in cases for failure in case.iter("failure")]
    if failures:
        return Outcome("killed", reason(failures[0]))
    if any(case.find("error") is not None for case in cases):  # before or after the test: that would fail for any reason
        return Outcome("broken test", said[-2000:])
    return Outcome("SURVIVED", f"{mutant.test} does not notice: {mutant.wrong}")


def check_unmutated(mutants: list[Mutant], place: Path) -> dict[str, Outcome]:
    """Of each test, before anything is changed: a test that fails anyway kills nothing."""
    tests = sorted({mutant.test for mutant in mutants})
    root, said = run_tests(tests, BUILD / "turnout", place)
    passed = set() if root is None else {case.get("name") for case in root.iter("testcase") if len(case.findall("*")) ==
                                         len(case.findall("system-out") + case.findall("system-err") + case.findall("properties"))}
    outcomes = {test: Outcome("passes", "") if test.split("::")[-1] in passed else Outcome("FAILS", said[-4000:]) for test in tests}
    return outcomes


# ---- saying ----------------------------------------------------------------------------------------------------------

def write_junit(file: Path, unmutated: dict[str, Outcome], outcomes: dict[str, Outcome]) -> None:
    suite = ElementTree.Element("testsuite", name="mutants")
    for kind, results, good in (("unmutated", unmutated, "passes"), ("mutants", outcomes, "killed")):
        for name, outcome in results.items():
            case = ElementTree.SubElement(suite, "testcase", classname=kind, name=name)
            if outcome.word != good:
                ElementTree.SubElement(case, "failure", message=outcome.word).text = outcome.detail
    file.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(file, encoding="unicode")


def chosen(words: list[str]) -> list[Mutant]:
    if not words:
        return MUTANTS
    found = [mutant for mutant in MUTANTS if mutant.name in words or mutant.trap in words]
    unknown = set(words) - {mutant.name for mutant in found} - {mutant.trap for mutant in found}
    if unknown:
        sys.exit(f"no mutant or trap: {' '.join(sorted(unknown))}; --list says what there is")
    return found


def work(mutants: list[Mutant]) -> tuple[dict[str, Outcome], dict[str, Outcome]]:
    commands = ninja_commands()
    unmutated = check_unmutated(mutants, PLACE)
    for test, outcome in unmutated.items():
        print(f"unmutated {test.split('::')[-1]}: {outcome.word}\n{outcome.detail}".rstrip(), flush=True)
    outcomes: dict[str, Outcome] = {}
    for mutant in mutants:
        began = time.monotonic()
        try:
            if unmutated[mutant.test].word != "passes":
                raise NotPossible("broken test", f"{mutant.test} fails without the mutant")
            # Each mutant has a place of its own, and always the same: ccache knows a file by its path.
            place = PLACE / mutant.name
            place.mkdir(exist_ok=True)
            outcome = verdict(mutant, build(mutant, commands, place), place)
        except NotPossible as problem:
            outcome = Outcome(problem.word, problem.detail)
        finally:
            shutil.rmtree(PLACE / mutant.name, ignore_errors=True)
        outcomes[mutant.name] = outcome
        print(f"trap {mutant.trap:8} {mutant.name:38} {outcome.word:14} {time.monotonic() - began:4.0f} s  {outcome.detail}", flush=True)
    return unmutated, outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--junit", type=Path)
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("names", nargs="*", metavar="NAME or TRAP")
    arguments = parser.parse_args()
    mutants = chosen(arguments.names)
    if arguments.list:
        for mutant in mutants:
            print(f"trap {mutant.trap:8} {mutant.name:38} {mutant.wrong}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    PLACE.mkdir(parents=True, exist_ok=True)
    with open(PLACE / "lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another run is at work in {PLACE}")
        with tempfile.TemporaryDirectory(prefix="turnout-mutants-") as template:
            Path(template).chmod(0o755)  # the servers run as another user when we are root
            os.environ["TURNOUT_E2E_TEMPLATE"] = template
            unmutated, outcomes = work(mutants)
    if arguments.junit:
        write_junit(arguments.junit, unmutated, outcomes)
    killed = sum(outcome.word == "killed" for outcome in outcomes.values())
    print(f"{killed} of {len(outcomes)} mutants killed")
    return 0 if killed == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
