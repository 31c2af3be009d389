#!/usr/bin/env python3
"""Runs the fuzz targets one after the other, with recorded conversations as their first inputs.

    cmake --preset fuzz && ninja -C build/fuzz fuzz_targets
    tests/fuzz/run.py [--build build/fuzz] [--seconds 20] [target …]
Inputs that were found interesting stay in BUILD/corpus and are used again. Exits 1 if any target found something, and
prints the one command that repeats it.
"""
import argparse
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden" / "pg15"
SQL = ["SELECT 1", "SET LOCAL a.b = 'x'", "BEGIN READ ONLY; SELECT set_config('a','b',false); COMMIT AND CHAIN",
       "SELECT e'\\'' 'x', $a$ $$ $a$, U&\"x\" /* /* */ */ -- c\n FROM t", "CREATE TEMP TABLE t AS SELECT 1",
       "create function f() begin atomic select case when a then b end; end", "prepare p as select pg_advisory_lock(1)"]
USERLISTS = ['"ann" "secret"\n; comment\n"b""ob" "md54d45974e13472b5a0be3533de4666414"\n',
             '"c" "SCRAM-SHA-256$4096:r5BwfXu+fncWcOzPY0WmtA==$CGOrLRijhmij29Zxzoe0HmxuypayCPDfDhmar1uASmE=:'
             'd5FFIfTbJZevKa3JrkD/hr8xMNNb7F/InY9PON5CilE="']

HBA = ['local all all peer\nhost "a b",all +x 10.0.0.0/8 md5 # comment\nhostssl sameuser ann ::1/128 cert clientcert=verify-full\n',
       'hostnossl replication repl 192.168.0.0 255.255.0.0 scram-sha-256\nhost all all all reject\n']


def streams():
    """(name, from client, startup packets, messages) of each recording and direction."""
    for file in sorted(GOLDEN.glob("*.txt")):
        for arrow in "><":
            lines = [line for line in file.read_text().splitlines() if line.startswith(arrow)]
            raw = [(bytes.fromhex(line.split()[1]), line.endswith("StartupMessage")) for line in lines]
            yield (file.stem, arrow == ">", b"".join(r for r, first in raw if first),
                   b"".join(r for r, first in raw if not first))


def mysql_packets():
    """(from client, name, number and payload) of each packet in the recordings of MySQL and MariaDB."""
    for folder in ("mariadb10", "mysql97"):
        for file in sorted((GOLDEN.parent / folder).glob("*.txt")):
            for line in file.read_text().splitlines():
                if line[0] in "<>":
                    yield line[0] == ">", file.stem, bytes.fromhex(line[2:])[3:]


def mysql_seeds(target):
    if target == "mysql_wire":
        return [bytes([kind]) + packet[1:] for _, _, packet in mysql_packets() if len(packet) < 500 for kind in (1, 2)]
    if target == "mysql_login":
        logins = {}
        for from_client, name, packet in mysql_packets():
            if name.startswith("login_") and len(packet) < 250:
                number = b"" if from_client else packet[:1]
                logins[name, from_client] = logins.get((name, from_client), b"") + number + bytes([len(packet) - 1]) + packet[1:]
        return [bytes([flags | from_client]) + raw for (_, from_client), raw in logins.items() for flags in (2, 4, 22)]
    answers = {}
    for from_client, name, packet in mysql_packets():
        code = 0 if from_client else 0x40 + min(len(packet) - 1, 31)
        answers[name] = answers.get(name, b"") + bytes([code]) + (b"" if from_client else packet[1:32])
    return [bytes([flags]) + raw for raw in answers.values() for flags in (0, 1, 9)]


def seeds(target):
    if target.startswith("mysql_"):
        return mysql_seeds(target)
    if target == "state_watch":
        return [sql.encode() for sql in SQL]
    if target == "hba":
        return [rules.encode() for rules in HBA]
    if target == "userlist":
        return [text.encode() for text in USERLISTS]
    found = []
    for name, from_client, startup, messages in streams():
        is_login = name.startswith("login_")
        if target == "client_login" and from_client and is_login:
            found += [bytes([flags]) + messages for flags in (2, 6 + 1, 18)]
        if target == "server_login" and not from_client and is_login:
            found += [bytes([flags]) + messages for flags in (1, 2, 9, 25)]
        if target == "wire":
            found += [startup, messages]
    return [seed for seed in found if seed]


def run(binary, target, corpus, seconds):
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed_{number}").write_bytes(seed)
    command = [str(binary), str(corpus), f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=8192",
               "-verbosity=0", "-print_final_stats=1", f"-artifact_prefix={corpus.parent}/{target}-"]
    if target == "state_watch":
        command.append(f"-dict={HERE / 'sql.dict'}")
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    runs = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
    print(f"{target:15} {'clean' if done.returncode == 0 else 'FOUND'} {runs[0] if runs else '?'} runs", flush=True)
    if done.returncode != 0:
        print(done.stderr[-4000:])
        for line in done.stderr.splitlines():
            if "Test unit written to" in line:
                print(f"repeat: {binary} {line.split()[-1]}")
    return done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=HERE.parent.parent / "build" / "fuzz")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("targets", nargs="*")
    arguments = parser.parse_args()
    folder = arguments.build / "tests" / "fuzz"
    binaries = {path.name.removesuffix("_fuzz"): path for path in sorted(folder.glob("*_fuzz"))}
    wanted = arguments.targets or sorted(binaries)
    missing = [target for target in wanted if target not in binaries]
    if missing or not wanted:
        sys.exit(f"not built: {' '.join(missing) or 'any'}; first: ninja -C {arguments.build} fuzz_targets")
    results = [run(binaries[target], target, arguments.build / "corpus" / target, arguments.seconds) for target in wanted]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
