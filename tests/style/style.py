"""Checks of the source tree that no compiler makes: who includes whom, what pure code may touch, how a file begins.

Usage: style.py [ROOT]. Prints one line a finding, `file:line: what is wrong`, and exits 1 if there is any.
"""
from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

# The arrows of the architecture: a folder, and what it may include besides itself.
MAY_INCLUDE: dict[str, set[str]] = {
    "protocol": set(),
    "conf": set(),
    "router": {"conf", "protocol"},
    "drain": {"router", "conf", "protocol"},
    "proxy": {"drain", "router", "conf", "protocol"},
    "control": {"proxy", "drain", "router", "conf", "protocol"},
}
# proxy/main.cpp wires everything and is the one file above its folder.
MAIN = "proxy/main.cpp"

PURE = {"protocol", "conf", "router", "drain"}
# What makes code impure, as headers and as words. conf reads files (load.cpp, files.cpp), which is its job.
IMPURE_HEADER = re.compile(
    r"^(thread|mutex|shared_mutex|condition_variable|future|atomic|semaphore|latch|barrier|stop_token|random|ctime|time\.h|"
    r"unistd\.h|fcntl\.h|poll\.h|pthread\.h|netdb\.h|sys/(socket|epoll|un|time|select|ioctl|mman)\.h|netinet/.*|arpa/.*|"
    r"boost/(asio|beast|thread|chrono)\b.*|spdlog/.*|prometheus/.*|libpq-fe\.h|ares\.h|openssl/ssl\.h)$")
IMPURE_WORD = re.compile(
    r"\b(system_clock|steady_clock|high_resolution_clock|clock_gettime|gettimeofday|random_device|"
    r"this_thread|thread_local|std::cout|std::cerr|std::clog|printf|getenv|::time\s*\()")

LINES_MAX = 600
# Written in two halves so that this file passes its own check.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
MACHINE_PATH = re.compile(r"/(work|home|root)/" r"[a-z]")

LOCAL_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
SYSTEM_INCLUDE = re.compile(r"^\s*#\s*include\s+<([^>]+)>")
NAMESPACE = re.compile(r"^\s*(?:inline\s+)?namespace\s+(turnout[\w:]*)\s*\{")

SOURCES = {".h", ".cpp"}
TEXTS = SOURCES | {".py", ".md", ".txt", ".cmake", ".yaml", ".yml", ".json", ".sh", ".html", ".js", ".css", ""}


@dataclass(frozen=True)
class Finding:
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@dataclass(frozen=True)
class File:
    path: str  # from the root, with slashes
    lines: list[str]

    @property
    def folder(self) -> str:
        return self.path.split("/")[0]

    @property
    def suffix(self) -> str:
        return Path(self.path).suffix

    @property
    def is_module_source(self) -> bool:
        return self.folder in MAY_INCLUDE and self.suffix in SOURCES


def code_of(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Numbered lines without comments and string literals, so that prose about a clock is not a clock."""
    in_comment = False
    for number, line in enumerate(lines, 1):
        if in_comment:
            if "*/" not in line:
                continue
            line, in_comment = line.split("*/", 1)[1], False
        line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
        line = re.sub(r"/\*.*?\*/", "", line)
        line = line.split("//", 1)[0]
        if "/*" in line:
            line, in_comment = line.split("/*", 1)[0], True
        yield number, line


def include_direction(file: File) -> Iterator[Finding]:
    if not file.is_module_source or file.path == MAIN:
        return
    allowed = MAY_INCLUDE[file.folder] | {file.folder}
    for number, line in enumerate(file.lines, 1):
        match = LOCAL_INCLUDE.match(line)
        if not match:
            continue
        target = match.group(1).split("/")[0]
        if "/" not in match.group(1) or match.group(1).startswith("."):
            yield Finding(file.path, number, f'include "{match.group(1)}" by its path from the root')
        elif target not in MAY_INCLUDE:
            yield Finding(file.path, number, f"{target}/ is no folder of the architecture")
        elif target not in allowed:
            yield Finding(file.path, number, f"{file.folder}/ must not include {target}/ (architecture: arrows point down)")


def purity(file: File) -> Iterator[Finding]:
    if not file.is_module_source or file.folder not in PURE:
        return
    for number, line in enumerate(file.lines, 1):
        match = SYSTEM_INCLUDE.match(line)
        if match and IMPURE_HEADER.match(match.group(1)):
            yield Finding(file.path, number, f"<{match.group(1)}> in {file.folder}/, which is pure: values in, values out")
    for number, line in code_of(file.lines):
        match = IMPURE_WORD.search(line)
        if match:
            yield Finding(file.path, number, f"{match.group(1)} in {file.folder}/, which is pure: values in, values out")


def header_beginning(file: File) -> Iterator[Finding]:
    if not file.is_module_source or file.suffix != ".h":
        return
    if not file.lines or not file.lines[0].startswith("// ") or len(file.lines[0]) < 20:
        yield Finding(file.path, 1, "a header begins with a comment that says what it is for")
    first_code = next((number for number, line in enumerate(file.lines, 1) if line.strip() and not line.startswith("//")), 1)
    if not file.lines or file.lines[first_code - 1].strip() != "#pragma once":
        yield Finding(file.path, first_code, "#pragma once follows the first comment")


def length(file: File) -> Iterator[Finding]:
    if file.suffix in SOURCES | {".py"} and len(file.lines) > LINES_MAX:
        yield Finding(file.path, LINES_MAX + 1, f"{len(file.lines)} lines; a file is one noun, at most {LINES_MAX} lines")


def finished(file: File) -> Iterator[Finding]:
    for number, line in enumerate(file.lines, 1):
        match = UNFINISHED.search(line)
        if match and file.suffix in SOURCES | {".py", ".cmake", ".sh"}:
            yield Finding(file.path, number, f"{match.group(1)}: finish it or write it into the changelog as missing")


def no_machine_path(file: File) -> Iterator[Finding]:
    for number, line in enumerate(file.lines, 1):
        match = MACHINE_PATH.search(line)
        if match:
            yield Finding(file.path, number, f"{match.group(0)}… is a path of somebody's machine")


def namespace(file: File) -> Iterator[Finding]:
    if not file.is_module_source or file.path == MAIN:
        return
    wanted = f"turnout::{file.folder}"
    found = [(number, match.group(1)) for number, line in enumerate(file.lines, 1) if (match := NAMESPACE.match(line))]
    if not found:
        yield Finding(file.path, 1, f"declares nothing in namespace {wanted}")
    for number, name in found:
        if name != wanted and not name.startswith(wanted + "::"):
            yield Finding(file.path, number, f"namespace {name}; the folder's is {wanted}")


CHECKS: list[Callable[[File], Iterator[Finding]]] = [
    include_direction, purity, header_beginning, length, finished, no_machine_path, namespace]


def files_of(root: Path) -> Iterator[File]:
    """What git tracks or would track; in a bare directory, everything."""
    listing = subprocess.run(["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             capture_output=True, text=True, check=False)
    if listing.returncode == 0:
        paths = [Path(name) for name in listing.stdout.split("\0") if name]
    else:
        paths = [path.relative_to(root) for path in root.rglob("*")]
    for path in sorted(set(paths)):
        if path.suffix not in TEXTS or not (root / path).is_file():
            continue
        text = (root / path).read_text(encoding="utf-8", errors="replace")
        yield File(path.as_posix(), text.splitlines())


def findings_of(root: Path) -> list[Finding]:
    return [finding for file in files_of(root) for check in CHECKS for finding in check(file)]


def main(root: Path) -> int:
    findings = findings_of(root)
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]))
