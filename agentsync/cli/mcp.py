"""`mcp`: the server for clients that speak the Model Context Protocol. What it does is in `agentsync.mcp`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.errors import AgentSyncError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context

SDK = ("mcp", "mcp_types")
"""What the extra installs. The second came with version 2, so it tells the versions apart."""


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the command to the grammar."""
    serve = add_parser(
        "mcp",
        "serve the tools to an MCP client on stdin and stdout (needs agentsync[mcp])",
        "mcp\n-C ../shop mcp",
    )
    serve.set_defaults(run=_mcp)


def _mcp(context: Context, _options: argparse.Namespace) -> int:
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in SDK):
        raise AgentSyncError("the MCP server needs the official SDK, version 2: pip install 'agentsync[mcp]'")
    if context.serve is None:
        raise AgentSyncError("the MCP server cannot be started from here")
    return context.serve(context.runtime)
