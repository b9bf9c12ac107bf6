"""How the console is started: for a screen, or line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentsync.console.plain import Voice


def start(voice: Voice, plain: bool, theme: str | None) -> int:
    """Run it to its end; the exit code."""
    if plain:
        from agentsync.console.plain import Plain

        return Plain(voice).run()
    from agentsync.console.app import run

    return run(voice.runtime, theme)
