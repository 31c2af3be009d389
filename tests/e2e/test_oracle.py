"""What the router calls a read, another parser has to call a read as well."""
from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def opinions(texts: list[str]) -> list[str]:
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    ran = subprocess.run(["node", str(HERE / "oracle.mjs")], input=lines, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.split()
    assert len(said) == len(texts)
    return said


def corpus() -> list[tuple[str, str]]:
    rows = []
    for line in (ROOT / "tests/router/corpus.tsv").read_text().splitlines():
        if line and not line.startswith("#"):
            verdict, _, text = line.split("\t", 2)
            unescaped = text.replace("\\\\", "\0").replace("\\n", "\n").replace("\\r", "\r").replace("\0", "\\")
            rows.append((verdict, unescaped))
    return rows


def test_the_corpus() -> None:
    """`read_writer` is no write either. A write of the corpus may look harmless (it calls a function): only one direction counts."""
    rows = corpus()
    said = opinions([text for _, text in rows])
    counts = Counter(zip((verdict for verdict, _ in rows), said))
    print("corpus against sqlparser-rs:", dict(counts))
    wrong = [text for (verdict, text), opinion in zip(rows, said) if verdict == "read" and opinion == "write"]
    assert not wrong, wrong
    assert sum(count for (_, opinion), count in counts.items() if opinion != "unparsed") > len(rows) * 0.8
    assert sum(count for (verdict, opinion), count in counts.items() if verdict == "write" and opinion == "write") > 80


def test_generated_texts() -> None:
    """Pieces of the corpus spliced at random: what the classifier lets through of it."""
    program = ROOT / "build/release/tests/router_test"
    assert program.exists(), f"{program} is missing: ./dev build"
    ran = subprocess.run([str(program), "--gtest_also_run_disabled_tests", "--gtest_filter=classify.DISABLED_print_generated_reads"],
                         capture_output=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:]
    texts = []
    for line in ran.stdout.split(b"\n"):
        if line.startswith(b"READ "):
            texts.append(bytes.fromhex(line[5:].decode()).decode("utf-8", "replace"))
    assert len(texts) > 500, "the generator has stopped producing reads"
    said = opinions(texts)
    print(f"{len(texts)} generated texts that the router calls reads, against sqlparser-rs:", dict(Counter(said)))
    wrong = [text for text, opinion in zip(texts, said) if opinion == "write"]
    assert not wrong, wrong[:5]
    assert Counter(said)["read"] > len(texts) / 3
