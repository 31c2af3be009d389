"""Several runs at once that divide the tests among them: who is free takes the next file, or the next cells of a matrix.

What is taken is a file of that name in the directory that all of them were given (`--share`). Nobody plans ahead, so a run
that is slow takes less; every test is run by exactly one of them, and stands in its results only.
"""
from __future__ import annotations

import collections
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

CELLS = 20  # of a matrix, taken at once


class Share:
    def __init__(self, directory: Path, kind_of: Callable[[Any], str]) -> None:
        self._directory, self._kind_of = directory, kind_of
        self._known: dict[str, bool] = {}
        self._cells: collections.Counter[str] = collections.Counter()

    def run(self, session: pytest.Session) -> bool:
        """As pytest's own loop, of what is ours."""
        ours = self._ours(session)
        item = next(ours, None)
        while item is not None:
            following = next(ours, None)  # what it shares with this one is not made anew
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
            item = following
        return True

    def _ours(self, session: pytest.Session) -> Iterator[Any]:
        return (item for item in session.items if self._take(self._portion_of(item)))

    def _portion_of(self, item: Any) -> str:
        """Tests of one file stay together and in order: they share servers, and some say that they must be the last."""
        file = item.nodeid.split("::")[0].replace("/", "_")
        if self._kind_of(item) not in ("matrix", "faults"):
            return file
        self._cells[file] += 1
        return f"{file}-{(self._cells[file] - 1) // CELLS}"

    def _take(self, portion: str) -> bool:
        if portion not in self._known:
            try:
                (self._directory / portion).touch(exist_ok=False)
                self._known[portion] = True
            except FileExistsError:
                self._known[portion] = False
        return self._known[portion]
