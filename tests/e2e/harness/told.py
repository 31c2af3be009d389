"""Figures that a run shall print at its end: they are told, not judged."""
from __future__ import annotations

_lines: list[str] = []


def say(line: str) -> None:
    _lines.append(line)


def lines() -> list[str]:
    return list(_lines)
