"""What a look at one thing came to."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Finding(Struct, frozen=True, kw_only=True, gc=False):
    """One thing that was looked at."""

    check: str
    level: Literal["ok", "note", "problem"]
    """A note needs no action; a problem makes the doctor's exit code 1."""
    message: str
    fix: str = ""
