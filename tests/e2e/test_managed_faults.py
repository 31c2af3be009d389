"""The fault matrix at the other fence, by ALTER DATABASE and REVOKE CONNECT, of an admin who is no superuser (test_managed_fence.py).

A file of its own: it has a pair of its own, and both matrices' pairs want the template's ports.
"""
from __future__ import annotations

from typing import Iterator

import pytest

from harness import faults
from harness.fault_world import FaultWorlds, judged
from harness.pair import Template
from harness.workspace import Workspace
from test_faults import World


@pytest.fixture(scope="module")
def worlds(workspace: Workspace, template: Template) -> Iterator[FaultWorlds]:
    made = FaultWorlds(lambda: World(workspace, template, is_managed=True))
    yield made
    made.close()


@pytest.mark.soak
@pytest.mark.faults
@pytest.mark.parametrize(("road", "fault", "when", "step", "verb"), faults.walk(without=faults.BESIDES_THE_FENCE))
def test_managed_fault(worlds: FaultWorlds, road: str, fault: str, when: str, step: str, verb: str) -> None:
    judged(worlds, verb, road, fault, when, step)
