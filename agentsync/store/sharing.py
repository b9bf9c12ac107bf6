"""Windows refuses to open, move or remove a file while somebody else has it open; a moment later it does not.

Everywhere else this is a plain call. Never run on Windows: written after what others have measured there, and tested
with errors of the kind that it raises. Which calls go through here is `files`' decision.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from agentsync.runtime import PLATFORM

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentsync.runtime import Platform

P = ParamSpec("P")
T = TypeVar("T")

VIOLATIONS = frozenset({5, 32, 33})
"""ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION. The first may also be meant: then we are late."""

TRIES = 10
FIRST, LONGEST = 0.002, 0.2
"""Seconds of the first pause, and of the longest; they double. All of them together are about a second."""


def patiently(
    act: Callable[P, T],
    platform: Platform = PLATFORM,
    sleep: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = lambda: os.urandom(1)[0] / 255,
) -> Callable[P, T]:
    """A call that waits out others who have the file open, on the system where that is needed.

    Args:
        act: One system call, which may be made again when it failed.
        platform: Where we are.
        sleep: What waits.
        chance: A number from 0 to 1, so that two who wait do not meet again.
    """
    if platform != "windows":
        return act

    def again(*words: P.args, **options: P.kwargs) -> T:
        pause = FIRST
        for _ in range(TRIES - 1):
            try:
                return act(*words, **options)
            except OSError as error:
                if getattr(error, "winerror", None) not in VIOLATIONS:
                    raise
            sleep(pause * (0.5 + chance() / 2))
            pause = min(2 * pause, LONGEST)
        return act(*words, **options)

    return again
