"""One driver of the matrix, and a family of them: how each program is made and started, what it needs, what it shows."""
from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

E2E = Path(__file__).resolve().parent.parent
MODES = ("transaction", "session")
PYTHON = "/usr/bin/python3"
GO = "env GOPATH=/usr/share/gocode GO111MODULE=off GOCACHE={cache} go build -o {out}/program"  # as Debian packages its libraries


@dataclass(frozen=True)
class Driver:
    name: str
    command: tuple[str, ...]
    scenarios: tuple[str, ...]
    family: Family
    needs: tuple[str, ...] = ()  # files or programs without which it cannot run
    environment: dict[str, str] = field(default_factory=dict)
    loops: bool = False  # has a part in the moves
    seconds: int = 3     # about, of one run; a plain run chooses by it
    sources: tuple[str, ...] = ()  # of a program that is compiled, and how; {out} is where it goes
    compiler: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """What of its needs is not on this machine."""
        return [need for need in self.needs if not _is_there(need)]

    def environment_of(self, port: int) -> dict[str, str]:
        """What its program is told, above all where the server is."""
        common = {"PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        return common | self.family.server(port) | self.environment


def _is_there(need: str) -> bool:
    if need.startswith("python:"):
        # The tests run in the interpreter that the programs run in.
        return importlib.util.find_spec(need.removeprefix("python:")) is not None
    return Path(need).exists() if "/" in need else shutil.which(need) is not None


@dataclass(frozen=True)
class Family:
    """The drivers of one kind of server: where their programs are, and by which variables they find the server."""

    folder: Path
    server: Callable[[int], dict[str, str]]

    def driver(self, name: str, command: str, scenarios: str, needs: str, **more: object) -> Driver:
        """{here} in the command is the folder."""
        words = tuple(word.replace("{here}", str(self.folder)) for word in command.split())
        return Driver(name, words, tuple(scenarios.split()), self, tuple(needs.split()), **more)  # type: ignore[arg-type]

    def python(self, name: str, program: str, scenarios: str, *modules: str, **more: object) -> Driver:
        return self.driver(name, f"{PYTHON} {{here}}/{program}", scenarios, " ".join(f"python:{module}" for module in modules), **more)

    def node(self, name: str, program: str, scenarios: str, *modules: str, **more: object) -> Driver:
        return self.driver(name, f"node {{here}}/{program}", scenarios,
                           " ".join(["node", *(str(E2E / "node_modules" / module) for module in modules)]), **more)

    def compiled(self, name: str, command: str, compiler: str, sources: str, scenarios: str, needs: str, **more: object) -> Driver:
        return self.driver(name, command, scenarios, needs, sources=tuple(sources.split()), compiler=tuple(compiler.split()), **more)
