"""The commands `agent-sync` and `agentsync`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.cli.context import Context
    from agentsync.runtime import Runtime


def main() -> int:
    """Run one command; the exit code is the caller's to use."""
    hook = _hook_call(sys.argv[1:])
    if hook is not None:  # not through argparse: it exits 2 on a typing error, and 2 blocks an agent
        from agentsync.hook.entry import main as answer

        return answer(hook)
    from agentsync.cli.main import main as command

    return command(sys.argv[1:], serve=_serve, start_console=_console)


def _serve(runtime: Runtime) -> int:
    from agentsync.mcp.server import serve

    return serve(runtime)


def _console(context: Context, plain: bool, theme: str | None) -> int:
    from agentsync.console.start import start

    return start(context, plain, theme)


def _hook_call(arguments: Sequence[str]) -> Sequence[str] | None:
    """What follows `hook` when that is the command, global options before it carried out; None otherwise."""
    rest = list(arguments)
    directory: str | None = None
    while rest and rest[0] != "hook":
        word = rest.pop(0)
        if word == "-C" and rest:
            directory = rest.pop(0)
        elif word != "--json":
            return None
    if not rest or rest[1:2] in (["--help"], ["-h"]):
        return None
    if directory is not None:
        try:
            os.chdir(directory)
        except OSError:
            pass  # the payload says where the session is
    return rest[1:]


if __name__ == "__main__":
    sys.exit(main())
