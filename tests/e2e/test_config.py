"""The command line at its edges: exit codes, and a configuration that names all its mistakes at once."""
from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.turnout import CONFLICT, DENIED, DONE, INVALID, UNREACHABLE, USAGE, Turnout, binary, yaml
from harness.workspace import free_port


def run(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(binary()), *words], capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL, **more)


def good(home: Path) -> dict[str, Any]:
    return {"deployments": {"app": {"protocol": "postgres", "listen": [f"127.0.0.1:{free_port()}"], "blue": "127.0.0.1:5431",
                                    "green": "127.0.0.1:5432", "admin": {"user": "turnout"}, "auth": "trust",
                                    "pool": {"mode": "transaction", "size": 20}}},
            "control": {"listen": f"127.0.0.1:{free_port()}", "state_dir": str(home / "state")}}


def check(home: Path, config: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    file = home / "turnout.yaml"
    file.write_text(yaml(config))
    return run("check", "-c", str(file))


def test_a_good_file(tmp_path: Path) -> None:
    assert check(tmp_path, good(tmp_path)).returncode == DONE


@pytest.mark.smoke
def test_all_mistakes_at_once(tmp_path: Path) -> None:
    config = good(tmp_path)
    app = config["deployments"]["app"]
    app["lisen"] = app.pop("listen")
    app["pool"]["size"] = "many"
    app["cutover"] = {"drain": "20s", "proof": "1s", "window": "5s"}
    app["green"] = app["blue"]
    answer = check(tmp_path, config)
    assert answer.returncode == INVALID
    text = answer.stdout + answer.stderr
    lines = [line for line in text.splitlines() if f"{tmp_path}/turnout.yaml:" in line]
    assert len(lines) >= 4, text
    for line in lines:
        position = line.split("turnout.yaml:")[1].split(":")
        assert position[0].isdigit() and position[1].isdigit(), line
    assert "lisen" in text and "listen" in text, "the nearest right name"
    assert "pool.size" in text and "window" in text


@pytest.mark.parametrize("name", ["two listeners on one port", "not YAML", "no such file", "unknown key"])
def test_refused_at_start_as_well(tmp_path: Path, name: str) -> None:
    config = good(tmp_path)
    second = copy.deepcopy(config["deployments"]["app"])
    file = tmp_path / "turnout.yaml"
    if name == "two listeners on one port":
        config["deployments"]["two"] = second
    if name == "unknown key":
        config["deployments"]["app"]["colour"] = "blue"
    if name != "no such file":
        file.write_text("deployments: [" if name == "not YAML" else yaml(config))
    for words in (("check", "-c", str(file)), ("run", "-c", str(file))):
        answer = run(*words)
        assert answer.returncode == INVALID, (words, answer.stdout, answer.stderr)
        assert "turnout.yaml" in answer.stdout + answer.stderr


def test_usage() -> None:
    for words in ((), ("nonsense",), ("shift", "app"), ("run",), ("cutover", "app", "--timeout", "soon", "--yes"),
                  ("cutover", "app", "--dry-run", "--rehearse", "--yes"), ("status", "-o", "xml")):
        answer = run(*words, "--control", f"http://127.0.0.1:{free_port()}") if words and words[0] != "nonsense" else run(*words)
        assert answer.returncode == USAGE, (words, answer.returncode, answer.stderr)
    assert run("--help").returncode == DONE
    version = run("version")
    assert version.returncode == DONE and version.stdout.strip()


def test_nobody_answers() -> None:
    answer = run("status", "--control", f"http://127.0.0.1:{free_port()}")
    assert answer.returncode == UNREACHABLE
    assert "127.0.0.1" in answer.stderr, "it says where it looked"


def test_token(workspace: Any, template: Any, pair: Any) -> None:
    token_file = pair.blue.home.parent / "token"
    token_file.write_text("s3cret-s3cret-s3cret\n")
    token_file.chmod(0o600)
    turnout = Turnout(workspace, pair, "guarded")
    turnout.config["control"]["token_file"] = str(token_file)
    turnout.write_config()
    turnout.start()
    assert turnout.cli("status").code == DENIED
    assert turnout.cli("status", "--token-file", str(token_file)).code == DONE
    wrong = token_file.with_name("wrong")
    wrong.write_text("guess\n")
    assert turnout.cli("shift", "app", "10", "--yes", "--token-file", str(wrong)).code == DENIED
    assert turnout.rest("/livez")[0] == 200 and turnout.rest("/v1/deployments")[0] in (401, 403)
    turnout.stop()


@pytest.mark.smoke
def test_questions_and_conflicts(turnout: Turnout) -> None:
    for verb in (("status",), ("pools",), ("clients",), ("blockers", "app"), ("audit",)):
        assert turnout.cli(*verb).code == DONE, verb
        json.dumps(turnout.ask(*verb))
    assert turnout.cli("rollback", "app", "--yes").code == CONFLICT, "there is nothing to go back to"
    assert turnout.cli("finish", "app", "--yes").code == CONFLICT
    unknown = turnout.cli("preflight", "nobody")
    assert unknown.code not in (DONE,) and "nobody" in unknown.stdout + unknown.stderr
    status, problem = turnout.rest("/v1/deployments/nobody")
    assert status == 404 and {"title", "status", "detail"} <= problem.keys()


def test_check_connects(turnout: Turnout, tmp_path: Path) -> None:
    assert run("check", "-c", str(turnout.config_file), "--connect").returncode == DONE
    config = copy.deepcopy(turnout.config)
    config["deployments"]["app"]["blue"] = f"127.0.0.1:{free_port()}"
    file = tmp_path / "turnout.yaml"
    file.write_text(yaml(config))
    answer = run("check", "-c", str(file), "--connect")
    assert answer.returncode != DONE and "blue" in answer.stdout + answer.stderr


def test_one_state_directory_for_one_process(turnout: Turnout) -> None:
    second = run("run", "-c", str(turnout.config_file))
    assert second.returncode not in (DONE, None)
    assert str(turnout.state_dir) in second.stdout + second.stderr or "listen" in second.stdout + second.stderr
    assert turnout.alive()


def test_pause_and_resume(turnout: Turnout) -> None:
    from concurrent.futures import ThreadPoolExecutor
    import time
    with turnout.connect() as connection, ThreadPoolExecutor(1) as threads:
        connection.execute("SELECT 1")
        turnout.ask("pause", "app")
        answer = threads.submit(lambda: connection.execute("SELECT 1").fetchone())
        time.sleep(0.5)
        assert not answer.done(), "work went on through a pause"
        turnout.ask("resume", "app")
        assert answer.result(5) == (1,)


def test_metrics(turnout: Turnout) -> None:
    with turnout.connect() as connection:
        connection.execute("SELECT 1")
        samples = turnout.metrics()
    names = {key.split("{")[0] for key in samples}
    assert {"turnout_client_connections", "turnout_server_connections", "turnout_transactions_total", "turnout_writer",
            "turnout_ramp_ratio", "turnout_cutover_phase", "turnout_held_sessions"} <= names, names
    assert samples['turnout_writer{deployment="app",side="blue"}'] == 1
