#!/usr/bin/python3
"""Turnout beside its peers and the floor, in one run, taking turns:
./dev bench [mysql [--server mysql]] [cpu|syscalls|memory|logins|ramp|shadow|instructions|cutover]…

Figures are for reading, not for passing: bench/README.md says how. Nothing here fails because a day is slow.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parent))

try:
    import cutover
    import ground
    import instructions
    import measure
    import mysql_cutover
    import peers
    import ramp
    import shadow
    from peers import Missing, Peer, say
    from report import cpu_tables, cutover_tables, login_table, memory_table, syscall_table

    from harness.workspace import Workspace, exit_on_signals
except ImportError as error:
    sys.exit(f"{error}: run `./dev setup` first, and this with /usr/bin/python3")

PARTS = ("cpu", "syscalls", "memory", "logins", "ramp", "shadow", "instructions", "cutover")
OWN_GROUND = ("ramp", "shadow", "instructions", "cutover")  # need a pair of servers
MYSQL_PARTS = ("cpu", "syscalls", "memory", "ramp", "shadow", "instructions", "cutover")


class Bench:
    """One server, the peers in front of it, and all results so far."""

    def __init__(self, workspace: Workspace, options: argparse.Namespace) -> None:
        self.options = options
        self.workspace = workspace
        self.ground: ground.Ground = options.ground
        self.starters = {name: start for name, start in self.ground.starters(options.workers).items()
                         if not options.targets or name in options.targets}
        self.left_out: dict[tuple[str, str], str] = {}  # (target, part) → why
        self.running: dict[str, Peer] = {}
        self.results: dict[str, list[dict[str, Any]]] = {}

    def start_server(self) -> None:
        self.server = self.ground.start_server(self.workspace)

    def start_peers(self, part: str) -> None:
        """Fresh ones for every part: what broke one part, or its memory, is not carried into the next."""
        for name in list(self.starters):
            self.attempt(name, part, lambda: self.running.update({name: self.fresh(name)}))

    def stop_peers(self) -> None:
        while self.running:
            self.running.popitem()[1].stop()

    def fresh(self, name: str) -> Peer:
        return self.starters[name](self.workspace, self.server)

    def attempt(self, name: str, part: str, measure_it: Callable[[], Any]) -> Any:
        """A peer that cannot be measured is left out of the rest of that part; the others go on."""
        if (name, part) in self.left_out:
            return None
        try:
            return measure_it()
        except (Missing, RuntimeError, OSError, subprocess.SubprocessError, AssertionError) as error:
            self.left_out[name, part] = str(error)
            say(f"{part}: {name} left out: {error}")
            if name in self.running:
                self.running.pop(name).stop()
            return None

    def run(self, part: str) -> None:
        if part == "syscalls" and not shutil.which("strace"):
            return say("syscalls: left out, no strace: `apt-get install strace`")
        if part != "memory":
            self.start_peers(part)
        getattr(self, part)()
        self.stop_peers()
        say(f"{part}: done")

    def turns(self, round_number: int, *, without: tuple[str, ...] = ()) -> list[str]:
        """Every peer once, another one first each round: what drifts, drifts for all of them."""
        names = [name for name in self.starters if name not in without]
        shift = round_number % len(names) if names else 0
        return names[shift:] + names[:shift]

    def keep(self, part: str, figures: dict[str, Any] | None, **labels: Any) -> None:
        if figures is not None:
            self.results.setdefault(part, []).append({**labels, **figures})

    def load(self, mode: str) -> measure.Load:
        return self.ground.loads[mode]()

    # ---- parts

    def cpu(self) -> None:
        options = self.options
        for round_number in range(options.rounds):
            for clients in options.clients:
                for mode in options.modes:
                    for name in self.turns(round_number):
                        figures = self.attempt(name, "cpu", lambda: measure.cpu(self.running[name], self.load(mode),
                                                                                        clients, options.seconds))
                        self.keep("cpu", figures, round=round_number, target=name, mode=mode, clients=clients)
            say(f"cpu: round {round_number + 1} of {options.rounds} done")

    def syscalls(self) -> None:
        for mode in self.options.modes:
            for name in self.turns(0, without=("direct",)):
                figures = self.attempt(name, "syscalls", lambda: measure.syscalls(self.running[name], self.load(mode)))
                self.keep("syscalls", figures, target=name, mode=mode)

    def memory(self) -> None:
        """Only where clients share server connections: behind the others, 2 000 clients are 2 000 servers."""
        for round_number in range(self.options.rounds):
            for name in self.turns(round_number, without=("direct", "relay", "haproxy")):
                self.keep("memory", self.attempt(name, "memory", lambda: self.memory_of(name)), round=round_number, target=name)

    def memory_of(self, name: str) -> dict[str, float]:
        peer = self.fresh(name)  # an allocator keeps what it once had
        try:
            return measure.memory(peer, self.ground.idle_client, self.options.idle_clients)
        finally:
            peer.stop()

    def logins(self) -> None:
        for round_number in range(self.options.rounds):
            for name in self.turns(round_number):
                figures = self.attempt(name, "logins", lambda: measure.logins(self.running[name], self.options.seconds))
                self.keep("logins", figures, round=round_number, target=name)

    def cutover(self) -> dict[str, Any]:
        options = self.options
        pair = options.ground.mysql_pair
        site = mysql_cutover.Ground(pair, options.durable) if pair else cutover.Ground(self.workspace, options.scale)
        chosen = [name for name in site.movers if not options.targets or name in options.targets]
        asked = {"rate": options.rate, "moves": options.moves, "window_s": options.window, "baseline_s": options.baseline}
        measured = site.options | {name: value for name, value in asked.items() if value is not None}
        return cutover.run(self.workspace, site, chosen, cutover.Options(
            runs=options.runs, workers=options.workers[0], cutover_arguments=options.cutover_args.split(), **measured))


def arguments() -> argparse.Namespace:
    def names(text: str) -> list[str]:
        return text.split(",")

    def numbers(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default: all. Behind the word mysql: "
                        f"{', '.join(MYSQL_PARTS)}, with sysbench")
    parser.add_argument("--server", choices=tuple(ground.MYSQL), default="mariadb",
                        help="of mysql: MariaDB 10.11, or MySQL 9.7 (./dev setup --mysql makes that), before which MySQL Router shares connections")
    parser.add_argument("--setup", action="store_true", help="make PgBouncer's Debian sid tree in .cache/sid, and end")
    parser.add_argument("--targets", type=names, help="only these, e.g. relay,pgbouncer,turnout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--clients", type=numbers, help="default: 1, 16, 64; of mysql 1, 8, 64")
    parser.add_argument("--modes", type=names, help="of pgbench: simple, extended, prepared; of mysql: text, prepared, read_write")
    parser.add_argument("--workers", type=numbers, default=[0, 1], help="of Turnout, each a target; 0 = its default, one a core")
    parser.add_argument("--idle-clients", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3, help="of cutovers, each with a fresh pair")
    parser.add_argument("--moves", type=int, help="of the writes in each run, to and fro; default: 1, of mysql 6")
    parser.add_argument("--rate", type=float, help="transactions a second in cutovers; default: half of what the machine does, of mysql 60")
    parser.add_argument("--pace", type=float, default=0, help="transactions a second in ramp and shadow, with and without; default: as many as go")
    parser.add_argument("--window", type=float, help="seconds of a cutover's window, at least; default: 4, of mysql 2")
    parser.add_argument("--baseline", type=float, help="seconds of load before each window; default: 12, of mysql 8")
    parser.add_argument("--durable", action="store_true", help="of mysql: commits wait for the disk in cutovers, as PostgreSQL's always do")
    parser.add_argument("--scale", type=int, default=10, help="of pgbench's tables in cutovers")
    parser.add_argument("--cutover-args", default="", help="more words for `turnout cutover`, e.g. '--waive jobs'")
    parser.add_argument("--json", metavar="FILE", help="all figures of all rounds")
    options = parser.parse_args()
    is_mysql = "mysql" in options.parts
    options.ground = ground.MYSQL[options.server] if is_mysql else ground.POSTGRES
    parts = MYSQL_PARTS if is_mysql else PARTS
    options.parts = [part for part in options.parts if part != "mysql"] or list(parts)
    if unknown := set(options.parts) - set(parts):
        parser.error(f"no such part: {', '.join(sorted(unknown))} (there are {', '.join(parts)})")
    options.clients = options.clients or options.ground.clients
    options.read_modes = options.modes or options.ground.reads
    options.modes = options.modes or options.ground.modes
    if unknown := set(options.modes) - set(options.ground.loads):
        parser.error(f"no such mode: {', '.join(sorted(unknown))} (there are {', '.join(options.ground.loads)})")
    return options


def machine() -> dict[str, Any]:
    return {"cores": os.cpu_count(), "kernel": platform.release(), "load_average_before": os.getloadavg()[0],
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def of_a_pair(workspace: Workspace, options: argparse.Namespace) -> dict[str, tuple[Callable[[], Any], Callable[..., list[str]]]]:
    """What features cost that take two servers; by part, how it is measured and shown."""
    usual = options.ground.clients[1]
    clients = [usual] if usual in options.clients else options.clients[:1]
    how = (workspace, options.ground, options.rounds, options.seconds, clients, options.read_modes, options.workers[0], options.pace)
    return {"ramp": (lambda: ramp.run(*how), ramp.ramp_tables),
            "shadow": (lambda: shadow.run(*how), shadow.shadow_tables),
            "instructions": (lambda: instructions.run(workspace, options.ground, options.modes, options.read_modes), instructions.instruction_tables)}


def main() -> None:
    options = arguments()
    if options.setup:
        try:
            return peers.set_up()
        except Missing as error:
            sys.exit(str(error))
    exit_on_signals()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    about = machine()
    if about["load_average_before"] > 0.5:
        say(f"the machine is busy (load average {about['load_average_before']:.1f}): wait, or read nothing but the ratios")

    workspace = Workspace()
    bench = Bench(workspace, options)
    document: dict[str, Any] = {"machine": about, "options": {name: value for name, value in vars(options).items() if name != "ground"}}
    tables: list[str] = []
    if set(options.parts) - set(OWN_GROUND):
        try:
            bench.start_server()
        except Missing as error:
            sys.exit(str(error))
        for part in PARTS:
            if part in options.parts and part not in OWN_GROUND:
                bench.run(part)
        bench.server.stop()
        results = bench.results
        tables += [*cpu_tables(results.get("cpu", []), options.ground), *syscall_table(results.get("syscalls", []), options.ground),
                   *memory_table(results.get("memory", []), options.idle_clients, options.ground.rival),
                   *login_table(results.get("logins", []))]
        document |= results
    for part, (run, tables_of) in of_a_pair(workspace, options).items():
        if part in options.parts:
            try:
                document[part] = run()
                tables += tables_of(document[part], options.ground)
            except Missing as error:
                bench.left_out["turnout", part] = str(error)
    if "cutover" in options.parts:
        document["cutover"] = bench.cutover()
        tables += cutover_tables(document["cutover"], options.ground.rival)
        bench.left_out |= {(name, "cutover"): why for name, why in document["cutover"]["left_out"].items()}
    document["left_out"] = [{"target": name, "part": part, "why": why} for (name, part), why in bench.left_out.items()]
    print("\n".join(tables), end="\n\n")
    for (name, part), why in bench.left_out.items():
        print(f"left out of {part}: {name}: {(why or '?').splitlines()[0]}")
    if options.json:
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n")
        print(f"all figures: {options.json}")
    workspace.close()


if __name__ == "__main__":
    main()
