"""What a form asks for."""

from __future__ import annotations

from typing import NamedTuple


class Field(NamedTuple):
    """A text that is asked for."""

    title: str
    value: str = ""
    hint: str = ""
    optional: bool = False
    known: tuple[str, ...] = ()
    """What is offered while one types."""
