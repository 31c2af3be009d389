"""Figures of many rounds → tables. Median, and the smallest and largest in brackets; ratios are made within a round,
where both had the same neighbours, and only then is their median taken."""
from __future__ import annotations

import statistics
from typing import Any, Callable, Iterable, Protocol

Row = dict[str, Any]


class Ground(Protocol):
    """Of ground.py's: how its figures are headed."""

    load_title: str
    unit: str
    rival: str


def spread(values: Iterable[float], digits: int = 1) -> str:
    found = sorted(values)
    if not found:
        return "-"
    middle = f"{statistics.median(found):.{digits}f}"
    return middle if len(found) == 1 else f"{middle} ({found[0]:.{digits}f}–{found[-1]:.{digits}f})"


def table(title: str, header: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(row: list[str]) -> str:
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        return "  ".join(cells).rstrip()

    return ["", title, line(header), line(["-" * width for width in widths]), *map(line, rows)]


def distinct(rows: list[Row], *keys: str) -> list[Any]:
    found = [tuple(row[key] for key in keys) if len(keys) > 1 else row[keys[0]] for row in rows]
    return list(dict.fromkeys(found))


def ratios(rows: list[Row], target: str, base: str, figure: Callable[[Row], float], turn: str = "round") -> list[float]:
    """target ÷ base of every round that has both."""
    of = {(row["target"], row[turn]): figure(row) for row in rows}
    turns = distinct(rows, turn)
    return [of[target, n] / of[base, n] for n in turns if (target, n) in of and of.get((base, n), 0) > 0]


def _sorted(rows: list[Row]) -> list[str]:
    order = ["direct", "relay", "haproxy", "pgbouncer", "mysqlrouter"]
    names = distinct(rows, "target")
    return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))


def cpu_tables(rows: list[Row], ground: Ground) -> list[str]:
    lines: list[str] = []
    modes = distinct(rows, "mode")
    for mode, clients in sorted(distinct(rows, "mode", "clients"), key=lambda pair: (modes.index(pair[0]), pair[1])):
        part = [row for row in rows if row["mode"] == mode and row["clients"] == clients]
        body = []
        for name in _sorted(part):
            own = [row for row in part if row["target"] == name]
            proxied = name != "direct"
            body.append([name, spread((row["tps"] for row in own), 0), spread((row["latency_ms"] for row in own), 3),
                         spread(row["cpu_us"] for row in own) if proxied else "-",
                         *(spread(ratios(part, name, base, lambda row: row["cpu_us"]), 2) if proxied else "-"
                           for base in ("relay", ground.rival))])
        lines += table(f"{ground.load_title} {mode}, {clients} at a time",
                       ["", "tps", "latency ms", f"proxy CPU µs/{ground.unit}", "× relay", f"× {ground.rival}"], body)
    return lines


def syscall_table(rows: list[Row], ground: Ground) -> list[str]:
    if not rows:
        return []
    body = []
    for row in rows:
        calls = {name: count for name, count in row.items() if name not in ("target", "mode", "total")}
        parts = ", ".join(f"{name} {count:.2f}" for name, count in sorted(calls.items(), key=lambda item: -item[1]))
        body.append([f"{row['target']} {row['mode']}", f"{row['total']:.2f}", parts])
    return table(f"system calls per {ground.unit}, {ground.load_title}, one at a time", ["", "total", "which"], body)


def memory_table(rows: list[Row], clients: int, rival: str) -> list[str]:
    if not rows:
        return []
    body = []
    for name in _sorted(rows):
        own = [row for row in rows if row["target"] == name]
        body.append([name, spread((row["bytes_per_client"] for row in own), 0),
                     spread(row["rss_empty_bytes"] / 2**20 for row in own),
                     spread(row["rss_full_bytes"] / 2**20 for row in own),
                     spread(ratios(rows, name, rival, lambda row: row["bytes_per_client"]), 2)])
    return table(f"memory of {clients} idle clients that ran one query each",
                 ["", "bytes a client", "RSS before, MiB", "RSS after, MiB", f"× {rival}"], body)


def login_table(rows: list[Row]) -> list[str]:
    if not rows:
        return []
    body = []
    for name in _sorted(rows):
        own = [row for row in rows if row["target"] == name]
        body.append([name, spread((row["per_second"] for row in own), 0),
                     spread(row["cpu_us"] for row in own) if name != "direct" else "-",
                     spread(ratios(rows, name, "pgbouncer", lambda row: row["per_second"]), 2)])
    return table("logins with one query each, 4 at a time", ["", "a second", "proxy CPU µs each", "× pgbouncer"], body)


def cutover_tables(document: dict[str, Any], rival: str) -> list[str]:
    rows: list[Row] = document["results"]
    if not rows:
        return []
    body = []
    for name in _sorted(rows):
        own = [row for row in rows if row["target"] == name]
        books = [book for book in document["books"] if book["target"] == name]
        for kind in ("write", "read"):
            body.append([f"{name} {kind}s", spread(row[kind]["pause_ms"] for row in own),
                         spread(row[kind]["longest_ms"] for row in own),
                         spread(row[kind]["baseline_ms"] for row in own),
                         spread(_told_holds(own)) if kind == "write" else "-",
                         spread(ratios(rows, name, rival, lambda row: row[kind]["pause_ms"], "run"), 2),
                         str(sum(book["errors"] + book["load_errors"] for book in books)),
                         f"{sum(book['lost'] for book in books)}/{sum(book['duplicated'] for book in books)}"])
    lines = table(f"cutover pause, ms: {len(rows)} moves in {len(document['books'])} runs, load {document['rate']:.0f} transactions/s, {document['servers']}",
                  ["", "pause", "longest in the window", "longest without", "hold, as told", f"× {rival}", "errors", "lost/doubled"], body)
    holds = [[name, spread(row["read_in_hold_ms"] for row in rows if row["target"] == name)] for name in _sorted(rows)]
    lines += table("longest read that fell due during the hold or within 50 ms of it, ms, nothing subtracted", ["", "read"], holds)
    phases = []
    for name in _sorted(rows):
        own = [row for row in rows if row["target"] == name]
        names = list(dict.fromkeys(phase for row in own for phase in (row["report"].get("phases_ms") or {})))
        medians = [f"{phase} {statistics.median([(row['report'].get('phases_ms') or {}).get(phase, 0) for row in own]):.1f}"
                   for phase in names]
        phases.append([name, spread(row["took_ms"] for row in own), ", ".join(medians) or "-"])
    return lines + table("of which, ms", ["", "whole command", "steps (medians)"], phases)


def _told_holds(rows: list[Row]) -> list[float]:
    """The longest wait of held work, by the mover's own report."""
    return [row["report"]["pause_ms"]["max"] for row in rows if row["report"].get("pause_ms")]
