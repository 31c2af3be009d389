"""The mariadb command line, or mysql's (DRIVER_CLI): everything as text, several statements in one run, Ctrl-C, files, its own commands."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

from common import Program, in_parallel, wait_until

SHARED = json.loads(Path(os.environ["DRIVER_STATEMENTS"]).read_text())
# The words that the client and the dump begin with, and the options of each.
CLI = json.loads(os.environ.get("DRIVER_CLI", '{"client": ["mariadb", "--no-defaults"], "dump": ["mariadb-dump", "--no-defaults"]}'))
LOGIN = ["-h", os.environ["MYSQL_HOST"], "-P", os.environ["MYSQL_PORT"], "-u", os.environ["MYSQL_USER"], f"-p{os.environ['MYSQL_PASSWORD']}", "--default-character-set=utf8mb4"]
COMMAND = [*CLI["client"], *LOGIN]
DATABASE = os.environ["MYSQL_DATABASE"]


def client(*options: str, text: str = "", database: str = DATABASE) -> list[Any]:
    done = subprocess.run([*COMMAND, *options, database], input=text, capture_output=True, text=True, errors="backslashreplace", timeout=60, check=False)
    return [done.stdout.splitlines(), done.stderr.splitlines(), done.returncode]


program = Program("mariadb-cli", lambda: None, lambda connection: None)


def add_texts(name: str, texts: list[str]) -> None:
    # --force goes on after an error, -vv says how many rows, -T types would say their flags.
    said = "".join(f"{text} //\n" for text in texts if text)
    program.add(name, lambda _: client("--force", "-vv", "--show-warnings", "--delimiter=//", text=said))


for _name, _texts in SHARED["scenarios"].items():
    add_texts(_name, _texts)


@program.scenario()
def types(_: Any) -> Any:
    return client("--column-type-info", "--force", text="".join(f"SELECT {value} AS v, HEX({value}) AS h;\n" for value in SHARED["values"]))


@program.scenario()
def typed_rows(_: Any) -> Any:
    return [client(option, "-e", "SELECT * FROM typed ORDER BY id") for option in ("--column-type-info", "--xml", "--html", "--vertical", "--binary-as-hex")]


@program.scenario()
def several_in_one_text(_: Any) -> Any:
    """With a delimiter of its own the text goes to the server as one."""
    return [client("--delimiter=//", text=text) for text in ("SELECT 1; SELECT 'ä'; DO 1; SELECT 3 //", "SELECT 1; SELECT nonsense; SELECT 2 //\nSELECT 'not reached' //",
                                                             "CALL two_results(); SELECT 1 //", "BEGIN; SELECT in_transaction() // SELECT in_transaction() // ROLLBACK //")]


@program.scenario()
def own_commands(_: Any) -> Any:
    return [client(text="use other\nSELECT DATABASE();\ncharset latin1\nSELECT @@character_set_client;\nwarnings\nSELECT 1/0;\nprompt x\ndelimiter $$\nSELECT 5$$\n"),
            client(text="connect other\nSELECT DATABASE();\nresetconnection\nSELECT DATABASE();\n"), client("--quick", "-e", "SELECT SUM(seq) FROM seq_1_to_1000; SELECT seq FROM seq_1_to_5000"),
            client("--skip-column-names", "--raw", "-e", "SELECT 'a\\nb'"), client("--init-command=SET @first = 3", "-e", "SELECT @first"),
            client("--safe-updates", "-e", "DELETE FROM items"), client("--compress", "-e", "SELECT 1"), client("--abort-source-on-error", "-e", "SELECT 1; SELECT nonsense; SELECT 2"),
            client("-e", "SELECT 1", database="no_such_database"), client("--password=wrong", "-e", "SELECT 1"), client("--ssl-verify-server-cert", "-e", "SELECT 1")[2] != 0]


@program.scenario()
def large(_: Any) -> Any:
    """Five and seventeen megabytes of text in one statement, and back."""
    seen = []
    for size in (5_000_000, 17_000_000):
        body = "0123456789" * (size // 10)
        written = client("--max-allowed-packet=64M", text=f"REPLACE INTO large VALUES (1, '{body}');\n")
        read = client("--max-allowed-packet=64M", "--quick", "--skip-column-names", "-e", "SELECT MD5(body), body FROM large")
        seen.append([written, read[0][0].split("\t")[0], read[0][0].split("\t")[1] == body, read[1:]])
    return seen + client("-e", "TRUNCATE TABLE large")


@program.scenario()
def kill(_: Any) -> Any:
    """Ctrl-C: the client asks for KILL QUERY on a connection of its own, and goes on."""
    text = "SELECT SLEEP(30), 'victim of the command line'"
    victim = subprocess.Popen([*COMMAND, "--force", "-v", DATABASE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert victim.stdin is not None
    victim.stdin.write(f"{text};\nSELECT 'usable';\n")
    victim.stdin.flush()
    running = wait_until(lambda: client("--skip-column-names", "-e", f"SELECT COUNT(*) FROM information_schema.processlist WHERE info = \"{text}\"")[0] == ["1"])
    victim.send_signal(signal.SIGINT)
    out, _err = victim.communicate(timeout=40)
    return [running, re.sub(r'QUERY \d+"', 'QUERY its number"', out).splitlines(), victim.returncode]


@program.scenario()
def dump(_: Any) -> Any:
    """mariadb-dump in one transaction, and what it wrote, read again."""
    client(text="TRUNCATE TABLE items; INSERT INTO items VALUES (1, 'Größe ≠ 漢字 🙂'), (2, NULL);")
    words = [*CLI["dump"], *LOGIN, "--single-transaction", "--skip-dump-date", "--no-tablespaces", "--hex-blob", DATABASE, "items", "typed"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    other = done.stdout.replace("`typed`", "`typed_again`").replace("`items`", "`items_again`")
    return [done.stdout.splitlines(), done.stderr, done.returncode, client(text=other), client("-e", "CHECKSUM TABLE typed, typed_again, items, items_again; DROP TABLE typed_again, items_again")]


@program.scenario()
def parallel(_: Any) -> Any:
    def session(number: int) -> Any:
        lines = [f"SET sort_buffer_size = {1024 * (100 + number)}, time_zone = '+{number % 13:02}:00';"]
        lines += [f"SELECT @@sort_buffer_size, @@time_zone, {turn} * {number}; BEGIN; REPLACE INTO entries (id, name) VALUES ({1000 + number}, {turn}); COMMIT;" for turn in range(10)]
        return client("--skip-column-names", text="\n".join([*lines, f"SELECT name FROM entries WHERE id = {1000 + number};"]))

    return in_parallel(session)


program.main()
