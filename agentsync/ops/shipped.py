"""Files that ship with the package beside its code: `hooks/` and `schema/`."""

from __future__ import annotations

import os

import agentsync


def read(name: str) -> bytes:
    """The content of a shipped file, for example `hooks/gate`: from the wheel, else from the checkout."""
    package = os.path.dirname(os.path.abspath(agentsync.__file__))
    for base in (f"{package}/_shipped", os.path.dirname(package)):
        try:
            with open(f"{base}/{name}", "rb") as file:
                return file.read()
        except FileNotFoundError:
            continue
    raise FileNotFoundError(2, "this installation of agent-sync is incomplete", name)
