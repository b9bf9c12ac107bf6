"""Colours and layout of the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style
from textual.color import Color
from textual.theme import Theme

if TYPE_CHECKING:
    from collections.abc import Mapping

DARK = Theme(
    name="agent-sync-dark",
    primary="#7aa2f7",
    secondary="#9d7cd8",
    accent="#bb9af7",
    foreground="#c8d0e0",
    background="#14161c",
    surface="#1b1e26",
    panel="#232733",
    success="#8fce7e",
    warning="#e5c07b",
    error="#f7768e",
    dark=True,
    variables={"block-cursor-background": "#33415f", "block-cursor-foreground": "#f2f5fb"},
)
LIGHT = Theme(
    name="agent-sync-light",
    primary="#2757b8",
    secondary="#6b3fa0",
    accent="#8a35b0",
    foreground="#23262e",
    background="#fbfbfa",
    surface="#f1f1ef",
    panel="#e6e6e3",
    success="#2f7d32",
    warning="#96640a",
    error="#b3261e",
    dark=False,
    variables={"block-cursor-background": "#cfdcf7", "block-cursor-foreground": "#10131a"},
)

THEMES = {theme.name: theme for theme in (DARK, LIGHT)}


def tones(theme: Theme) -> dict[str, Style]:
    """How each tone looks. By hand: as component classes of every widget they would cost a tenth of a second."""
    ground, text = Color.parse(theme.background), Color.parse(theme.foreground or "#808080")
    dim = ground.blend(text, 0.6).rich_color
    cursor = theme.variables
    return {
        "good": Style(color=theme.success),
        "calm": Style(color=theme.primary),
        "warn": Style(color=theme.warning),
        "bad": Style(color=theme.error, bold=True),
        "dim": Style(color=dim),
        "accent": Style(color=theme.accent),
        "head": Style(color=dim, bold=True),
        "title": Style(bold=True),
        "cursor": Style(color=cursor["block-cursor-foreground"], bgcolor=cursor["block-cursor-background"], bold=True),
        "blurred": Style(bgcolor=theme.panel, bold=True),
        "mark": Style(color=theme.background, bgcolor=theme.primary, bold=True),
        "alarm": Style(color=theme.background, bgcolor=theme.error, bold=True),
    }


CSS = """
#top { background: $panel; }
#tabs { background: $background; }
#main { height: 1fr; layout: vertical; }
#left { height: 1fr; layout: vertical; }
#rows { height: 1fr; background: $background; }
#beside { display: none; height: auto; background: $background; border-top: solid $panel; }
#story { display: none; height: 1fr; padding: 0 0 0 1; background: $surface; border-top: solid $panel; }
#story:focus { border-top: solid $primary; }
#feed { height: 6; background: $background; border-top: solid $panel; padding: 0 0 0 1; scrollbar-size-vertical: 0; }
#foot { background: $panel; }
#filter { height: 1; border: none; padding: 0 1; background: $panel; }
#filter:focus { border: none; }
Screen.story #story { display: block; }
Screen.story #feed { display: none; }
Screen.feed #feed { display: none; }
Screen.filter #foot { display: none; }
Screen.-wide #main { layout: horizontal; }
Screen.-wide #left { width: 3fr; height: 100%; }
Screen.-wide.-tall #beside { display: block; }
Screen.-wide #story { display: block; width: 2fr; height: 100%; border-top: none; border-left: solid $panel; }
Screen.-wide #story:focus { border-top: none; border-left: solid $primary; }
Screen.-wide.alone #story { display: none; }
Screen.-wide.story #feed { display: block; }
Screen.-wide.feed #feed { display: none; }
Screen.-tall #feed { height: 9; }
"""

WIDE, TALL = 132, 36
"""Columns from which the story stands beside the table, and lines from which the feed is longer."""


def theme_for(wanted: str | None, env: Mapping[str, str]) -> str:
    """The name of a theme: the one that is wanted, else the one that suits the terminal, as far as it says."""
    if wanted is None:
        background = env.get("COLORFGBG", "").rpartition(";")[2]
        wanted = "light" if background in ("7", "15") else "dark"
    return f"agent-sync-{wanted}"
