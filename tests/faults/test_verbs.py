"""Every verb of the command line that writes, with a fault at its calls: the same laws as in `test_errors.py`.

There each operation fails at every call. Here the verbs are those of the grammar (`crash/test_every_verb.py` sees to it
that none is missing), and a short campaign takes every fourth call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from crash.test_every_verb import CASES, Case, tell, types
from faults.operations import fenced
from faults.test_errors import campaign, in_turn, no_hang
from rounds import LONG

if TYPE_CHECKING:
    from pathlib import Path

    from faults.faulty import Fault
    from world import World

__all__ = ["no_hang"]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = fenced(tmp_path)
    monkeypatch.chdir(made.root)
    return made


def some(number: int, name: str) -> list[Fault]:
    """The errnos in turn, at every call or at every fourth."""
    return in_turn(number, name) if LONG or number % 4 == 0 else []


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[case.typed for _, case in CASES])
def test_a_verb_that_meets_a_fault_tells_no_lie(case: Case, world: World) -> None:
    """Without the upkeep afterwards, which makes room on a disk that was full."""
    tell(world, case)
    # status and tasks ask the owner of a task that stands still; run ends as its command did, and says that it could
    # not release: the locks go with its process.
    asks_on_the_side = case.typed.split()[0] in ("status", "tasks", "run")
    assert campaign(world, lambda: types(world, "bob", case.typed, upkeep=False), some, asks_on_the_side) >= 2
