"""The tree is clean, and each check can fail: a planted bad file for every rule, and a good one for none."""
from __future__ import annotations

from pathlib import Path

import pytest

import style

ROOT = Path(__file__).resolve().parents[2]
HEADER = "// A lamp: what it is for, what is always true.\n#pragma once\n"


def findings_with(tmp_path: Path, name: str, text: str) -> list[str]:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return [str(finding) for finding in style.findings_of(tmp_path)]


def test_the_tree_is_clean() -> None:
    assert [str(finding) for finding in style.findings_of(ROOT)] == []


def test_the_tree_was_really_read() -> None:
    folders = {file.folder for file in style.files_of(ROOT) if file.is_module_source}
    assert folders == set(style.MAY_INCLUDE)


@pytest.mark.parametrize("folder", style.MAY_INCLUDE)
def test_a_good_header_passes(tmp_path: Path, folder: str) -> None:
    below = "".join(f'#include "{name}/lamp.h"\n' for name in sorted(style.MAY_INCLUDE[folder] | {folder}))
    text = f"{HEADER}\n#include <vector>\n\n{below}\nnamespace turnout::{folder} {{\n// steady_clock is not used\n}}\n"
    assert findings_with(tmp_path, f"{folder}/lamp.h", text) == []


UPWARD = [(folder, other) for folder in style.MAY_INCLUDE for other in style.MAY_INCLUDE
          if other != folder and other not in style.MAY_INCLUDE[folder]]


@pytest.mark.parametrize("folder,other", UPWARD)
def test_an_include_against_the_arrows_is_found(tmp_path: Path, folder: str, other: str) -> None:
    text = f'#include "{other}/lamp.h"\nnamespace turnout::{folder} {{}}\n'
    findings = findings_with(tmp_path, f"{folder}/lamp.cpp", text)
    assert len(findings) == 1 and f"{folder}/ must not include {other}/" in findings[0]


def test_only_main_may_include_everything(tmp_path: Path) -> None:
    text = '#include "control/lamp.h"\n#include "proxy/lamp.h"\nint main() {}\n'
    assert findings_with(tmp_path, "proxy/main.cpp", text) == []


PLANTED = [
    ("conf/a.cpp", "#include <thread>\nnamespace turnout::conf {}\n", "<thread> in conf/, which is pure"),
    ("drain/a.cpp", "#include <mutex>\nnamespace turnout::drain {}\n", "<mutex> in drain/, which is pure"),
    ("protocol/pg/a.cpp", "#include <sys/socket.h>\nnamespace turnout::protocol::pg {}\n", "<sys/socket.h> in protocol/"),
    ("router/a.cpp", "#include <spdlog/spdlog.h>\nnamespace turnout::router {}\n", "<spdlog/spdlog.h> in router/"),
    ("router/a.cpp", "#include <boost/asio/post.hpp>\nnamespace turnout::router {}\n", "<boost/asio/post.hpp> in router/"),
    ("drain/a.cpp", "namespace turnout::drain {\nauto now = std::chrono::steady_clock::now();\n}\n",
     "drain/a.cpp:2: steady_clock in drain/"),
    ("conf/a.cpp", "namespace turnout::conf {\n/* two\nlines */ auto r = std::random_device{}();\n}\n",
     "conf/a.cpp:3: random_device in conf/"),
    ("conf/a.h", "#pragma once\nnamespace turnout::conf {}\n", "a header begins with a comment"),
    ("conf/a.h", "// A lamp that is always burning.\nnamespace turnout::conf {}\n", "#pragma once follows"),
    ("conf/a.cpp", "namespace turnout::router {}\n", "namespace turnout::router; the folder's is turnout::conf"),
    ("conf/a.cpp", "namespace turnout::confuse {}\n", "namespace turnout::confuse; the folder's is turnout::conf"),
    ("conf/a.cpp", "int lamp;\n", "declares nothing in namespace turnout::conf"),
    ("conf/a.cpp", '#include "a.h"\nnamespace turnout::conf {}\n', "by its path from the root"),
    ("conf/a.cpp", '#include "lib/a.h"\nnamespace turnout::conf {}\n', "lib/ is no folder of the architecture"),
    ("conf/a.cpp", "namespace turnout::conf {}\n" + "\n" * 600, "601 lines"),
    ("bench/a.py", "\n" * 601, "601 lines"),
    ("conf/a.cpp", "namespace turnout::conf {}  // TO" "DO later\n", "finish it"),
    ("tests/a.py", "# FIX" "ME\n", "finish it"),
    ("README.md", "see /ho" "me/someone/turnout\n", "is a path of somebody's machine"),
    ("dev", "cd /wo" "rk/main\n", "is a path of somebody's machine"),
]


@pytest.mark.parametrize("name,text,wanted", PLANTED)
def test_a_planted_file_is_found(tmp_path: Path, name: str, text: str, wanted: str) -> None:
    findings = findings_with(tmp_path, name, text)
    assert len(findings) == 1 and wanted in findings[0]


@pytest.mark.parametrize("planted", [True, False])
def test_the_program_says_so_with_its_exit_code(tmp_path: Path, planted: bool) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/a.cpp").write_text("int lamp;\n" if planted else "namespace turnout::conf {}\n")
    assert style.main(tmp_path) == (1 if planted else 0)
