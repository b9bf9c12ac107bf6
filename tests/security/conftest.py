"""What is thrown at the program here must not land outside of the test's own directory."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest
from security.stage import MEMORY

if TYPE_CHECKING:
    from collections.abc import Iterator

ABOVE = [f"{top}/.claude" for top in ("", tempfile.gettempdir(), MEMORY or "", os.path.expanduser("~"))]


@pytest.fixture(autouse=True)
def nothing_lands_outside() -> Iterator[None]:
    """A board made above the repositories would be that of everything below it, also for other tests."""
    before = [os.path.lexists(path) for path in ABOVE]
    yield
    assert [os.path.lexists(path) for path in ABOVE] == before
