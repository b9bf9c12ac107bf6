"""The one knob of all campaigns: the variable AGENTSYNC_ROUNDS.

The default, 6, is what CI takes; 60 is ten times as much. What one round is, each folder's README says.
"""

from __future__ import annotations

import os

DEFAULT = 6

ROUNDS = int(os.environ.get("AGENTSYNC_ROUNDS", str(DEFAULT)))

LONG = ROUNDS > DEFAULT
"""Whether somebody has time: samples become the whole."""

TIMES = max(1, ROUNDS // DEFAULT)
"""How many times as long as by default."""
