"""What tests of several machines begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from invariants import check_store
from remote.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    for machine in made.machines.values():
        check_store(machine.state)
