"""How the console is started: on a screen, or line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.errors import MissingExtraError

if TYPE_CHECKING:
    from agentsync.console.plain import Voice


def start(voice: Voice, plain: bool, theme: str | None) -> int:
    """Run it to its end; the exit code.

    Args:
        voice: What the command line says things with.
        plain: Whether line by line; so it is in any case where no screen can be shown.
        theme: `dark`, `light`, or what suits the terminal.

    Raises:
        MissingExtraError: There is no Textual that it could use.
    """
    if not plain:
        try:
            from agentsync.console.app import run
        except ImportError:  # there is none, an old one, or half of one
            raise MissingExtraError(
                "the console needs Textual 8: pip install 'agentsync[tui]'",
                "agent-sync console --plain does the same line by line, without it",
            ) from None
        if _has_screen(voice):
            return run(voice.runtime, theme)
        voice.warn("this is no terminal that can show a screen, so: console --plain")
    from agentsync.console.plain import Plain

    return Plain(voice).run()


def _has_screen(voice: Voice) -> bool:
    return voice.runtime.is_terminal(0) and voice.is_terminal and voice.runtime.env.get("TERM", "dumb") != "dumb"
