"""The files of the plugins and of the MCP registry, made from the package that they describe.

    python .claude-plugin/generate.py            rewrite them
    python .claude-plugin/generate.py --check    change nothing; exit 1 and name the files that differ

This repository is the plugin, of Claude Code and of Codex, and the marketplace that offers it. The manifest for Codex
says that there are no hooks: without a word about them it would take Claude Code's for its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP))

from agentsync import __version__  # noqa: E402  # the checkout comes first on the path
from agentsync.clients import claude  # noqa: E402

NAME = "agent-sync"
PACKAGE = "agentsync"
ABOUT = "Keeps the coding agents of one repository off each other's files: locks, tasks, mail."
AUTHORS = {"name": "The agentsync authors"}
KEYWORDS = ["agents", "coordination", "locks", "tasks"]
SKILLS = "./.claude-plugin/skills/"

REGISTRY_NAME = "io.github.agentsync/agentsync"
"""What the README's `mcp-name` says too; the registry checks that whoever publishes owns the part before the slash."""

REGISTRY_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"


def files() -> dict[str, dict[str, Any]]:
    """The content of every file, by its path in the repository."""
    about = {"name": NAME, "version": __version__, "description": ABOUT, "author": AUTHORS, "license": "MIT"}
    return {
        "hooks/hooks.json": claude.plugin(),
        ".claude-plugin/plugin.json": {**about, "keywords": KEYWORDS, "skills": [SKILLS]},
        ".claude-plugin/marketplace.json": {
            "name": PACKAGE,
            "owner": AUTHORS,
            "metadata": {"description": ABOUT},
            "plugins": [{"name": NAME, "source": "./", "description": ABOUT}],
        },
        ".codex-plugin/plugin.json": {**about, "keywords": KEYWORDS, "skills": SKILLS, "hooks": {}},
        ".mcp/server.json": _server(),
    }


def _server() -> dict[str, Any]:
    """The entry in the MCP registry.

    Clients start `uvx RUNTIME-ARGUMENTS agentsync==VERSION PACKAGE-ARGUMENTS`; the identifier has no room for an extra.
    """
    return {
        "$schema": REGISTRY_SCHEMA,
        "name": REGISTRY_NAME,
        "title": NAME,
        "description": ABOUT,
        "version": __version__,
        "packages": [
            {
                "registryType": "pypi",
                "identifier": PACKAGE,
                "version": __version__,
                "runtimeHint": "uvx",
                "runtimeArguments": [
                    {"type": "named", "name": "--with", "value": f"{PACKAGE}[mcp]=={__version__}"},
                ],
                "packageArguments": [{"type": "positional", "value": "mcp"}],
                "transport": {"type": "stdio"},
            }
        ],
    }


def text(content: dict[str, Any]) -> str:
    """A file's content as it is written."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Rewrite the files, or with `--check` name those that differ."""
    stale = []
    for name, content in files().items():
        path = TOP / name
        if path.exists() and path.read_text(encoding="utf-8") == text(content):
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text(content), encoding="utf-8")
    for name in stale:
        print(f"{name} {'differs: python .claude-plugin/generate.py' if '--check' in arguments else 'written'}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
