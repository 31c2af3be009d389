"""Waiting for what comes about by itself."""
from __future__ import annotations

import time
from typing import Callable


def eventually(condition: Callable[[], object], what: str, timeout_s: float = 60, pause_s: float = 0.03) -> float:
    """Returns after how many seconds it was so. `what` names what is waited for; the time-out is for a busy machine."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s, f"not within {timeout_s} s: {what}"
        time.sleep(pause_s)
    return time.monotonic() - began
